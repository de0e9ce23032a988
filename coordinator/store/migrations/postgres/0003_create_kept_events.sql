-- Why: an event from outside may come before the step that waits for it; it is kept until it is taken or a day old.
CREATE TABLE kept_events (
    number     bigint PRIMARY KEY CHECK (number > 0),    -- in the order of arrival
    namespace  text   NOT NULL,
    name       bytea  NOT NULL,
    key        bytea  NOT NULL,
    payload    bytea  NOT NULL,                          -- JSON
    id         bytea,                                    -- the sender's, by which a repeat is recognised
    arrived_at bigint NOT NULL
);
