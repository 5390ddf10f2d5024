// The tables of Central's SQLite store. Released migrations never change; new ones are added.
import { INBOX_DATA_HASH, INBOX_SCHEMA } from '../../../shared/sqlite/logs/inbox-log.ts';
import { OUTBOX_DATA_HASH, OUTBOX_SCHEMA } from '../../../shared/sqlite/logs/outbox-log.ts';
import { compatibilitySchema } from '../../../shared/sqlite/compatibility.ts';
import { LETTER_BYTES } from '../sql/letter-bytes.ts';
import { ROLLOUTS } from '../sql/rollouts/schema.ts';
import { RELEASES } from '../sql/releases/schema.ts';
import { IDEMPOTENCY_KEYS } from '../sql/rows/idempotency-keys.ts';
import { SIGN_INS, SIGN_INS_OF_PEOPLE } from '../sql/sign-ins/sign-ins.ts';
import { REPORTED_SERVICES, SERVICE_EXPOSURES } from '../sql/services/schema.ts';
import { SUBSCRIPTIONS } from '../sql/subscriptions/schema.ts';
import { TASK_QUEUES, TASKS } from '../sql/tasks/schema.ts';
import { STORE_INCARNATIONS } from '../sql/events/incarnations.ts';
import { STATE_DEADLINES } from '../sql/rows/agents/agent-history.ts';

/** "QGC1": a database of Central. */
export const APPLICATION_ID = 0x51474331;

/**
 * Each agent has a number that is never reused: the peer of the logs. Rows that outlive an agent (events, dead letters,
 * incidents) carry its id. `origin` is a number for an agent's id and an incarnation of its log, so that an event holds
 * one number instead of two texts. `event.cursor` grows in commit order; the newest event is never pruned, so that no
 * cursor is reused. `event_gap` holds the cursors of a store that this one replaced (a restored backup), which are not
 * reused either.
 */
const FIRST = `
  CREATE TABLE agent (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    public_key TEXT NOT NULL,
    key_thumbprint TEXT NOT NULL UNIQUE,
    enrolled_at INTEGER NOT NULL,
    enrolled_by TEXT NOT NULL,
    state TEXT NOT NULL,
    state_since INTEGER NOT NULL,
    state_reason TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    session TEXT,
    session_boot TEXT,
    session_version TEXT,
    session_transport TEXT,
    session_address TEXT,
    session_node TEXT,
    session_since INTEGER,
    session_ended_at INTEGER,
    quarantined_until INTEGER
  ) STRICT;
  ${OUTBOX_SCHEMA}
  ${INBOX_SCHEMA}
  CREATE TABLE origin (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    agent_id TEXT NOT NULL,
    incarnation TEXT NOT NULL,
    UNIQUE (agent_id, incarnation)
  ) STRICT;
  CREATE TABLE event (
    cursor INTEGER PRIMARY KEY,
    origin INTEGER NOT NULL,
    number INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    type TEXT NOT NULL,
    source TEXT NOT NULL,
    json TEXT NOT NULL
  ) STRICT;
  CREATE INDEX event_origin ON event (origin);
  CREATE TABLE event_gap (
    before INTEGER NOT NULL,
    through INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE dead_letter (
    key INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    direction TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    id TEXT NOT NULL,
    reason TEXT NOT NULL,
    json TEXT NOT NULL
  ) STRICT;
  CREATE INDEX dead_letter_agent ON dead_letter (agent_id);
  CREATE TABLE incident (
    key INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    agent_id TEXT,
    address TEXT,
    detail TEXT NOT NULL
  ) STRICT;
  CREATE INDEX incident_agent ON incident (agent_id);
  CREATE TABLE parameter (
    name TEXT PRIMARY KEY,
    value TEXT,
    changed_by TEXT NOT NULL,
    changed_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE parameter_state (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    version INTEGER NOT NULL,
    pending TEXT
  ) STRICT;
  INSERT INTO parameter_state VALUES (1, 0, NULL);
  CREATE TABLE api_token (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    role TEXT NOT NULL,
    hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_at INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE enrollment_token (
    id TEXT PRIMARY KEY,
    hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    uses INTEGER NOT NULL,
    max_uses INTEGER NOT NULL,
    agent_name TEXT
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE key_material (
    name TEXT PRIMARY KEY,
    value TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE audit (
    number INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    place TEXT NOT NULL,
    action TEXT NOT NULL,
    detail TEXT NOT NULL,
    comment TEXT,
    ticket TEXT,
    hash TEXT NOT NULL
  ) STRICT;
`;

