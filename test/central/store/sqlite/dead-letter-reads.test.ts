// Dead letters by filter, of a table that has more than one call looks at.
import { DatabaseSync } from 'node:sqlite';
import { afterAll, describe, expect, it } from 'vitest';
import { deadLetterReads } from '../../../../central/store/sql/rows/dead-letters.ts';
import type { DeadLetterQuery } from '../../../../central/store/message-store.ts';

const COUNT = 12_000;
const HOUR = 3_600_000;
const database = new DatabaseSync(':memory:');
// One a second. Every thousandth is of a1; of the others each tenth is withdrawn, and each of the rest expired at one
// side or was rejected.
database.exec(`
  CREATE TABLE dead_letter (key INTEGER PRIMARY KEY, at INTEGER, direction TEXT, agent_id TEXT, number INTEGER,
    through INTEGER, count INTEGER, id TEXT, reason TEXT, json TEXT);
  CREATE INDEX dead_letter_agent_direction ON dead_letter (agent_id, direction);
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${COUNT})
  INSERT INTO dead_letter SELECT i, i * 1000, iif(i % 2, 'up', 'down'), iif(i % 1000, 'a' || (2 + i % 5), 'a1'), i, NULL, 1,
    'm' || i, CASE WHEN i = 3 THEN 'id_reused' WHEN i % 10 = 0 THEN 'withdrawn' WHEN i % 10 < 3 THEN 'expired'
      WHEN i % 10 < 5 THEN 'expired at the agent' ELSE 'it has no type' END, '{}' FROM n;
`);
const letters = deadLetterReads(database);
afterAll(() => database.close());

/** All pages. */
function all(query: Omit<DeadLetterQuery, 'before'>): { readonly keys: readonly number[]; readonly pages: number } {
  const keys: number[] = [];
  for (let pages = 1, before: number | undefined; ; pages += 1) {
    const { items, next } = letters.listDeadLetters({ ...query, ...(before === undefined ? {} : { before }) });
    expect(items.length).toBeLessThanOrEqual(query.limit);
    keys.push(...items.map(({ key }) => key));
    if (next === null) return { keys, pages };
    expect(next).toBeLessThan(before ?? Infinity);
    before = next;
  }
}

const range = (fits: (key: number) => boolean): number[] =>
  Array.from({ length: COUNT }, (_, i) => COUNT - i).filter((key) => fits(key));

describe('dead letters', () => {
  it.each([
    ['all', {}, () => true],
    ['of a direction', { direction: 'up' }, (key: number) => key % 2 === 1],
    ['that expired', { codes: ['message_expired'] }, (key: number) => key !== 3 && [1, 2, 3, 4].includes(key % 10)],
    ['of two codes', { codes: ['message_withdrawn', 'id_reused'] }, (key: number) => key === 3 || key % 10 === 0],
    ['that were rejected', { codes: ['message_invalid'] }, (key: number) => key % 10 > 4],
    ['of a time', { from: 100_000, to: 200_000 }, (key: number) => key >= 100 && key < 200],
    ['of an agent', { agentId: 'a1' }, (key: number) => key % 1000 === 0],
    [
      'of an agent and a time',
      { agentId: 'a1', from: 3_000_000, direction: 'down' },
      (key: number) => key % 1000 === 0 && key >= 3_000,
    ],
    ['of nothing', { codes: [] }, () => false],
  ] as const)('%s are found, the newest first, on pages without a gap', (_, query, fits) => {
    for (const limit of [7, 1_000]) expect(all({ limit, ...query }).keys).toEqual(range(fits));
  });

  it('that are rare are searched in steps, whose pages may be empty', () => {
    const query = { limit: 100, codes: ['id_reused'] } as const;
    expect(letters.listDeadLetters(query)).toEqual({ items: [], next: COUNT - 4_999 });
    expect(all(query)).toEqual({ keys: [3], pages: 3 });
  });

  it('from before the time that is wanted are not searched', () => {
    const from = COUNT * 1_000 + 48 * HOUR;
    expect(letters.listDeadLetters({ limit: 100, from })).toEqual({ items: [], next: null });
  });
});
