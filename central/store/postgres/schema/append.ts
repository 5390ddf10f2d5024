// The function that appends the events of many agents in one statement, and so in one transaction without a turn of the
// caller: it locks the places of the agents in their logs, compares each with what the caller knows, locks the newest
// cursor last, and inserts the runs. Compare and set make it safe to send a batch again whose outcome is unknown: what was
// stored already is answered as such.
// A place that is locked (a login, an append of another node) is left out, and its events are sent again: an append that
// waited for it, with others locked, could be what the login waits for, and all other agents would wait with it.

/** More events than are ever committed and not yet at a standby; 9 million failovers fit into a cursor. */
const JUMP = 1_000_000_000;

/**
 * What one item of the arrays is: the agent by its number (`agent.key`), the epoch of its session, the number of its
 * first message, how many they are, the fingerprint of its log before and behind them (shared/sqlite/logs/fingerprint.ts).
 * Runs (central/store/sql/events/run-writes.ts) name their agent by its place in these arrays, from 1 on; `packed` has
 * the keys, lengths and texts of all of them one behind the other. Answers in the order of the agents; `outcome` is
 * `taken` (with the cursor of the first event), `had`, `busy` (its place is locked now), `fenced` (another session, or a
 * removed agent), `elsewhere` (the log is at another place), or `slow` (its messages are looked up one by one: not by this
 * function). `custom plans`: a generic plan of the statements over arrays takes seven times as long (measured). The wait
 * for the newest cursor ends before the caller gives up: the backend of a connection that was cut off would wait on, and
 * take the place of another one.
 */
export const APPEND = `
-- The cursor in front of the first of so many. A server on another timeline may lack the newest cursors, which consumers
-- have: those that they may have are left out.
CREATE FUNCTION take_cursors(total bigint) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
  now_on text := substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8);
  known record;
BEGIN
  UPDATE event_log SET newest = newest + total RETURNING newest - total AS before, timeline INTO known;
  IF known.timeline = now_on THEN RETURN known.before; END IF;
  IF known.timeline = '' THEN
    UPDATE event_log SET timeline = now_on;
    RETURN known.before;
  END IF;
  UPDATE event_log SET newest = newest + ${JUMP}, timeline = now_on;
  INSERT INTO event_gap (before, through) VALUES (known.before, known.before + ${JUMP});
  RETURN known.before + ${JUMP};
END $$;

CREATE FUNCTION append_events(agents bigint[], epochs bigint[], firsts bigint[], counts bigint[], befores text[],
  afters text[], at_ms bigint, run_agents integer[], run_firsts bigint[], run_counts bigint[], key_lengths integer[],
  length_lengths integer[], body_lengths integer[], keys bigint[], packed bytea)
RETURNS TABLE (outcome text, first_cursor bigint, of_incarnation text) LANGUAGE plpgsql
  SET plan_cache_mode = force_custom_plan SET lock_timeout = '10s' AS $$
DECLARE
  place record;
  outcomes text[] := array_fill('busy'::text, ARRAY[cardinality(agents)]);
  cursors bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(agents)]);
  incarnations text[] := array_fill(NULL::text, ARRAY[cardinality(agents)]);
  origins bigint[] := array_fill(NULL::bigint, ARRAY[cardinality(agents)]);
  found_count integer := 0;
  total bigint := 0;
  cursor_at bigint;
  byte_at integer := 1;
  key_at integer := 1;
  origin_key bigint;
  one integer;
BEGIN
  FOR place IN
    SELECT asked.i, log.number, log.id, log.epoch, log.incarnation, log.deduplicates, log.looked_up_since
      FROM unnest(agents) WITH ORDINALITY AS asked (peer, i) JOIN inbox_log AS log ON log.peer = asked.peer
      FOR UPDATE OF log SKIP LOCKED
  LOOP
    one := place.i;
    found_count := found_count + 1;
    incarnations[one] := place.incarnation;
    IF place.epoch <> epochs[one] THEN outcomes[one] := 'fenced';
    ELSIF place.incarnation IS NULL THEN outcomes[one] := 'elsewhere';
    ELSIF place.number = firsts[one] + counts[one] - 1 AND place.id = afters[one] THEN outcomes[one] := 'had';
    ELSIF place.deduplicates = 0 OR place.looked_up_since IS NOT NULL THEN outcomes[one] := 'slow';
    ELSIF place.number <> firsts[one] - 1 OR coalesce(place.id, '') <> befores[one] THEN outcomes[one] := 'elsewhere';
    ELSE
      outcomes[one] := 'taken';
      total := total + counts[one];
    END IF;
  END LOOP;
  IF found_count < cardinality(agents) THEN
    FOR one IN 1 .. cardinality(agents) LOOP
      IF outcomes[one] = 'busy' AND NOT EXISTS (SELECT 1 FROM inbox_log WHERE peer = agents[one]) THEN
        outcomes[one] := 'fenced';
      END IF;
    END LOOP;
  END IF;
  IF total > 0 THEN
    UPDATE inbox_log SET number = asked.first + asked.n - 1, id = asked.link, last_at = at_ms
      FROM unnest(agents, firsts, counts, afters, outcomes) AS asked (peer, first, n, link, was)
      WHERE inbox_log.peer = asked.peer AND asked.was = 'taken';
    FOR one IN 1 .. cardinality(agents) LOOP
      IF outcomes[one] = 'taken' THEN
        SELECT origin.key INTO origin_key FROM origin JOIN agent ON agent.id = origin.agent_id
          WHERE agent.key = agents[one] AND origin.incarnation = incarnations[one] AND origin.ended IS NULL;
        IF NOT FOUND THEN
          INSERT INTO origin (agent_id, incarnation) SELECT agent.id, incarnations[one] FROM agent WHERE agent.key = agents[one]
            ON CONFLICT (agent_id, incarnation) DO UPDATE SET ended = NULL RETURNING key INTO origin_key;
        END IF;
        origins[one] := origin_key;
      END IF;
    END LOOP;
    -- Last of all: from here on to the commit all appends follow each other.
    cursor_at := take_cursors(total);
    FOR run IN 1 .. cardinality(run_agents) LOOP
      one := run_agents[run];
      IF outcomes[one] = 'taken' THEN
        IF cursors[one] IS NULL THEN cursors[one] := cursor_at + 1; END IF;
        cursor_at := cursor_at + run_counts[run];
        INSERT INTO event_run (through, count, origin, first_number, received_at, keys, lengths, body) VALUES (cursor_at, run_counts[run],
          origins[one], run_firsts[run], at_ms, substr(packed, byte_at, key_lengths[run]),
          substr(packed, byte_at + key_lengths[run], length_lengths[run]),
          substr(packed, byte_at + key_lengths[run] + length_lengths[run], body_lengths[run]));
        INSERT INTO event_run_key (what, through) SELECT what, cursor_at FROM unnest(keys[key_at : key_at + key_lengths[run] / 8 - 1]) AS what;
      END IF;
      byte_at := byte_at + key_lengths[run] + length_lengths[run] + body_lengths[run];
      key_at := key_at + key_lengths[run] / 8;
    END LOOP;
  END IF;
  RETURN QUERY SELECT * FROM unnest(outcomes, cursors, incarnations);
END $$;
`;
