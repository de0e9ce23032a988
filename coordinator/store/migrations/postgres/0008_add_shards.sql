-- Why: several coordinators share one database. A shard is a set of namespaces with its own journal, projection mark, lease and epoch.
-- What was written before belongs to shard 0; the column keeps its default so that a coordinator of the version before can end in peace.
ALTER TABLE journal ADD COLUMN shard smallint NOT NULL DEFAULT 0 CHECK (shard >= 0);
ALTER TABLE journal DROP CONSTRAINT journal_pkey;
ALTER TABLE journal ADD PRIMARY KEY (shard, sequence);

ALTER TABLE projection DROP CONSTRAINT projection_sole_check;
ALTER TABLE projection RENAME COLUMN sole TO shard;

-- One row: into how many shards namespaces are divided. Never changes, because stored journals depend on it.
CREATE TABLE layout (
    sole   smallint PRIMARY KEY CHECK (sole = 0),
    shards smallint NOT NULL CHECK (shards BETWEEN 1 AND 64)
);

-- Who lives: a coordinator says so several times a second, by this server's clock. A lease is worth as much as its owner's row here.
CREATE TABLE coordinators (
    id      bigint PRIMARY KEY,   -- random, drawn at start
    name    text   NOT NULL,      -- host and process
    url     text,                 -- where others reach its API
    session integer NOT NULL,     -- the server process of its session
    seen_at timestamptz NOT NULL
);

-- The owner, and the server process of the session with which it writes this shard.
ALTER TABLE coordinator_lease ADD COLUMN coordinator bigint;
ALTER TABLE coordinator_lease ADD COLUMN session integer;
