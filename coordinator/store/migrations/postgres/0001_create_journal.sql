-- Why: the journal is the truth; everything else in this file is a projection of it or a small table of its own.
-- One coordinator owns the database so far, so the journal has no shard. No index beside its key, so that rows are only ever appended.
-- What people and programs write freely is bytea holding UTF-8, because text cannot hold the NUL that JSON can.

CREATE TABLE journal (
    sequence bigint PRIMARY KEY CHECK (sequence > 0),
    task     bigint NOT NULL,
    previous bigint NOT NULL CHECK (previous >= 0 AND previous < sequence),
    checksum bigint NOT NULL,   -- CRC-32 over the three numbers and the entry
    entry    bytea  NOT NULL    -- tasker.journal.v1.Entry
);

CREATE TABLE coordinator_lease (
    shard     bigint PRIMARY KEY,
    epoch     bigint NOT NULL,
    holder    text   NOT NULL,
    taken_at  bigint NOT NULL,  -- milliseconds since 1970, as all times here
    probed_at bigint NOT NULL
);
INSERT INTO coordinator_lease (shard, epoch, holder, taken_at, probed_at) VALUES (0, 0, 'nobody', 0, 0);

-- One row: how much of the journal the projection reflects.
CREATE TABLE projection (
    sole         smallint PRIMARY KEY CHECK (sole = 0),
    projected_to bigint NOT NULL
);
INSERT INTO projection (sole, projected_to) VALUES (0, 0);

-- The projection: tasks as lists and searches see them.
CREATE TABLE tasks (
    id          bigint PRIMARY KEY,
    namespace   text   NOT NULL,
    workflow    text   NOT NULL,
    version     text   NOT NULL,
    digest      bytea  NOT NULL CHECK (octet_length(digest) = 32),
    status      text   NOT NULL CONSTRAINT tasks_status CHECK (status IN ('running', 'succeeded', 'failed', 'cancelled')),
    accepted_at bigint NOT NULL,
    finished_at bigint,
    error_code  text,
    failed_step text,
    retries     bigint NOT NULL CHECK (retries >= 0),
    labels      text   NOT NULL,   -- a JSON object of texts
    last        bigint NOT NULL
);

-- Each search is driven by one of these, newest first; tasks_by_status also finds the running ones at start.
CREATE INDEX tasks_by_namespace  ON tasks (namespace, id);
CREATE INDEX tasks_by_status     ON tasks (status, namespace, id);
CREATE INDEX tasks_by_workflow   ON tasks (namespace, workflow, id);
CREATE INDEX tasks_by_error_code ON tasks (namespace, error_code, id) WHERE error_code IS NOT NULL;

-- Labels once more, one per row, so that a rare label finds its tasks without reading the others. Labels never change.
CREATE TABLE task_labels (
    namespace text   NOT NULL,
    name      bytea  NOT NULL,
    value     bytea  NOT NULL,
    task      bigint NOT NULL,
    PRIMARY KEY (namespace, name, value, task)
);

CREATE TABLE keys (
    namespace   text   NOT NULL,
    key         bytea  NOT NULL,
    fingerprint bytea  NOT NULL CHECK (octet_length(fingerprint) = 32),
    task        bigint NOT NULL,
    used_at     bigint NOT NULL,
    PRIMARY KEY (namespace, key)
);
CREATE INDEX keys_by_age ON keys (used_at);

-- The digest is part of the key: tasks stay pinned to what they were accepted with, even if a version is applied again with other content.
CREATE TABLE workflows (
    namespace  text   NOT NULL,
    name       text   NOT NULL,
    version    text   NOT NULL,
    digest     bytea  NOT NULL CHECK (octet_length(digest) = 32),
    source     bytea  NOT NULL,
    applied_at bigint NOT NULL,
    PRIMARY KEY (namespace, name, version, digest)
);

CREATE TABLE contracts (
    digest bytea  NOT NULL PRIMARY KEY CHECK (octet_length(digest) = 32),
    body   text   NOT NULL         -- JSON
);

CREATE TABLE systems (
    namespace        text   NOT NULL,
    name             text   NOT NULL,
    base_url         bytea,
    health_check_url bytea,
    PRIMARY KEY (namespace, name)
);

CREATE TABLE capabilities (
    namespace     text   NOT NULL,
    system        text   NOT NULL,
    name          text   NOT NULL,
    contract      bytea  NOT NULL CHECK (octet_length(contract) = 32),
    description   bytea  NOT NULL,
    timeout_ms    bigint CHECK (timeout_ms >= 0),
    source        text   NOT NULL CONSTRAINT capabilities_source CHECK (source IN ('manifest', 'worker')),
    declared_at   bigint NOT NULL,
    PRIMARY KEY (namespace, system, name)
);
