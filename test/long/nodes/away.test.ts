// PostgreSQL is away in each way that it can be: what is sent waits, nothing is lost or doubled, and acknowledgements come
// within two seconds after it is back. And lines to it that are cut in the middle of commits.
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { allEventIds } from '../../central/store/samples.ts';
import { Cleanup, until } from '../../flow/processes.ts';
import { lacksPostgres } from '../../postgres/binaries.ts';
import { startCluster } from '../../postgres/cluster.ts';
import { BACK_MS, DISTURBANCES, MAX_CONNECTIONS, SECONDS } from '../../postgres/disturbances.ts';
import { failures, openNode } from '../../postgres/nodes.ts';
import { NOTHING_WRONG, StoreLoad } from '../../postgres/store-load.ts';
import { LineProxy } from '../../reliability/line-proxy.ts';

const LONG_MS = 120_000 + 4 * SECONDS * 1000;

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

describe.skipIf(lacksPostgres())(`PostgreSQL that is away for ${SECONDS} s`, () => {
  it.each(DISTURBANCES)(
    '$name: acknowledgements wait, and come within two seconds of its return',
    async ({ begin, name }) => {
      const cluster = await startCluster({
        settings: { max_connections: MAX_CONNECTIONS },
        ...(name === 'without its standby' ? { standby: 'synchronous' } : {}),
      });
      cleanup.add(() => cluster.remove());
      const url = cluster.primary.url(await cluster.createDatabase());
      const stores = [await openNode(cleanup, url, 'node-a'), await openNode(cleanup, url, 'node-b')];
      const [one] = stores;
      if (one === undefined) throw new Error('no node');
      const load = new StoreLoad(stores);
      await load.enroll(10);
      load.start();
      await delay(1_000);
      const end = await begin(cluster);
      // What was on its way may still come.
      await delay(500);
      const during = load.counts.acknowledged;
      await delay(SECONDS * 1000);
      expect(load.counts.acknowledged).toBe(during);
      const backends =
        name === 'without its standby' ? (await cluster.primary.sql('SELECT pid FROM pg_stat_activity')).length : 0;
      await end();
      const back = performance.now();
      await until(() => load.counts.acknowledged > during || undefined);
      const first = performance.now() - back;
      await delay(1_000);
      await load.stop();
      const all = await allEventIds(one);
      console.log(
        JSON.stringify({ name, ...load.counts, events: all.length, msToFirstAcknowledgement: first, backends }),
      );
      expect(load.check(all)).toMatchObject(NOTHING_WRONG);
      expect(load.forgotten).toEqual([]);
      expect(failures).toEqual([]);
      expect(one.away()).toBeUndefined();
      expect(first).toBeLessThan(BACK_MS);
      expect(backends).toBeLessThan(MAX_CONNECTIONS - 5);
    },
    LONG_MS,
  );
});

describe.skipIf(lacksPostgres())('lines to PostgreSQL that are cut', () => {
  it(
    'at any moment, also while a commit is on its way: nothing is lost, doubled or out of order',
    async () => {
      const cluster = await startCluster();
      cleanup.add(() => cluster.remove());
      const database = await cluster.createDatabase();
      const line = await LineProxy.to(cluster.primary.port, cleanup);
      const url = `postgres://queuegate@127.0.0.1:${line.port}/${database}`;
      const stores = [await openNode(cleanup, url, 'node-a'), await openNode(cleanup, url, 'node-b')];
      const [one] = stores;
      if (one === undefined) throw new Error('no node');
      const load = new StoreLoad(stores);
      await load.enroll(20);
      load.start();
      const end = Date.now() + SECONDS * 1000;
      let cuts = 0;
      while (Date.now() < end) {
        await delay(20 + Math.random() * 400);
        line.cut();
        cuts += 1;
      }
      await load.stop();
      const all = await allEventIds(one);
      console.log(JSON.stringify({ ...load.counts, events: all.length, cuts, connections: line.opened }));
      expect(load.check(all)).toMatchObject(NOTHING_WRONG);
      expect(load.forgotten).toEqual([]);
      expect(failures).toEqual([]);
      expect(load.counts.acknowledged).toBeGreaterThan(100);
      // One attempt at a time for each of four connections of two nodes.
      expect(line.opened).toBeLessThan(20 * (cuts + 10));
    },
    LONG_MS,
  );
});
