// How many requests with an Idempotency-Key are kept; the rest is the store's contract.
import { beforeEach, expect, test } from 'vitest';
import {
  KEPT_MS,
  MAX_BYTES_IN_ALL,
  MAX_BYTES_OF_TOKEN,
  MAX_KEYS_IN_ALL,
  MAX_KEYS_OF_TOKEN,
} from '../../../../../central/store/idempotency/idempotency-store.ts';
import { idempotencyWrites } from '../../../../../central/store/sql/rows/idempotency-keys.ts';
import { tokenWrites } from '../../../../../central/store/sql/rows/tokens.ts';
import { NOW } from '../../samples.ts';
import { emptyDatabase } from '../../sqlite/events/in-process.ts';

const LARGE = { status: 201, headers: {}, text: 'x'.repeat(256 * 1024) };

let database: ReturnType<typeof emptyDatabase>;
let writes: ReturnType<typeof idempotencyWrites>;

beforeEach(() => {
  database = emptyDatabase();
  writes = idempotencyWrites(database);
});

const begin = (tokenId: string, key: string, startedAt = NOW) =>
  writes.beginKeyed({ tokenId, key, head: 'h', body: 'b', startedAt });

function keysOf(tokenId?: string): number {
  const where = tokenId === undefined ? '' : `WHERE token = '${tokenId}'`;
  return Number(database.prepare(`SELECT count(*) AS keys FROM idempotency_key ${where}`).get()?.['keys']);
}

/** As many rows as asked for, without the cost of a call for each. */
function fill(tokenId: string, count: number): void {
  database.exec(`
    INSERT INTO idempotency_key (token, key, head, body, started_at, bytes)
    WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
    SELECT '${tokenId}', 'k' || i, 'h', 'b', ${NOW}, 512 FROM n`);
}

test('the oldest key of a token gives way to its newest, and no other token loses one', () => {
  begin('t2', 'k1');
  fill('t1', MAX_KEYS_OF_TOKEN);
  expect(begin('t1', 'k1')).toBeDefined();
  expect(begin('t1', 'more')).toBeUndefined();
  expect([keysOf('t1'), keysOf('t2')]).toEqual([MAX_KEYS_OF_TOKEN, 1]);
  expect(begin('t1', 'k2')).toBeDefined();
  expect(begin('t1', 'k1')).toBeUndefined();
});

test('in all there are so many keys', () => {
  for (let token = 0; token * MAX_KEYS_OF_TOKEN < MAX_KEYS_IN_ALL; token += 1) fill(`t${token}`, MAX_KEYS_OF_TOKEN);
  begin('more', 'k');
  expect([keysOf(), keysOf('t0'), keysOf('more')]).toEqual([MAX_KEYS_IN_ALL, MAX_KEYS_OF_TOKEN - 1, 1]);
});

test('answers have so many bytes of a token, and in all', () => {
  const perToken = Math.floor(MAX_BYTES_OF_TOKEN / LARGE.text.length);
  const tokens = MAX_BYTES_IN_ALL / MAX_BYTES_OF_TOKEN + 1;
  for (let token = 0; token < tokens; token += 1)
    for (let key = 0; key <= perToken; key += 1) {
      begin(`t${token}`, `k${key}`);
      writes.finishKeyed(`t${token}`, `k${key}`, 'b', LARGE);
    }
  const bytes = Number(database.prepare('SELECT sum(bytes) AS bytes FROM idempotency_key').get()?.['bytes']);
  expect(bytes).toBeLessThanOrEqual(MAX_BYTES_IN_ALL);
  expect(keysOf('t4')).toBeLessThanOrEqual(perToken);
  expect(begin('t4', `k${perToken}`)).toMatchObject({ answer: LARGE });
});

test('keys are pruned after a day, and with their token', () => {
  const tokens = tokenWrites(database, () => NOW, new Set());
  const token = { id: 't1', name: 't1', role: 'viewer', hash: 'h', createdAt: NOW, createdBy: 'admin' } as const;
  tokens.addApiToken({ ...token, scope: null, expiresAt: null, lastUsedAt: null });
  begin('t1', 'old', NOW - KEPT_MS);
  begin('t1', 'new');
  writes.pruneKeyed(NOW);
  expect(keysOf()).toBe(1);
  begin('t2', 'new');
  tokens.removeApiToken('t1');
  expect([keysOf('t1'), keysOf('t2')]).toEqual([0, 1]);
});
