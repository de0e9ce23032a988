-- Why: a paused workflow starts nothing new in any of its tasks, also after a restart.
CREATE TABLE workflow_pauses (
    namespace text   NOT NULL,
    name      text   NOT NULL,
    reason    bytea  NOT NULL,
    since     bigint NOT NULL,
    PRIMARY KEY (namespace, name)
);