/**
 * Agents' certificates. `agent.certificate` is the newest one's thumbprint; `agent.trusted` the thumbprints of the
 * trust bundle that the agent took last (JSON), NULL for agents from before this was recorded. Certificates outlive
 * their agent: an issued one may have to be listed as revoked.
 */
const CERTIFICATES = `
  ALTER TABLE agent ADD COLUMN certificate TEXT;
  ALTER TABLE agent ADD COLUMN trusted TEXT;
  CREATE TABLE agent_certificate (
    thumbprint TEXT PRIMARY KEY,
    agent_id TEXT NOT NULL,
    serial TEXT NOT NULL,
    issuer TEXT NOT NULL,
    key_thumbprint TEXT NOT NULL,
    not_before INTEGER NOT NULL,
    not_after INTEGER NOT NULL,
    issued_at INTEGER NOT NULL,
    UNIQUE (issuer, serial)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX agent_certificate_agent ON agent_certificate (agent_id, issued_at);
  CREATE INDEX agent_certificate_end ON agent_certificate (not_after, thumbprint);
  CREATE TABLE expiry_warning (
    thumbprint TEXT PRIMARY KEY,
    days INTEGER NOT NULL,
    at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
`;

/**
 * Renewal: an agent's next key with its certificate; of each certificate the one that it renews, the chain as it was
 * sent (to repeat a lost answer), the address of the request, and when the agent had it on disk. Revocation: an agent's
 * reason (its time is the state's), and time and reason of each certificate.
 */
const RENEWAL = `
  ALTER TABLE agent ADD COLUMN next_public_key TEXT;
  ALTER TABLE agent ADD COLUMN next_key_thumbprint TEXT;
  ALTER TABLE agent ADD COLUMN next_certificate TEXT;
  ALTER TABLE agent ADD COLUMN revocation_reason TEXT;
  CREATE UNIQUE INDEX agent_next_key ON agent (next_key_thumbprint);
  ALTER TABLE agent_certificate ADD COLUMN renews TEXT;
  ALTER TABLE agent_certificate ADD COLUMN chain TEXT;
  ALTER TABLE agent_certificate ADD COLUMN address TEXT;
  ALTER TABLE agent_certificate ADD COLUMN installed_at INTEGER;
  ALTER TABLE agent_certificate ADD COLUMN revoked_at INTEGER;
  ALTER TABLE agent_certificate ADD COLUMN revocation_reason TEXT;
  CREATE INDEX agent_certificate_renews ON agent_certificate (renews) WHERE renews IS NOT NULL;
  CREATE INDEX agent_certificate_revoked ON agent_certificate (issuer, thumbprint) WHERE revoked_at IS NOT NULL;
`;

/**
 * Machines that ask to become agents without a token; `state` is pending, accepted or rejected, `certificate` what an
 * accepted one was given (PEM). A recovery code belongs to the agent's number, which is never given twice: it goes with
 * its agent.
 */
const ENROLLMENT = `
  CREATE TABLE pending_enrollment (
    key_thumbprint TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    id TEXT,
    csr TEXT NOT NULL,
    address TEXT NOT NULL,
    transport TEXT NOT NULL,
    first_asked_at INTEGER NOT NULL,
    last_asked_at INTEGER NOT NULL,
    state TEXT NOT NULL,
    decided_at INTEGER,
    decided_by TEXT,
    comment TEXT,
    certificate TEXT
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX pending_enrollment_address ON pending_enrollment (address, state);
  CREATE TABLE recovery_code (
    agent INTEGER PRIMARY KEY,
    hash TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    created_by TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    wrong_tries INTEGER NOT NULL,
    used_by TEXT
  ) STRICT;
  CREATE TRIGGER recovery_code_of_removed_agent AFTER DELETE ON agent BEGIN
    DELETE FROM recovery_code WHERE agent = OLD.key;
  END;
`;

/**
 * `block` shares one bound of pending requests (an IPv4 address, an IPv6 /64), `site` has many blocks. Wrong recovery
 * codes are not counted here any more: they are slowed down in memory. Ids are compared case-insensitively when one is
 * taken.
 */
