-- needs: 1
-- The whole task record and its history. Names, kinds and slugs compare by code point (COLLATE "C"), as every store does.

CREATE TABLE {schema}.tasks (
  namespace       text COLLATE "C" NOT NULL,
  slug            text COLLATE "C" NOT NULL,
  kind            text COLLATE "C" NOT NULL,
  payload         bytea            NOT NULL,
  payload_version bigint           NOT NULL,
  trigger         text,
  trigger_from    text             NOT NULL,
  options         jsonb            NOT NULL,
  metadata        jsonb            NOT NULL,
  declared        text,
  needs           integer          NOT NULL DEFAULT 1,
  state           text             NOT NULL,
  paused          boolean          NOT NULL,
  anchor          timestamptz      NOT NULL,
  run_at          timestamptz      NOT NULL,
  run_at_from     text             NOT NULL DEFAULT 'caller',
  due_at          timestamptz,
  retry_at        timestamptz,
  attempt         bigint           NOT NULL,
  first_run_at    timestamptz,
  crashes         bigint           NOT NULL,
  fires           bigint           NOT NULL,
  ended_at        timestamptz,
  idle_since      timestamptz,
  owed            timestamptz[]    NOT NULL,
  lease_id        text COLLATE "C",
  last_lease      text COLLATE "C",
  node            text COLLATE "C",
  instance        text COLLATE "C",
  locked_at       timestamptz,
  request         text             NOT NULL,
  result          text,
  last_error      text,
  version         bigint           NOT NULL,
  created_at      timestamptz,
  updated_at      timestamptz,
  PRIMARY KEY (namespace, slug),
  CONSTRAINT known_state CHECK (state IN ('scheduled', 'running', 'failed')),
  CONSTRAINT known_source CHECK (trigger_from IN ('task', 'job')),
  CONSTRAINT known_setter CHECK (run_at_from IN ('trigger', 'caller')),
  CONSTRAINT known_request CHECK (request IN ('none', 'stop', 'run_now')),
  CONSTRAINT held_while_running CHECK ((state = 'running') = (lease_id IS NOT NULL)),
  CONSTRAINT held_by_a_node CHECK (num_nulls(lease_id, node, locked_at) IN (0, 3) AND (instance IS NULL OR node IS NOT NULL)),
  CONSTRAINT never_due_if_set_aside CHECK (
    (due_at IS NULL) = (lease_id IS NULL AND (paused OR state = 'failed') AND request <> 'run_now')
  ),
  CONSTRAINT counted CHECK (version > 0 AND payload_version > 0 AND needs > 0)
);

-- Exactly the order in which a lock reads, so that no lock ever sorts; paused and failed tasks are not in it.
-- `needs` comes last: the index tells which tasks are for newer nodes only, and their rows are not read.
CREATE INDEX tasks_due ON {schema}.tasks (namespace, kind, due_at, slug, needs) WHERE due_at IS NOT NULL;

-- Every run rewrites its row: vacuum by the number of dead rows, not by a share of a table that may hold millions of future ones.
ALTER TABLE {schema}.tasks SET (
  autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0,
  autovacuum_analyze_scale_factor = 0.05, autovacuum_analyze_threshold = 2000
);

CREATE TABLE {schema}.runs (
  namespace   text COLLATE "C" NOT NULL,
  id          text COLLATE "C" NOT NULL,
  slug        text COLLATE "C" NOT NULL,
  kind        text COLLATE "C" NOT NULL,
  fire_time   timestamptz      NOT NULL,
  attempt     bigint           NOT NULL,
  node        text COLLATE "C",
  started_at  timestamptz      NOT NULL,
  finished_at timestamptz      NOT NULL,
  status      text             NOT NULL,
  count       bigint           NOT NULL,
  error       text,
  result      text,
  PRIMARY KEY (namespace, id),
  CONSTRAINT known_status CHECK (status IN ('done', 'failed', 'retried', 'skipped', 'lost', 'cancelled'))
);

CREATE INDEX runs_newest ON {schema}.runs (namespace, finished_at DESC, id DESC);
CREATE INDEX runs_of_task ON {schema}.runs (namespace, slug, finished_at DESC, id DESC);

CREATE TABLE {schema}.nodes (
  namespace  text COLLATE "C" NOT NULL,
  name       text COLLATE "C" NOT NULL,
  kinds      text[]           NOT NULL,
  started_at timestamptz      NOT NULL,
  seen_at    timestamptz      NOT NULL,
  until      timestamptz      NOT NULL,
  info       jsonb            NOT NULL,
  instance   text COLLATE "C",
  PRIMARY KEY (namespace, name)
);

CREATE TABLE {schema}.slots (
  namespace text COLLATE "C" NOT NULL,
  kind      text COLLATE "C" NOT NULL,
  node      text COLLATE "C" NOT NULL,
  count     bigint           NOT NULL,
  until     timestamptz      NOT NULL,
  PRIMARY KEY (namespace, kind, node)
);

-- The first statement of every call that brings its own time. Refuses a time that is too far ahead of this server's before anything
-- is written, makes calls with the same key wait for each other, bounds the waits for locks after that, and tells this server's time.
CREATE FUNCTION {schema}.enter(now timestamptz, skew_limit interval, key text, lock_wait interval) RETURNS timestamptz
LANGUAGE plpgsql AS $$
DECLARE
  store_now timestamptz := clock_timestamp();
BEGIN
  IF now - store_now > skew_limit THEN
    RAISE EXCEPTION 'now is ahead of this server''s clock' USING ERRCODE = 'DT001', DETAIL = store_now::text;
  END IF;
  IF key IS NOT NULL THEN
    PERFORM pg_advisory_xact_lock(hashtextextended(key, 0));
  END IF;
  IF lock_wait IS NOT NULL THEN
    PERFORM set_config('lock_timeout', ceil(extract(epoch FROM lock_wait) * 1000)::text, true);
  END IF;
  RETURN store_now;
END
$$;
