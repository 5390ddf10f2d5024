// What many sessions ask for at once, on PostgreSQL: each gets what it would get alone.
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Store } from '../../../../../central/store/store.ts';
import { freshDatabase, type TestDatabase } from '../../../../postgres/cluster.ts';
import { message, NOW, online, ROOM } from '../../samples.ts';
import { openAt } from '../engine.ts';

let database: TestDatabase;
let store: Store;
beforeAll(async () => {
  database = await freshDatabase();
  store = await openAt(database.url);
});
afterAll(async () => {
  await store.stop();
  await database.drop();
});

it('reads agents, what they trust and their commands', async () => {
  const ids = ['a1', 'a2', 'a3'];
  for (const id of ids) await online(store, id);
  await store.certificates.recordTrust('a2', ['root']);
  await store.outbox.append('a3', [message('c1'), message('c2')], ROOM, NOW);
  const asked = [...ids, 'a1', 'unknown'];
  const agents = await Promise.all(asked.map((id) => store.agents.get(id)));
  expect(agents.map((agent) => agent?.name)).toEqual(['a1', 'a2', 'a3', 'a1', undefined]);
  expect(agents[1]).toEqual(await store.agents.get('a2'));
  expect(await Promise.all(asked.map((id) => store.certificates.trustOf(id)))).toEqual([
    null,
    ['root'],
    null,
    null,
    null,
  ]);
  const reads = [
    ['a1', 0],
    ['a2', 0],
    ['a3', 0],
    ['a3', 1],
    ['a3', 2],
    ['unknown', 0],
  ] as const;
  const found = await Promise.allSettled(reads.map(([id, after]) => store.outbox.read(id, after, 10, 1e6)));
  expect(
    found.map((one) => (one.status === 'fulfilled' ? one.value.map(({ number }) => number) : one.reason.code)),
  ).toEqual([[], [], [1, 2], [2], [], 'agent_unknown']);
});