const BLOCKS_AND_NAMES = `
  ALTER TABLE pending_enrollment ADD COLUMN block TEXT NOT NULL DEFAULT '';
  ALTER TABLE pending_enrollment ADD COLUMN site TEXT NOT NULL DEFAULT '';
  UPDATE pending_enrollment SET block = address, site = address;
  DROP INDEX pending_enrollment_address;
  CREATE INDEX pending_enrollment_block ON pending_enrollment (state, block, last_asked_at);
  CREATE INDEX pending_enrollment_site ON pending_enrollment (state, site, last_asked_at);
  ALTER TABLE recovery_code DROP COLUMN wrong_tries;
  CREATE INDEX agent_id_any_case ON agent (id COLLATE NOCASE);
`;

const keptOf = (table: string, when: 'INSERT' | 'DELETE', what: string, owner: string, bytes: string): string => {
  const [row, sign] = when === 'INSERT' ? ['NEW', '+'] : ['OLD', '-'];
  return `
  CREATE TRIGGER ${table}_${when.toLowerCase()}_kept AFTER ${when} ON ${table} BEGIN
    INSERT INTO kept (what, owner, entries, bytes) VALUES (${what}, ${row}.${owner}, ${sign}1, ${sign}${bytes})
      ON CONFLICT DO UPDATE SET entries = entries + excluded.entries, bytes = bytes + excluded.bytes;
    ${when === 'DELETE' ? `DELETE FROM kept WHERE what = ${what} AND owner = OLD.${owner} AND entries <= 0;` : ''}
  END;`;
};

/**
 * Bounds per agent (central/store/space/bounds.ts). `kept` counts the rows of each agent as they are added and deleted:
 * dead letters by direction (up, down), and incidents by owner (the agent that caused them, '' for strangers). A dead
 * letter counts for `count` messages up to the number `through` (NULL: one message); an incident for `count` of its
 * kind and source from `at` through `last_at`. `event_day` counts the events of an agent on its last day, where a limit
 * is set, and how often its log restarted. Counting the old rows reads dead letters once without their texts
 * (octet_length), some 100 MB/s of rows.
 */
const BOUNDS_PER_AGENT = `
  ALTER TABLE dead_letter ADD COLUMN through INTEGER;
  ALTER TABLE dead_letter ADD COLUMN count INTEGER NOT NULL DEFAULT 1;
  DROP INDEX dead_letter_agent;
  CREATE INDEX dead_letter_agent_direction ON dead_letter (agent_id, direction);
  ALTER TABLE incident ADD COLUMN owner TEXT NOT NULL DEFAULT '';
  ALTER TABLE incident ADD COLUMN source TEXT NOT NULL DEFAULT '';
  ALTER TABLE incident ADD COLUMN count INTEGER NOT NULL DEFAULT 1;
  ALTER TABLE incident ADD COLUMN last_at INTEGER;
  UPDATE incident SET owner = agent_id WHERE agent_id IS NOT NULL AND (address IS NULL
    OR kind IN ('clone', 'agent_name_taken', 'agent_revoked', 'certificate_required', 'certificate_foreign', 'certificate_expired', 'certificate_renewed_twice', 'certificate_expired_in_grace'));
  CREATE INDEX incident_owner ON incident (owner);
  CREATE INDEX incident_cause ON incident (owner, kind, source);
  CREATE TABLE kept (
    what TEXT NOT NULL,
    owner TEXT NOT NULL,
    entries INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    PRIMARY KEY (what, owner)
  ) STRICT, WITHOUT ROWID;
  INSERT INTO kept SELECT direction, agent_id, count(*), sum(${LETTER_BYTES('dead_letter')}) FROM dead_letter GROUP BY direction, agent_id;
  INSERT INTO kept SELECT 'incident', owner, count(*), 0 FROM incident GROUP BY owner;
  ${keptOf('dead_letter', 'INSERT', 'NEW.direction', 'agent_id', LETTER_BYTES('NEW'))}
  ${keptOf('dead_letter', 'DELETE', 'OLD.direction', 'agent_id', LETTER_BYTES('OLD'))}
  ${keptOf('incident', 'INSERT', "'incident'", 'owner', '0')}
  ${keptOf('incident', 'DELETE', "'incident'", 'owner', '0')}
  CREATE TABLE event_day (
    peer INTEGER PRIMARY KEY,
    day INTEGER NOT NULL,
    events INTEGER NOT NULL,
    restarts INTEGER NOT NULL
  ) STRICT;
  CREATE TRIGGER event_day_of_removed_agent AFTER DELETE ON agent BEGIN
    DELETE FROM event_day WHERE peer = OLD.key;
  END;
  CREATE TABLE counter (
    name TEXT PRIMARY KEY,
    value INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  INSERT INTO counter VALUES ('dead_letters_dropped', 0);
`;

