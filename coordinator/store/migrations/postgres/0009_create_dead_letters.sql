-- Why: a task that failed for good stays on a list until somebody requeues or discards it, and what they did is remembered for a while.
-- The letter is written in the commit that fails its task, and settled in the commit that requeues it.
CREATE TABLE dead_letters (
    task           bigint PRIMARY KEY CHECK (task >= 0),
    namespace      text   NOT NULL,
    workflow       text   NOT NULL,
    version        text   NOT NULL,
    code           text   NOT NULL,
    message        bytea  NOT NULL,
    step           text,
    system         text,
    capability     text,
    failed_at      bigint NOT NULL,
    state          text   NOT NULL CONSTRAINT dead_letters_state CHECK (state IN ('open', 'requeued', 'discarded')),
    requeued_to    bigint CONSTRAINT dead_letters_requeued CHECK ((requeued_to IS NOT NULL) = (state = 'requeued')),
    settled_at     bigint CONSTRAINT dead_letters_settled CHECK ((settled_at IS NULL) = (state = 'open')),
    settled_by     bytea,
    settled_reason bytea
);

-- Lists are in the order of failure; the second index finds the letters of one code among many.
CREATE INDEX dead_letters_by_failure ON dead_letters (namespace, failed_at, task);
CREATE INDEX dead_letters_by_code    ON dead_letters (namespace, code, failed_at, task);
CREATE INDEX dead_letters_by_state   ON dead_letters (namespace, state, failed_at, task);
CREATE INDEX dead_letters_by_end     ON dead_letters (settled_at) WHERE settled_at IS NOT NULL;

-- Failures that got no letter because the namespace had as many open as it may.
CREATE TABLE dead_letters_missed (
    namespace text   NOT NULL PRIMARY KEY,
    count     bigint NOT NULL CHECK (count > 0),
    last_at   bigint NOT NULL
);
