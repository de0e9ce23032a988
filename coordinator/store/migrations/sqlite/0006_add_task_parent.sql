-- Why: people look for the tasks that a task has started.
ALTER TABLE tasks ADD COLUMN parent INTEGER;
CREATE INDEX tasks_by_parent ON tasks (parent, id) WHERE parent IS NOT NULL;
