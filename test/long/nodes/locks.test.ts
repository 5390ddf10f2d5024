// What waits for what between nodes: appends of many agents and groups of logins lock the same rows, and a process that
// is frozen in the middle of a transaction holds its locks.
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { allEventIds, claimOf, items, registered } from '../../central/store/samples.ts';
import { Cleanup, ROOT, Running, until } from '../../flow/processes.ts';
import { lacksPostgres } from '../../postgres/binaries.ts';
import { startCluster, type PostgresCluster } from '../../postgres/cluster.ts';
import { SECONDS } from '../../postgres/disturbances.ts';
import { failures, openNode } from '../../postgres/nodes.ts';
import { framesOf } from '../../shared/delivery/frames.ts';

const AGENTS = 150;
/** A small table would be read in its order, which hides deadlocks. */
const OTHER_ROWS = 200_000;
const ROUNDS = Math.ceil(SECONDS / 2);
const LONG_MS = 240_000;

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

async function start(): Promise<[PostgresCluster, string]> {
  const cluster = await startCluster();
  cleanup.add(() => cluster.remove());
  return [cluster, await cluster.createDatabase()];
}

const begin = (id: string, next: number) => ({
  incarnation: `log of ${id}`,
  next,
  missing: null,
  deduplicates: true,
});

describe.skipIf(lacksPostgres())('locks of several nodes', () => {
  it(
    `appends and logins of the same ${AGENTS} agents at two nodes never wait for each other in a circle`,
    async () => {
      const [cluster, database] = await start();
      const url = cluster.primary.url(database);
      const [one, two] = [await openNode(cleanup, url, 'node-a'), await openNode(cleanup, url, 'node-b')];
      const ids = Array.from({ length: AGENTS }, (_, i) => `agent-${i}`);
      for (const id of ids) await registered(one, id);
      await cluster.primary.sql(
        `INSERT INTO inbox_log (peer, number) SELECT n, 0 FROM generate_series(1000000, ${1_000_000 + OTHER_ROWS}) AS n`,
        [],
        database,
      );
      await cluster.primary.sql('ANALYZE', [], database);
      const terms = { keyAlone: true, expiresAfter: 0 };
      const logIn = (store: typeof one, id: string, node: string, round: number) =>
        store.agents.logIn(claimOf(id, { node, session: `${node}-${round}`, now: Date.now() }), terms);
      let taken = 0;
      for (let round = 0; round < ROUNDS; round += 1) {
        const sessions = await Promise.all(
          ids.map(async (id) => {
            const login = await logIn(one, id, 'node-a', round);
            if (login.kind !== 'claimed') throw new Error(`${id} was not claimed`);
            const next = (login.claimed.up?.number ?? 0) + 1;
            await one.inbox.begin(id, login.claimed.epoch, begin(id, next), Date.now());
            return { id, epoch: login.claimed.epoch, next };
          }),
        );
        // In another order than that of the other node.
        const appends = sessions.toReversed().map(({ id, epoch, next }) =>
          one.inbox.append(id, epoch, next, framesOf(next, items(`${id}/${next}`)), Date.now()).then(
            () => (taken += 1),
            () => undefined,
          ),
        );
        await Promise.all([...appends, ...ids.map((id) => logIn(two, id, 'node-b', round))]);
      }
      const [{ n: deadlocks } = { n: -1 }] = await cluster.primary.sql<{ n: number }>(
        'SELECT deadlocks::int AS n FROM pg_stat_database WHERE datname = $1',
        [database],
      );
      console.log(JSON.stringify({ rounds: ROUNDS, taken, of: ROUNDS * AGENTS, deadlocks }));
      expect((await allEventIds(one)).length).toBe(taken);
      expect(deadlocks).toBe(0);
    },
    LONG_MS,
  );

  it(
    `a node that is frozen, at any moment, is given up: its agents go on at another one, and it writes nothing when it wakes up`,
    async () => {
      for (let round = 0; round < 2; round += 1) {
        const [cluster, database] = await start();
        const url = cluster.primary.url(database);
        const one = await openNode(cleanup, url, 'node-a');
        const ids = Array.from({ length: 10 }, (_, i) => `agent-${i}`);
        for (const id of ids) await registered(one, id);
        const other = new Running(process.execPath, [join(ROOT, 'test/postgres/writing-node.ts'), url, ...ids]);
        cleanup.add(() => other.stop('SIGKILL'));
        await other.printed(/writing/);
        await delay(300 + Math.random() * 500);
        other.child.kill('SIGSTOP');
        const frozen = performance.now();
        const claims = await Promise.all(
          ids.map((id) => one.agents.claimSession(claimOf(id, { node: 'node-a', session: 's', now: Date.now() }))),
        );
        const claimed = performance.now() - frozen;
        await until(async () => (await one.nodes?.news())?.nodes.some(({ state }) => state === 'dead') || undefined);
        const dead = performance.now() - frozen;
        for (const [i, { epoch, up }] of claims.entries()) {
          const [id = '', next] = [ids[i], (up?.number ?? 0) + 1];
          await one.inbox.begin(id, epoch, begin(id, next), Date.now());
          await one.inbox.append(id, epoch, next, framesOf(next, items(`${id}/${next}`)), Date.now());
        }
        const before = await allEventIds(one);
        other.child.kill('SIGCONT');
        const ended = await other.ended();
        console.log(JSON.stringify({ msToClaim: Math.round(claimed), msToDead: Math.round(dead), code: ended.code }));
        expect(ended.stdout).toContain('node_fenced');
        expect(await allEventIds(one)).toEqual(before);
        expect(claimed).toBeLessThan(10_000);
        expect(dead).toBeLessThan(10_000);
        expect(failures).toEqual([]);
        await cleanup.run();
      }
    },
    LONG_MS,
  );
});
