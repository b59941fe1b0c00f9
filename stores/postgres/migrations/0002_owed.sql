-- needs: 2
-- Fires that wait for their turn stand in the task; and a paused task may be due, once, because somebody asked for it to be run now.
-- A node that does not know the column would drop what waits, so that it is refused.

ALTER TABLE {schema}.tasks
  ADD COLUMN owed timestamptz[] NOT NULL DEFAULT '{}',
  DROP CONSTRAINT never_due_if_set_aside,
  ADD CONSTRAINT never_due_if_set_aside
      CHECK ((due_at IS NULL) = (lease_id IS NULL AND (paused OR state = 'failed') AND request <> 'run_now'));