/** Distinguishes a repetition under the same (source, id) from another message. */
const DATA_HASHES = `${OUTBOX_DATA_HASH} ${INBOX_DATA_HASH}`;

/** Each enrollment, recovery and renewal looks up whether its key was revoked. */
const REVOKED_KEYS = `
  CREATE INDEX agent_certificate_revoked_key ON agent_certificate (key_thumbprint) WHERE revoked_at IS NOT NULL;
`;

/** Two writers cannot overwrite each other's keys: each names the version of the subject that it read. */
const KEY_MATERIAL_VERSIONS = `
  CREATE TABLE key_material_version (
    subject TEXT PRIMARY KEY,
    version INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
`;

/** The words of REST. */
const ENROLLMENT_REQUESTS = `
  ALTER TABLE pending_enrollment RENAME TO enrollment_request;
  ALTER TABLE enrollment_request RENAME COLUMN first_asked_at TO first_requested_at;
  ALTER TABLE enrollment_request RENAME COLUMN last_asked_at TO last_requested_at;
  DROP INDEX pending_enrollment_block;
  DROP INDEX pending_enrollment_site;
  CREATE INDEX enrollment_request_block ON enrollment_request (state, block, last_requested_at);
  CREATE INDEX enrollment_request_site ON enrollment_request (state, site, last_requested_at);
`;

/** What each agent reported last of the consumers of its commands, as JSON. */
const CONSUMER_REPORTS = `
  CREATE TABLE consumer_report (
    agent INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL,
    at INTEGER NOT NULL,
    report TEXT NOT NULL
  ) STRICT;
  CREATE TRIGGER consumer_report_of_removed_agent AFTER DELETE ON agent BEGIN
    DELETE FROM consumer_report WHERE agent = OLD.key;
  END;
`;

/**
 * Events in runs: one row for the messages of one append that follow each other, whose cursors and numbers are
 * consecutive. `through` is the cursor of the last one, `first_number` the number of the first one; `lengths` holds the
 * length of each message in bytes, as varints, `body` their texts one behind the other, and `keys` the entries of the
 * run in `event_run_key` (run-keys.ts), which is how a filter finds it. `event` keeps the events of older schemas until
 * they are converted (conversion.ts), from the newest on: all their cursors are below those of the runs.
 *
 * \`inbox_log.deduplicates\`: the sender said that its outbox refuses repeated messages within an incarnation;
 * \`looked_up_since\`: since then each message is looked up nevertheless; \`indexed\`: the events of the agent through
 * this cursor are in \`inbox_dedup\`, as far as they are looked up there (seen-events.ts). \`origin.ended\` is the
 * newest cursor at the end of that log: behind it none of its events follows.
 */
const EVENT_RUNS = `
  CREATE TABLE event_run (
    through INTEGER PRIMARY KEY,
    count INTEGER NOT NULL,
    origin INTEGER NOT NULL,
    first_number INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    keys BLOB NOT NULL,
    lengths BLOB NOT NULL,
    body BLOB NOT NULL
  ) STRICT;
  CREATE TABLE event_run_key (
    what INTEGER NOT NULL,
    through INTEGER NOT NULL,
    PRIMARY KEY (what, through)
  ) STRICT, WITHOUT ROWID;
  ALTER TABLE inbox_log ADD COLUMN deduplicates INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE inbox_log ADD COLUMN looked_up_since INTEGER;
  ALTER TABLE inbox_log ADD COLUMN indexed INTEGER NOT NULL DEFAULT 0;
  UPDATE inbox_log SET indexed = (SELECT coalesce(max(cursor), 0) FROM event);
  ALTER TABLE origin ADD COLUMN ended INTEGER;
  UPDATE origin SET ended = (SELECT coalesce(max(cursor), 0) FROM event) WHERE NOT EXISTS (
    SELECT 1 FROM agent JOIN inbox_log ON inbox_log.peer = agent.key
    WHERE agent.id = origin.agent_id AND inbox_log.incarnation = origin.incarnation);
  CREATE TRIGGER origin_of_removed_agent AFTER DELETE ON agent BEGIN
    UPDATE origin SET ended = max(coalesce((SELECT max(through) FROM event_run), 0), coalesce((SELECT max(cursor) FROM event), 0))
      WHERE agent_id = OLD.id AND ended IS NULL;
  END;
`;

