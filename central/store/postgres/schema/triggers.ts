// What rows bring about in other rows: the triggers of the embedded store, one for each event of a table, and the epoch
// of an agent beside its place in its log, so that an append looks at one row.
import { LETTER_BYTES } from '../../sql/letter-bytes.ts';

interface Trigger {
  readonly name: string;
  /** Such as `AFTER DELETE ON agent`. */
  readonly when: string;
  /** Absent: always. */
  readonly only?: string;
  readonly does: string;
}

const added = (what: string, owner: string, bytes: string): string => `
  INSERT INTO kept (what, owner, entries, bytes) VALUES (${what}, ${owner}, 1, ${bytes})
    ON CONFLICT (what, owner) DO UPDATE SET entries = kept.entries + 1, bytes = kept.bytes + excluded.bytes;`;
const removed = (what: string, owner: string, bytes: string): string => `
  UPDATE kept SET entries = entries - 1, bytes = bytes - (${bytes}) WHERE what = ${what} AND owner = ${owner};
  DELETE FROM kept WHERE what = ${what} AND owner = ${owner} AND entries <= 0;`;

const HISTORY = `
  INSERT INTO agent_history (agent, at, state, reason, until) VALUES (NEW.key, NEW.state_since, NEW.state, NEW.state_reason,
    CASE WHEN NEW.state = 'quarantined' THEN NEW.quarantined_until
      WHEN NEW.state IN ('draining', 'throttled') THEN NEW.state_until END);`;

const ALL: readonly Trigger[] = [
  { name: 'agent_added', when: 'AFTER INSERT ON agent', does: HISTORY },
  {
    name: 'agent_has_another_state',
    when: 'AFTER UPDATE OF state ON agent',
    only: 'OLD.state <> NEW.state',
    does: `${HISTORY}
  DELETE FROM agent_history WHERE agent = NEW.key AND key <=
    (SELECT key FROM agent_history WHERE agent = NEW.key ORDER BY key DESC LIMIT 1 OFFSET 50);`,
  },
  {
    name: 'agent_has_another_epoch',
    when: 'AFTER UPDATE OF epoch ON agent',
    only: 'OLD.epoch <> NEW.epoch',
    does: 'UPDATE inbox_log SET epoch = NEW.epoch WHERE peer = NEW.key;',
  },
  {
    name: 'agent_session_ended',
    when: 'AFTER UPDATE OF session_ended_at ON agent',
    only: 'OLD.session_ended_at IS NULL AND NEW.session_ended_at IS NOT NULL',
    does: 'UPDATE outbox_log SET offered = next - 1 WHERE peer = NEW.key;',
  },
  {
    name: 'agent_removed',
    when: 'AFTER DELETE ON agent',
    does: `${[
      ['recovery_code', 'agent'],
      ['event_day', 'peer'],
      ['consumer_report', 'agent'],
      ['rollout_agent', 'agent'],
      ['agent_release', 'agent'],
      ['agent_history', 'agent'],
      ['task', 'agent'],
      ['task_handlers', 'agent'],
      ['reported_services', 'agent'],
      ['task_queue_agent', 'agent'],
    ]
      .map(([table, column]) => `DELETE FROM ${table} WHERE ${column} = OLD.key;`)
      .join(' ')}
  UPDATE origin SET ended = (SELECT newest FROM event_log) WHERE agent_id = OLD.id AND ended IS NULL;`,
  },
  {
    name: 'dead_letter_added',
    when: 'AFTER INSERT ON dead_letter',
    does: added('NEW.direction', 'NEW.agent_id', LETTER_BYTES('NEW')),
  },
  {
    name: 'dead_letter_removed',
    when: 'AFTER DELETE ON dead_letter',
    does: removed('OLD.direction', 'OLD.agent_id', LETTER_BYTES('OLD')),
  },
  { name: 'incident_added', when: 'AFTER INSERT ON incident', does: added("'incident'", 'NEW.owner', '0') },
  { name: 'incident_removed', when: 'AFTER DELETE ON incident', does: removed("'incident'", 'OLD.owner', '0') },
  {
    name: 'release_removed',
    when: 'AFTER DELETE ON release',
    does: 'DELETE FROM release_blob WHERE release = OLD.number;',
  },
  {
    name: 'api_token_removed',
    when: 'AFTER DELETE ON api_token',
    does: 'DELETE FROM idempotency_key WHERE token = OLD.id; DELETE FROM sign_in WHERE owner = OLD.id;',
  },
  {
    name: 'api_token_has_another_role',
    when: 'AFTER UPDATE OF role, scope ON api_token',
    only: 'OLD.role <> NEW.role OR OLD.scope IS DISTINCT FROM NEW.scope',
    does: 'DELETE FROM sign_in WHERE owner = OLD.id;',
  },
];

export const TRIGGERS = ALL.map(
  ({ name, when, only, does }) => `
CREATE FUNCTION ${name}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN ${does} RETURN NULL; END $$;
CREATE TRIGGER ${name} ${when} FOR EACH ROW ${only === undefined ? '' : `WHEN (${only}) `}EXECUTE FUNCTION ${name}();`,
).join('\n');
