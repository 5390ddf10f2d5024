// Functions of several nodes: the beginning of each group of calls, the notes that it leaves for others, and the beat.

/** Any number, the same in each version: who holds it changes something. */
const ACTS_LOCK = 5_201_314_701;

export const NODE_FUNCTIONS = `
-- Milliseconds since 1970 by the clock of the database, at this moment and not at the beginning of the transaction.
CREATE FUNCTION database_ms() RETURNS bigint LANGUAGE sql VOLATILE AS $$
  SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint $$;

-- False: the node was given up, or another process has its name. A process that is frozen with the lock loses it.
CREATE FUNCTION begin_acts(node_name text, of_generation bigint, of_batch bigint) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
  PERFORM set_config('idle_in_transaction_session_timeout', '5000', true);
  -- Sooner than the caller gives up: nothing ends the wait of a backend whose client is gone.
  PERFORM set_config('lock_timeout', '10000', true);
  PERFORM pg_advisory_xact_lock(${ACTS_LOCK});
  UPDATE node SET batch = of_batch, last_seen_at = database_ms() WHERE name = node_name AND generation = of_generation AND state = 'alive';
  RETURN FOUND;
END $$;

-- The last group of calls that the process committed, from a write of its own: its answer says what is at the standby,
-- too. NULL: it was given up.
CREATE FUNCTION last_batch(node_name text, of_generation bigint) RETURNS bigint LANGUAGE sql SET lock_timeout = '10s' AS $$
  UPDATE node SET batch = batch WHERE name = node_name AND generation = of_generation RETURNING batch $$;

-- The generation of the process that is now the node; NULL while another one that is alive has the name.
CREATE FUNCTION join_node(of_name text, of_boot text, of_version text, of_address text, dead_ms bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  now_ms bigint;
  known record;
  next_generation bigint;
BEGIN
  PERFORM pg_advisory_xact_lock(${ACTS_LOCK});
  now_ms := database_ms();
  SELECT boot, state, generation, last_seen_at INTO known FROM node WHERE name = of_name;
  IF FOUND AND known.boot = of_boot THEN RETURN known.generation; END IF;
  IF FOUND AND known.state = 'alive' AND known.last_seen_at > now_ms - dead_ms THEN RETURN NULL; END IF;
  INSERT INTO node (name, boot, generation, version, address, state, started_at, last_seen_at)
    VALUES (of_name, of_boot, 1, of_version, of_address, 'alive', now_ms, now_ms)
    ON CONFLICT (name) DO UPDATE SET boot = of_boot, generation = node.generation + 1, version = of_version, address = of_address,
      state = 'alive', started_at = now_ms, last_seen_at = now_ms, batch = 0, sessions = 0
    RETURNING generation INTO next_generation;
  RETURN next_generation;
END $$;

CREATE FUNCTION note_changes(of_node text, notes text) RETURNS void LANGUAGE sql AS $$
  INSERT INTO shared_change (at, node, subject, id, is_deleted, labels_before, body)
    SELECT database_ms(), of_node, one.subject, one.id, coalesce(one.is_deleted, 0), one.labels_before, one.body
      FROM json_to_recordset(notes::json) AS one (subject text, id text, is_deleted bigint, labels_before text, body text) $$;
`;
