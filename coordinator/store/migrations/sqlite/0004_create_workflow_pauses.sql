-- Why: a paused workflow starts nothing new in any of its tasks, also after a restart.
CREATE TABLE workflow_pauses (
    namespace TEXT    NOT NULL,
    name      TEXT    NOT NULL,
    reason    TEXT    NOT NULL,
    since     INTEGER NOT NULL,
    PRIMARY KEY (namespace, name)
) STRICT, WITHOUT ROWID;
