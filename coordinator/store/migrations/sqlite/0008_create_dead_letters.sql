-- Why: a task that failed for good stays on a list until somebody requeues or discards it, and what they did is remembered for a while.
-- The letter is written in the commit that fails its task, and settled in the commit that requeues it.
CREATE TABLE dead_letters (
    task           INTEGER PRIMARY KEY CHECK (task >= 0),
    namespace      TEXT    NOT NULL,
    workflow       TEXT    NOT NULL,
    version        TEXT    NOT NULL,
    code           TEXT    NOT NULL,
    message        TEXT    NOT NULL,
    step           TEXT,
    system         TEXT,
    capability     TEXT,
    failed_at      INTEGER NOT NULL,
    state          TEXT    NOT NULL CONSTRAINT dead_letters_state CHECK (state IN ('open', 'requeued', 'discarded')),
    requeued_to    INTEGER CONSTRAINT dead_letters_requeued CHECK ((requeued_to IS NOT NULL) = (state = 'requeued')),
    settled_at     INTEGER CONSTRAINT dead_letters_settled CHECK ((settled_at IS NULL) = (state = 'open')),
    settled_by     TEXT,
    settled_reason TEXT
) STRICT;

-- Lists are in the order of failure; the second index finds the letters of one code among many.
CREATE INDEX dead_letters_by_failure ON dead_letters (namespace, failed_at, task);
CREATE INDEX dead_letters_by_code    ON dead_letters (namespace, code, failed_at, task);
CREATE INDEX dead_letters_by_state   ON dead_letters (namespace, state, failed_at, task);
CREATE INDEX dead_letters_by_end     ON dead_letters (settled_at) WHERE settled_at IS NOT NULL;

-- Failures that got no letter because the namespace had as many open as it may.
CREATE TABLE dead_letters_missed (
    namespace TEXT    NOT NULL PRIMARY KEY,
    count     INTEGER NOT NULL CHECK (count > 0),
    last_at   INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
