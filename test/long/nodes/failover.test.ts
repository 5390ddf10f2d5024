// The primary ends as with a loss of power and its standby takes over, again and again, while two nodes write: what was
// acknowledged is there, once. And a commit that the standby did not confirm is never acknowledged.
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import type { Store } from '../../../central/store/store.ts';
import { allEventIds, claimOf, items, online } from '../../central/store/samples.ts';
import { Cleanup, until } from '../../flow/processes.ts';
import { lacksPostgres } from '../../postgres/binaries.ts';
import { startCluster, type ClusterOptions, type PostgresCluster } from '../../postgres/cluster.ts';
import { SECONDS } from '../../postgres/disturbances.ts';
import { failures, openNode } from '../../postgres/nodes.ts';
import { NOTHING_WRONG, StoreLoad } from '../../postgres/store-load.ts';
import { framesOf } from '../../shared/delivery/frames.ts';

/** 20 in a minute. */
const ROUNDS = Math.ceil(SECONDS / 3);
const LONG_MS = 60_000 + ROUNDS * 20_000;

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

async function start(options: ClusterOptions, names: readonly string[]): Promise<[PostgresCluster, Store[]]> {
  const cluster = await startCluster(options);
  cleanup.add(() => cluster.remove());
  const url = cluster.url(await cluster.createDatabase());
  const stores: Store[] = [];
  for (const name of names) stores.push(await openNode(cleanup, url, name));
  return [cluster, stores];
}

/** Backends that wait for the standby. */
async function waiting(cluster: PostgresCluster): Promise<number[]> {
  const rows = await cluster.primary.sql<{ pid: number }>(
    `SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND application_name <> 'test'`,
  );
  return rows.map(({ pid }) => pid);
}

describe.skipIf(lacksPostgres())('a failover of PostgreSQL', () => {
  it(
    `loses and doubles nothing with a synchronous standby, in ${ROUNDS} rounds under load`,
    async () => {
      const [cluster, stores] = await start({ standby: 'synchronous' }, ['node-a', 'node-b']);
      const load = new StoreLoad(stores);
      await load.enroll(20);
      load.start();
      const pauses: number[] = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        await delay(500 + Math.random() * 1500);
        await cluster.failover('immediate');
        const [promoted, before] = [performance.now(), load.counts.acknowledged];
        await until(() => load.counts.acknowledged > before || undefined);
        pauses.push(Math.round(performance.now() - promoted));
        await cluster.rejoin();
      }
      await load.stop();
      const [one] = stores;
      const all = one === undefined ? [] : await allEventIds(one);
      console.log(JSON.stringify({ ...load.counts, events: all.length, msToFirstAcknowledgement: pauses }));
      expect(load.check(all)).toMatchObject(NOTHING_WRONG);
      expect(load.forgotten).toEqual([]);
      expect(failures).toEqual([]);
      expect(Math.max(...pauses)).toBeLessThan(5_000);
    },
    LONG_MS,
  );

  it('acknowledges nothing behind a canceled wait for the standby, and a claim shows no place that is not on it', async () => {
    const [cluster, stores] = await start({ standby: 'synchronous' }, ['node-a', 'node-b']);
    const [one, two] = stores;
    if (one === undefined || two === undefined) throw new Error('no nodes');
    const epoch = await online(one, 'a1');
    const begin = { incarnation: 'log of a1', next: 1, missing: null, deduplicates: true };
    await one.inbox.begin('a1', epoch, begin, Date.now());
    await one.inbox.append('a1', epoch, 1, framesOf(1, items('e1')), Date.now());

    cluster.standby.freeze('walreceiver');
    const done: string[] = [];
    const appended = one.inbox.append('a1', epoch, 2, framesOf(2, items('e2')), Date.now()).then(
      (through) => done.push(`append ${through}`),
      (error: unknown) => done.push(`append refused: ${String(error)}`),
    );
    await until(async () => (await waiting(cluster)).length > 0 || undefined);
    const claimed = two.agents
      .claimSession(claimOf('a1', { node: 'node-b', session: 's2', now: Date.now() }))
      .then(({ up }) => done.push(`claim ${up?.number}`));
    // PostgreSQL reports each of these commits as done, with a notice.
    let canceled = 0;
    const end = Date.now() + Math.min(SECONDS, 20) * 1000;
    while (Date.now() < end) {
      for (const pid of await waiting(cluster)) {
        await cluster.primary.sql(`SELECT pg_cancel_backend(${pid})`);
        canceled += 1;
      }
      await delay(100);
    }
    expect(canceled).toBeGreaterThan(3);
    expect(done).toEqual([]);
    cluster.standby.thaw();
    await Promise.all([appended, claimed]);
    expect(done.toSorted()).toEqual(['append 2', 'claim 2']);
    await cluster.failover('immediate');
    for (const store of [one, two])
      expect(await until(() => allEventIds(store).catch(() => undefined))).toEqual(['e1', 'e2']);
  });

  it('with an asynchronous standby shows what is missing: the place in the log of the agent is behind', async () => {
    const [cluster, stores] = await start({ standby: 'asynchronous' }, ['node-a']);
    const [one] = stores;
    if (one === undefined) throw new Error('no node');
    const epoch = await online(one, 'a1');
    const begin = { incarnation: 'log of a1', next: 1, missing: null, deduplicates: true };
    await one.inbox.begin('a1', epoch, begin, Date.now());
    await one.inbox.append('a1', epoch, 1, framesOf(1, items('e1')), Date.now());
    await cluster.caughtUp();
    await cluster.detach();
    expect(await one.inbox.append('a1', epoch, 2, framesOf(2, items('e2', 'e3')), Date.now())).toBe(3);
    const consumed = await one.inbox.lastCursor();
    await cluster.failover('immediate');
    // The session goes on from where it was: Central notices, and the session ends.
    await expect(one.inbox.append('a1', epoch, 4, framesOf(4, items('e4')), Date.now())).rejects.toMatchObject({
      code: 'log_violation',
    });
    const { epoch: next, up } = await one.agents.claimSession(
      claimOf('a1', { node: 'node-a', session: 's2', now: Date.now() }),
    );
    expect(up).toMatchObject({ number: 1 });
    // What the agent decides (shared/delivery/ordered-log.ts): another incarnation, and the range that is missing.
    const restarted = { incarnation: 'log 2 of a1', next: 1, missing: { from: 2, through: 3 }, deduplicates: true };
    await one.inbox.begin('a1', next, restarted, Date.now());
    await one.inbox.append('a1', next, 1, framesOf(1, items('e4')), Date.now());
    // A consumer that has read what is lost misses nothing of what is new.
    expect((await one.inbox.read(consumed, {}, 10)).map(({ number }) => number)).toEqual([1]);
    expect(await allEventIds(one)).toEqual(['e1', 'e4']);
    expect((await one.stats()).events).toBe(2);
    const incidents = await one.agents.incidents({ limit: 10 });
    expect(incidents.map(({ kind, detail }): unknown => ({ kind, ...JSON.parse(detail) }))).toEqual([
      { kind: 'log_restarted', recovered: false, direction: 'up', from: 2, through: 3, incarnation: 'log 2 of a1' },
    ]);
  });
});
