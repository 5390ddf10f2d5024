// Writes the rows of requests with an Idempotency-Key (central/store/idempotency/idempotency-store.ts). Bounded, so that
// they need no room of their own below the reserve.
import type { SqlDatabase } from '../../../../shared/sqlite/sql.ts';
import { integer, text, textOrNull, type Row } from '../../../../shared/sqlite/row.ts';
import {
  KEPT_MS,
  MAX_BYTES_IN_ALL,
  MAX_BYTES_OF_TOKEN,
  MAX_KEYS_IN_ALL,
  MAX_KEYS_OF_TOKEN,
  type KeptAnswer,
  type KeyedRequest,
  type KnownRequest,
} from '../../idempotency/idempotency-store.ts';

/**
 * Requests with an Idempotency-Key, by the API token that sent them. `answer` is a JSON
 * document, since it is written and read whole; null: it has not been answered. They go with their token.
 */
export const IDEMPOTENCY_KEYS = `
  CREATE TABLE idempotency_key (
    id INTEGER PRIMARY KEY,
    token TEXT NOT NULL,
    key TEXT NOT NULL,
    head TEXT NOT NULL,
    body TEXT,
    started_at INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    answer TEXT,
    UNIQUE (token, key)
  ) STRICT;
  CREATE INDEX idempotency_key_size ON idempotency_key (token, bytes);
  CREATE INDEX idempotency_key_age ON idempotency_key (started_at);
  CREATE TRIGGER idempotency_keys_of_token AFTER DELETE ON api_token BEGIN
    DELETE FROM idempotency_key WHERE token = OLD.id;
  END;
`;

/** What the columns of a row take besides its answer. */
const ROW_BYTES = 512;

export function idempotencyWrites(database: SqlDatabase) {
  const find = database.prepare(
    'SELECT token, key, head, body, started_at, answer FROM idempotency_key WHERE token = ? AND key = ?',
  );
  const add = database.prepare(
    `INSERT INTO idempotency_key (token, key, head, body, started_at, bytes) VALUES (?, ?, ?, ?, ?, ${ROW_BYTES})`,
  );
  const answered = database.prepare(
    'UPDATE idempotency_key SET body = ?, answer = ?, bytes = ? WHERE token = ? AND key = ?',
  );
  const remove = database.prepare('DELETE FROM idempotency_key WHERE token = ? AND key = ?');
  const expire = database.prepare('DELETE FROM idempotency_key WHERE started_at <= ?');
  const sizeOfToken = database.prepare(
    'SELECT count(*) AS keys, coalesce(sum(bytes), 0) AS bytes FROM idempotency_key WHERE token = ?',
  );
  const sizeInAll = database.prepare('SELECT count(*) AS keys, coalesce(sum(bytes), 0) AS bytes FROM idempotency_key');
  const removeOldestOfToken = database.prepare(
    'DELETE FROM idempotency_key WHERE id = (SELECT min(id) FROM idempotency_key WHERE token = ?)',
  );
  const removeOldest = database.prepare('DELETE FROM idempotency_key WHERE id = (SELECT min(id) FROM idempotency_key)');

  function bound(tokenId: string): void {
    while (exceeds(sizeOfToken.get(tokenId), MAX_KEYS_OF_TOKEN, MAX_BYTES_OF_TOKEN)) removeOldestOfToken.run(tokenId);
    while (exceeds(sizeInAll.get(), MAX_KEYS_IN_ALL, MAX_BYTES_IN_ALL)) removeOldest.run();
  }

  return {
    beginKeyed({ tokenId, key, head, body, startedAt }: KeyedRequest): KnownRequest | undefined {
      const row = find.get(tokenId, key);
      const known = row === undefined ? undefined : knownRequest(row);
      if (known !== undefined && known.startedAt > startedAt - KEPT_MS) return known;
      remove.run(tokenId, key);
      add.run(tokenId, key, head, body, startedAt);
      bound(tokenId);
      return undefined;
    },

    finishKeyed(tokenId: string, key: string, body: string, answer: KeptAnswer): void {
      const json = JSON.stringify(answer);
      answered.run(body, json, ROW_BYTES + Buffer.byteLength(json), tokenId, key);
      bound(tokenId);
    },

    forgetKeyed(tokenId: string, key: string): void {
      remove.run(tokenId, key);
    },

    pruneKeyed(now: number): void {
      expire.run(now - KEPT_MS);
    },
  };
}

function exceeds(row: Row | undefined, keys: number, bytes: number): boolean {
  return integer(row, 'keys') > keys || integer(row, 'bytes') > bytes;
}

function knownRequest(row: Row): KnownRequest {
  const answer = textOrNull(row, 'answer');
  return {
    tokenId: text(row, 'token'),
    key: text(row, 'key'),
    head: text(row, 'head'),
    body: textOrNull(row, 'body'),
    startedAt: integer(row, 'started_at'),
    // Written from an answer only.
    answer: answer === null ? null : (JSON.parse(answer) as KeptAnswer),
  };
}
