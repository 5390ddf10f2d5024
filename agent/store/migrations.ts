// The tables of the agent's store. Released steps are never changed, only added to.
import { INBOX_DATA_HASH, INBOX_SCHEMA } from '../../shared/sqlite/logs/inbox-log.ts';
import { OUTBOX_DATA_HASH, OUTBOX_SCHEMA } from '../../shared/sqlite/logs/outbox-log.ts';

/** "QGA1": a database of an agent. */
export const APPLICATION_ID = 0x51474131;

/** The peer of both logs: there is one Central, however many processes it has. */
export const CENTRAL = 1;

/** Both logs begin with the database. `command` is in the order of arrival; AUTOINCREMENT never assigns a cursor twice, even when the table is empty. */
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

/** The SQL at index n leads from schema n to n + 1. */
export const MIGRATIONS: readonly string[] = [FIRST, DATA_HASHES];
