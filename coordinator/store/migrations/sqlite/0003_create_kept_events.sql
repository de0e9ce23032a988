-- Why: an event from outside may come before the step that waits for it; it is kept until it is taken or a day old.
CREATE TABLE kept_events (
    number     INTEGER PRIMARY KEY CHECK (number > 0),   -- in the order of arrival
    namespace  TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    key        TEXT    NOT NULL,
    payload    BLOB    NOT NULL,                         -- JSON
    id         TEXT,                                     -- the sender's, by which a repeat is recognised
    arrived_at INTEGER NOT NULL
) STRICT;
