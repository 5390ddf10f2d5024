// The tables of the agent's store. Released steps are never changed, only added to.
import { compatibilitySchema } from '../../shared/sqlite/compatibility.ts';
import { INBOX_DATA_HASH, INBOX_SCHEMA } from '../../shared/sqlite/logs/inbox-log.ts';
import { OUTBOX_DATA_HASH, OUTBOX_SCHEMA } from '../../shared/sqlite/logs/outbox-log.ts';

/** "QGA1": a database of an agent. */
export const APPLICATION_ID = 0x51474131;

/** The peer of both logs: there is one Central, however many processes it has. */
export const CENTRAL = 1;

/** The row of the consumer \`default\`, which is never removed. */
const DEFAULT_KEY = 1;

/**
 * Both logs begin with the database. `command` is in the order of arrival; AUTOINCREMENT never assigns a cursor twice,
 * even when the table is empty.
 */
const FIRST = `
  ${OUTBOX_SCHEMA}
  ${INBOX_SCHEMA}
  INSERT INTO outbox_log (peer, incarnation, generation, next, link, acknowledged, messages, bytes) VALUES (${CENTRAL}, lower(hex(randomblob(16))), 0, 1, '', 0, 0, 0);
  INSERT INTO inbox_log (peer, number) VALUES (${CENTRAL}, 0);
  CREATE TABLE command (
    cursor INTEGER PRIMARY KEY AUTOINCREMENT,
    number INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    expires_at INTEGER,
    id TEXT NOT NULL,
    json TEXT NOT NULL
  ) STRICT;
  CREATE INDEX command_expiry ON command (expires_at) WHERE expires_at IS NOT NULL;
  CREATE TABLE command_total (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    messages INTEGER NOT NULL,
    bytes INTEGER NOT NULL
  ) STRICT;
  INSERT INTO command_total VALUES (1, 0, 0);
  CREATE TABLE dead_letter (
    key INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    direction TEXT NOT NULL,
    number INTEGER NOT NULL,
    id TEXT NOT NULL,
    reason TEXT NOT NULL,
    json TEXT NOT NULL
  ) STRICT;
  CREATE TABLE incident (
    key INTEGER PRIMARY KEY,
    at INTEGER NOT NULL,
    kind TEXT NOT NULL,
    detail TEXT NOT NULL
  ) STRICT;
`;

/** Distinguishes a repeat under the same (source, id) from another message. */
const DATA_HASHES = `${OUTBOX_DATA_HASH} ${INBOX_DATA_HASH}`;

/**
 * Each command belongs to one consumer; those from before are of `default`, and may have been delivered already. The
 * index holds the cursor too, as each index of SQLite does. `delivered` is the last cursor that was handed out,
 * `acknowledged` the last one that was acknowledged, `last` the last one that was stored. `command.number` is 0 once
 * Central's log has begun another incarnation.
 */
const CONSUMERS = `
  CREATE TABLE consumer (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE,
    messages INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    last INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0,
    acknowledged INTEGER NOT NULL DEFAULT 0
  ) STRICT;
  INSERT INTO consumer (key, name, messages, bytes, last, delivered)
    SELECT ${DEFAULT_KEY}, 'default', messages, bytes, coalesce(max(cursor), 0), coalesce(max(cursor), 0)
    FROM command_total LEFT JOIN (SELECT cursor FROM command ORDER BY cursor DESC LIMIT 1);
  DROP TABLE command_total;
  ALTER TABLE command ADD COLUMN consumer INTEGER NOT NULL DEFAULT ${DEFAULT_KEY};
  CREATE INDEX command_consumer ON command (consumer);
`;

/**
 * `central_time`: at `since_boot_ms` of the boot `boot_id`, Central's time was at least `at`, and the clock of the host
 * `ahead_ms` ahead of it. `expired_command`: what Central does not know yet; a row stands for `count` commands.
 */
const CENTRAL_TIME = `
  CREATE TABLE central_time (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    at INTEGER NOT NULL,
    since_boot_ms INTEGER NOT NULL,
    boot_id TEXT,
    ahead_ms INTEGER NOT NULL
  ) STRICT;
  CREATE TABLE expired_command (
    key INTEGER PRIMARY KEY AUTOINCREMENT,
    number INTEGER NOT NULL,
    through INTEGER NOT NULL,
    count INTEGER NOT NULL,
    id TEXT NOT NULL,
    source TEXT NOT NULL,
    consumer TEXT NOT NULL
  ) STRICT;
`;

/**
 * The tasks of the agent (tasks.ts). `change` numbers what Central does not know yet; NULL: it knows the row as it is.
 */
const TASKS = `
  CREATE TABLE task (
    key TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    change INTEGER,
    document TEXT NOT NULL
  ) STRICT;
  CREATE INDEX task_change ON task (change) WHERE change IS NOT NULL;
  CREATE INDEX task_state ON task (state);
`;

/** The SQL at index n leads from schema n to n + 1. */
export const MIGRATIONS: readonly string[] = [
  FIRST,
  DATA_HASHES,
  CONSUMERS,
  CENTRAL_TIME,
  compatibilitySchema(5),
  TASKS,
];
