// Logins that arrive together, on PostgreSQL: each gets what it would get alone.
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Login } from '../../../../central/store/agent-store.ts';
import type { Store } from '../../../../central/store/store.ts';
import { freshDatabase, type TestDatabase } from '../../../postgres/cluster.ts';
import { framesOf } from '../../../shared/delivery/frames.ts';
import { ACT, claimOf, items, message, NOW, online, registered, ROOM } from '../samples.ts';
import { openAt } from './engine.ts';

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

const TERMS = { keyAlone: true, expiresAfter: NOW };

it('gives each of many logins at once what it gets alone', async () => {
  const ids = Array.from({ length: 12 }, (_, index) => `a${index}`);
  const epochs: number[] = [];
  for (const id of ids) {
    epochs.push(await online(store, id));
    await store.inbox.append(id, epochs.at(-1) ?? 0, 1, framesOf(1, items(`e-${id}`)), NOW);
    await store.outbox.append(id, [message(`c-${id}`), message(`d-${id}`)], ROOM, NOW);
  }
  const { down, epoch } = await store.agents.claimSession(claimOf('a3'));
  await store.agents.disable('a1', { now: NOW, text: 'disabled: by a test' }, ACT);
  // a2 has everything; what it has is acknowledged by its login.
  const [, last] = await store.outbox.read('a2', 0, 10, 1e6);
  const claims = [
    ...ids.map((id) => claimOf(id, { session: 's2' })),
    claimOf('a0', { session: 'again' }),
    claimOf('unknown'),
    claimOf('a4', { keyThumbprint: 'of another' }),
  ].map((claim) => (claim.agentId === 'a5' ? { ...claim, name: 'Five' } : claim));
  const logins = await Promise.all(claims.map((claim) => store.agents.logIn(claim, TERMS)));
  const shown = (login: Login | undefined) =>
    login?.kind === 'claimed'
      ? {
          epoch: login.claimed.epoch,
          name: login.claimed.name,
          up: login.claimed.up?.number,
          begun: login.claimed.begun?.next,
        }
      : login?.agent?.state;
  expect(logins.slice(0, 12).map(shown)).toEqual(
    ids.map((id, index) =>
      id === 'a1'
        ? 'disabled'
        : { epoch: (id === 'a3' ? epoch : (epochs[index] ?? 0)) + 1, name: id === 'a5' ? 'Five' : id, up: 1, begun: 2 },
    ),
  );
  // The second session of a0 follows the first one; strangers are found, or are not.
  expect(shown(logins[12])).toMatchObject({ epoch: (epochs[0] ?? 0) + 2 });
  expect(logins[13]).toEqual({ kind: 'found', agent: undefined });
  expect(shown(logins[14])).toBe('online');
  // Their commands go on: all of them wait.
  const claimed = logins[3];
  expect(claimed?.kind === 'claimed' && claimed.claimed).toMatchObject({ down, newest: 2 });
  expect(last?.number).toBe(2);
  // Only the newest session writes.
  await expect(store.inbox.append('a6', epochs[6] ?? 0, 2, framesOf(2, items('late')), NOW)).rejects.toMatchObject({
    code: 'stale_epoch',
  });
  await store.inbox.append('a6', (epochs[6] ?? 0) + 1, 2, framesOf(2, items('next')), NOW);
});

it('begins the log of an agent that has lost it, among others that go on', async () => {
  for (const id of ['b1', 'b2', 'b3']) {
    const epoch = await online(store, id);
    const [first] = await store.outbox.append(id, [message(`c-${id}`)], ROOM, NOW);
    await store.outbox.acknowledge(id, epoch, first?.number ?? 0);
  }
  await registered(store, 'b4');
  // b1 says nothing of what it acknowledged: its log is numbered again, which only a login alone does.
  const logins = await Promise.all(
    ['b1', 'b2', 'b3', 'b4'].map((id) => store.agents.logIn(claimOf(id, { session: 's2', down: null }), TERMS)),
  );
  const missing = logins.map((login) => (login.kind === 'claimed' ? login.claimed.down.missing : undefined));
  expect(missing).toEqual([{ from: 1, through: 1 }, { from: 1, through: 1 }, { from: 1, through: 1 }, null]);
  expect(
    (await store.agents.incidents({ limit: 10, kind: 'log_restarted' }))
      .map(({ agentId }) => String(agentId))
      .toSorted(),
  ).toEqual(['b1', 'b2', 'b3']);
});
