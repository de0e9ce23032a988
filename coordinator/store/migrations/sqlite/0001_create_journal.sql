-- Why: the journal is the truth; everything else in this file is a projection of it or a small table of its own.
-- One coordinator owns a SQLite file, so the journal has no shard; its key is the rowid, so that rows are only ever appended.

CREATE TABLE journal (
    sequence INTEGER PRIMARY KEY CHECK (sequence > 0),
    task     INTEGER NOT NULL,
    previous INTEGER NOT NULL CHECK (previous >= 0 AND previous < sequence),
    checksum INTEGER NOT NULL,   -- CRC-32 over the three numbers and the entry
    entry    BLOB    NOT NULL    -- tasker.journal.v1.Entry
) STRICT;

CREATE TABLE coordinator_lease (
    shard     INTEGER PRIMARY KEY,
    epoch     INTEGER NOT NULL,
    holder    TEXT    NOT NULL,
    taken_at  INTEGER NOT NULL,  -- milliseconds since 1970, as all times here
    probed_at INTEGER NOT NULL
) STRICT;
INSERT INTO coordinator_lease (shard, epoch, holder, taken_at, probed_at) VALUES (0, 0, 'nobody', 0, 0);

-- One row: how much of the journal the projection reflects.
CREATE TABLE projection (
    sole         INTEGER PRIMARY KEY CHECK (sole = 0),
    projected_to INTEGER NOT NULL
) STRICT;
INSERT INTO projection (sole, projected_to) VALUES (0, 0);

-- The projection: tasks as lists and searches see them.
CREATE TABLE tasks (
    id          INTEGER PRIMARY KEY,
    namespace   TEXT    NOT NULL,
    workflow    TEXT    NOT NULL,
    version     TEXT    NOT NULL,
    digest      BLOB    NOT NULL CHECK (length(digest) = 32),
    status      TEXT    NOT NULL CONSTRAINT tasks_status CHECK (status IN ('running', 'succeeded', 'failed', 'cancelled')),
    accepted_at INTEGER NOT NULL,
    finished_at INTEGER,
    error_code  TEXT,
    failed_step TEXT,
    retries     INTEGER NOT NULL CHECK (retries >= 0),
    labels      TEXT    NOT NULL,   -- a JSON object of texts
    last        INTEGER NOT NULL
) STRICT;

-- Each search is driven by one of these, newest first; tasks_by_status also finds the running ones at start.
CREATE INDEX tasks_by_namespace  ON tasks (namespace, id);
CREATE INDEX tasks_by_status     ON tasks (status, namespace, id);
CREATE INDEX tasks_by_workflow   ON tasks (namespace, workflow, id);
CREATE INDEX tasks_by_error_code ON tasks (namespace, error_code, id) WHERE error_code IS NOT NULL;

-- Labels once more, one per row, so that a rare label finds its tasks without reading the others. Labels never change.
CREATE TABLE task_labels (
    namespace TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    value     TEXT    NOT NULL,
    task      INTEGER NOT NULL,
    PRIMARY KEY (namespace, name, value, task)
) STRICT, WITHOUT ROWID;

CREATE TABLE keys (
    namespace   TEXT    NOT NULL,
    key         TEXT    NOT NULL,
    fingerprint BLOB    NOT NULL CHECK (length(fingerprint) = 32),
    task        INTEGER NOT NULL,
    used_at     INTEGER NOT NULL,
    PRIMARY KEY (namespace, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX keys_by_age ON keys (used_at);

-- The digest is part of the key: tasks stay pinned to what they were accepted with, even if a version is applied again with other content.
CREATE TABLE workflows (
    namespace  TEXT    NOT NULL,
    name       TEXT    NOT NULL,
    version    TEXT    NOT NULL,
    digest     BLOB    NOT NULL CHECK (length(digest) = 32),
    source     TEXT    NOT NULL,
    applied_at INTEGER NOT NULL,
    PRIMARY KEY (namespace, name, version, digest)
) STRICT;

CREATE TABLE contracts (
    digest BLOB NOT NULL PRIMARY KEY CHECK (length(digest) = 32),
    body   TEXT NOT NULL         -- JSON
) STRICT;

CREATE TABLE systems (
    namespace        TEXT NOT NULL,
    name             TEXT NOT NULL,
    base_url         TEXT,
    health_check_url TEXT,
    PRIMARY KEY (namespace, name)
) STRICT;

CREATE TABLE capabilities (
    namespace     TEXT    NOT NULL,
    system        TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    contract      BLOB    NOT NULL CHECK (length(contract) = 32),
    description   TEXT    NOT NULL,
    timeout_ms    INTEGER CHECK (timeout_ms >= 0),
    source        TEXT    NOT NULL CONSTRAINT capabilities_source CHECK (source IN ('manifest', 'worker')),
    declared_at   INTEGER NOT NULL,
    PRIMARY KEY (namespace, system, name)
) STRICT;
