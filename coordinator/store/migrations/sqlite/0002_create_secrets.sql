-- Why: the URLs by which systems finish what they have accepted are signed, and must be believed after a restart and by the next coordinator.
CREATE TABLE secrets (
    name  TEXT NOT NULL PRIMARY KEY,
    value BLOB NOT NULL CHECK (length(value) = 32)
) STRICT;
