-- Why: people look for the tasks that wait for them. A task may wait for several things at once, so they are bits of one number:
-- 1 approval, 2 held, 4 signal, 8 event, 16 sleep, 32 paused. An index for each, with nothing but the tasks that wait for it, finds a
-- few approvals among a million sleepers and costs nothing for tasks that do not wait.
ALTER TABLE tasks ADD COLUMN waiting INTEGER NOT NULL DEFAULT 0 CONSTRAINT tasks_waiting CHECK (waiting >= 0);
CREATE INDEX tasks_by_approval ON tasks (namespace, id) WHERE (waiting & 1) = 1;
CREATE INDEX tasks_by_held     ON tasks (namespace, id) WHERE (waiting & 2) = 2;
CREATE INDEX tasks_by_signal   ON tasks (namespace, id) WHERE (waiting & 4) = 4;
CREATE INDEX tasks_by_event    ON tasks (namespace, id) WHERE (waiting & 8) = 8;
CREATE INDEX tasks_by_sleep    ON tasks (namespace, id) WHERE (waiting & 16) = 16;
CREATE INDEX tasks_by_paused   ON tasks (namespace, id) WHERE (waiting & 32) = 32;