/**
 * What administrators know of an agent: `labels` as a JSON object of texts, `notes`, and whether they named it
 * (`name_set`). `version` grows with each change of them, `changed_by` made the last one.
 */
const LABELS = `
  ALTER TABLE agent ADD COLUMN labels TEXT NOT NULL DEFAULT '{}';
  ALTER TABLE agent ADD COLUMN notes TEXT NOT NULL DEFAULT '';
  ALTER TABLE agent ADD COLUMN name_set INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE agent ADD COLUMN version INTEGER NOT NULL DEFAULT 0;
  ALTER TABLE agent ADD COLUMN changed_by TEXT;
`;

/**
 * The last 50 changes of state of each agent, with the act that made them: triggers write them, whatever statement
 * changes a state.
 */
const AGENT_HISTORY = `
  CREATE TABLE agent_history (
    key INTEGER PRIMARY KEY,
    agent INTEGER NOT NULL,
    at INTEGER NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL
  ) STRICT;
  CREATE INDEX agent_history_agent ON agent_history (agent, key);
  INSERT INTO agent_history (agent, at, state, reason) SELECT key, state_since, state, state_reason FROM agent;
  CREATE TRIGGER history_of_new_agent AFTER INSERT ON agent BEGIN
    INSERT INTO agent_history (agent, at, state, reason) VALUES (NEW.key, NEW.state_since, NEW.state, NEW.state_reason);
  END;
  CREATE TRIGGER history_of_agent AFTER UPDATE OF state ON agent WHEN OLD.state <> NEW.state BEGIN
    INSERT INTO agent_history (agent, at, state, reason) VALUES (NEW.key, NEW.state_since, NEW.state, NEW.state_reason);
    DELETE FROM agent_history WHERE agent = NEW.key AND key <=
      (SELECT key FROM agent_history WHERE agent = NEW.key ORDER BY key DESC LIMIT 1 OFFSET 50);
  END;
  CREATE TRIGGER history_of_removed_agent AFTER DELETE ON agent BEGIN
    DELETE FROM agent_history WHERE agent = OLD.key;
  END;
`;

/**
 * `offered`: the last command that a session may have sent; what is behind it was certainly not sent, while no session
 * is open.
 */
const OFFERED_COMMANDS = `
  ALTER TABLE outbox_log ADD COLUMN offered INTEGER NOT NULL DEFAULT 0;
  UPDATE outbox_log SET offered = next - 1;
  CREATE TRIGGER commands_of_ended_session AFTER UPDATE OF session_ended_at ON agent
    WHEN OLD.session_ended_at IS NULL AND NEW.session_ended_at IS NOT NULL BEGIN
    UPDATE outbox_log SET offered = next - 1 WHERE peer = NEW.key;
  END;
`;

/** SHA-256 of the blob that has the signature of the build. */
const RELEASE_SIGNATURES = 'ALTER TABLE release ADD COLUMN signature TEXT';
/** Null: it was not used since this is recorded. */
const API_TOKEN_USES = 'ALTER TABLE api_token ADD COLUMN last_used_at INTEGER';

/** Null: for all agents. The hash of a token with a scope is one that older versions refuse (rows/tokens.ts). */
const API_TOKEN_SCOPES = 'ALTER TABLE api_token ADD COLUMN scope TEXT';

/** The SQL at index n leads from schema n to n + 1. */
export const MIGRATIONS: readonly string[] = [
  FIRST,
  CERTIFICATES,
  RENEWAL,
  ENROLLMENT,
  BLOCKS_AND_NAMES,
  BOUNDS_PER_AGENT,
  DATA_HASHES,
  REVOKED_KEYS,
  KEY_MATERIAL_VERSIONS,
  ENROLLMENT_REQUESTS,
  CONSUMER_REPORTS,
  EVENT_RUNS,
  LABELS,
  compatibilitySchema(14),
  ROLLOUTS,
  RELEASES,
  AGENT_HISTORY,
  OFFERED_COMMANDS,
  RELEASE_SIGNATURES,
  SUBSCRIPTIONS,
  API_TOKEN_USES,
  API_TOKEN_SCOPES,
  IDEMPOTENCY_KEYS,
  STORE_INCARNATIONS,
  STATE_DEADLINES,
  SIGN_INS,
  SIGN_INS_OF_PEOPLE,
  SERVICE_EXPOSURES,
  TASKS,
  REPORTED_SERVICES,
  TASK_QUEUES,
];
