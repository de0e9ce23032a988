-- Why: what identifies a task counts for a window that its workflow declares, not for as long as idempotency keys are kept.
-- Each kind has an index of its own, so that forgetting one never reads the other.
ALTER TABLE keys ADD COLUMN valid_until INTEGER;
DROP INDEX keys_by_age;
CREATE INDEX keys_by_age ON keys (used_at)     WHERE valid_until IS NULL;
CREATE INDEX keys_by_end ON keys (valid_until) WHERE valid_until IS NOT NULL;
