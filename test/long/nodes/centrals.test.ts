// Two Centrals on one PostgreSQL, with agents of their own, while it fails over and is away: no session is closed, the
// agents' local API accepts all the time, and each event is at Central once, in the order in which it was accepted.
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { AgentProcess, CentralProcess, Cleanup, until } from '../../flow/processes.ts';
import { lacksPostgres } from '../../postgres/binaries.ts';
import { startCluster, type ClusterOptions, type PostgresCluster } from '../../postgres/cluster.ts';
import { BACK_MS, DISTURBANCES, MAX_CONNECTIONS, SECONDS } from '../../postgres/disturbances.ts';
import { metric, Producer, setParameters } from '../../reliability/traffic.ts';

const ROUNDS = Math.ceil(SECONDS / 3);
const LOSSES = 3;
const LONG_MS = 180_000 + 4 * SECONDS * 1000 + ROUNDS * 20_000;

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

interface Site {
  readonly cluster: PostgresCluster;
  readonly centrals: readonly CentralProcess[];
  readonly producers: readonly Producer[];
  /** The session of each agent, as its own Central names it. */
  sessions(): Promise<unknown[]>;
  /** How many events a Central has. */
  arrived(): Promise<number>;
  /** How many events each agent has that are not acknowledged. */
  waiting(): Promise<number[]>;
}

const NAMES = ['branch-a', 'branch-b'];

async function start(options: ClusterOptions): Promise<Site> {
  const cluster = await startCluster(options);
  cleanup.add(() => cluster.remove());
  const url = cluster.url(await cluster.createDatabase());
  const centrals: CentralProcess[] = [];
  for (const node of ['node-a', 'node-b']) {
    const folder = await cleanup.folder();
    const [first] = centrals;
    // The second one joins by its configuration: it has the key, and tests know the first token.
    for (const file of first === undefined ? [] : ['administrator-token', 'key-encryption-key'])
      await copyFile(join(first?.folder ?? '', file), join(folder, file));
    centrals.push(
      await CentralProcess.start(cleanup, folder, ['--central-name', 'central.test', '--node-name', node], {
        QUEUEGATE_STORE_URL: url,
      }),
    );
  }
  const [one] = centrals;
  if (one === undefined) throw new Error('no Central');
  await setParameters(one, { 'agents.heartbeatSeconds': 1 });
  const agents = await Promise.all(
    centrals.map((central, i) => AgentProcess.enrolled(cleanup, central, NAMES[i] ?? '')),
  );
  for (const [i, central] of centrals.entries()) await central.online(NAMES[i] ?? '');
  const producers = agents.map((agent, i) => {
    return Producer.events(agent, NAMES[i] ?? '', { pauseMs: 40 });
  });
  cleanup.add(async () => {
    for (const producer of producers) await producer.stop();
  });
  return {
    cluster,
    centrals,
    producers,
    sessions: () =>
      Promise.all(
        centrals.map((central, i) =>
          // REST answers 503 until its own connection is back.
          until(async () => (await central.agent(NAMES[i] ?? '').catch(() => undefined))?.['session'], BACK_MS),
        ),
      ),
    arrived: async () => (await one.events()).length,
    waiting: () =>
      Promise.all(
        agents.map(async (agent) => Number((await agent.local('GET', '/api/v1/status')).body.outbox.messageCount)),
      ),
  };
}

/** What every test ends with: nothing was refused at the agents, and each event is at Central once and in order. */
async function checked({ centrals, producers }: Site): Promise<void> {
  for (const producer of producers) await producer.stop();
  const accepted = producers.map((producer) => producer.accepted);
  for (const [i, ids] of accepted.entries()) {
    const name = NAMES[i] ?? '';
    const arrived = await until(async () => {
      const events = (await centrals[0]?.events()) ?? [];
      const found = events.map(({ event }) => String(event['id'])).filter((id) => id.startsWith(`${name}-`));
      return found.length >= ids.length ? found : undefined;
    });
    expect(arrived).toEqual(ids);
    expect(producers[i]?.refusals).toEqual([]);
  }
  console.log(JSON.stringify({ accepted: accepted.map(({ length }) => length) }));
}

interface Range {
  readonly from: number;
  readonly through: number;
}

/** What an agent's incidents name as missing at Central, oldest first. */
async function missingRanges(central: CentralProcess, name: string): Promise<Range[]> {
  const id = String((await central.agent(name))?.['id']);
  const { body } = await central.rest('GET', `/incidents?agent=${encodeURIComponent(id)}`);
  const found = body.items as { readonly code: string; readonly detail: Readonly<Record<string, unknown>> }[];
  return found
    .filter(({ code, detail }) => code === 'log_restarted' && detail['recovered'] === false)
    .map(({ detail }) => ({ from: Number(detail['from']), through: Number(detail['through']) }))
    .toReversed();
}

/** The messages of a log that the ranges name: each one is in the numbers of the log that was restarted for it. */
function named(ids: readonly string[], ranges: readonly Range[]): string[] {
  let first = 0;
  return ranges.flatMap(({ from, through }) => {
    const missing = ids.slice(first + from - 1, first + through);
    first += through;
    return missing;
  });
}

/** Waits for an event that is accepted behind `since`, and says how long that took. */
async function msToNext(site: Site, since: number): Promise<number> {
  const begun = performance.now();
  // A request in the middle of it is answered that the store is away.
  await until(async () => ((await site.arrived().catch(() => 0)) > since ? true : undefined));
  return performance.now() - begun;
}

describe.skipIf(lacksPostgres())('two Centrals on one PostgreSQL', () => {
  it(
    `lose and double nothing and close no session in ${ROUNDS} failovers to a synchronous standby`,
    async () => {
      const site = await start({ standby: 'synchronous' });
      const before = await site.sessions();
      const pauses: number[] = [];
      for (let round = 0; round < ROUNDS; round += 1) {
        await delay(500 + Math.random() * 1500);
        const had = await until(async () => await site.arrived().catch(() => undefined));
        await site.cluster.failover('immediate');
        pauses.push(Math.round(await msToNext(site, had)));
        await site.cluster.rejoin();
      }
      expect(await site.sessions()).toEqual(before);
      await checked(site);
      expect(Math.max(...pauses)).toBeLessThan(5_000);
    },
    LONG_MS,
  );

  it(
    `name each range that ${LOSSES} failovers to an asynchronous standby lost, and lose and double nothing else`,
    async () => {
      const site = await start({ standby: 'asynchronous' });
      for (let round = 0; round < LOSSES; round += 1) {
        await site.cluster.caughtUp();
        await site.cluster.detach();
        const had = await site.arrived();
        await until(async () => (await site.arrived()) > had + 100 || undefined);
        await site.cluster.failover('immediate');
        // What comes behind the loss shows that each agent has found it.
        for (const [i, producer] of site.producers.entries()) {
          const next = producer.accepted.length;
          await until(async () => {
            const id = producer.accepted[next];
            const events = (await site.centrals[i]?.events().catch(() => [])) ?? [];
            return events.some(({ event }) => event['id'] === id) || undefined;
          });
        }
        await site.cluster.rejoin();
      }
      for (const producer of site.producers) await producer.stop();
      const [one] = site.centrals;
      if (one === undefined) throw new Error('no Central');
      const lost: number[] = [];
      for (const [i, { accepted, refusals }] of site.producers.entries()) {
        const name = NAMES[i] ?? '';
        const missing = named(accepted, await missingRanges(one, name));
        const rest = new Set(missing);
        const kept = accepted.filter((id) => !rest.has(id));
        const arrived = await until(async () => {
          const ids = (await one.events()).map(({ event }) => String(event['id']));
          const found = ids.filter((id) => id.startsWith(`${name}-`));
          return found.length >= kept.length ? found : undefined;
        });
        expect(arrived).toEqual(kept);
        expect(refusals).toEqual([]);
        lost.push(missing.length);
      }
      console.log(JSON.stringify({ lost }));
      expect(Math.min(...lost)).toBeGreaterThan(0);
    },
    LONG_MS,
  );

  it.each(DISTURBANCES)(
    `keep their sessions while it is away for ${SECONDS} s: $name`,
    async ({ name, begin }) => {
      const site = await start({
        settings: { max_connections: MAX_CONNECTIONS },
        ...(name === 'without its standby' ? { standby: 'synchronous' } : {}),
      });
      const before = await site.sessions();
      const end = await begin(site.cluster);
      // What was on its way may still come.
      await delay(500);
      const accepted = site.producers.map((producer) => producer.accepted.length);
      await delay(SECONDS * 1000);
      // At least ten a second, on a machine that is busy with all of this.
      for (const [i, producer] of site.producers.entries())
        expect(producer.accepted.length).toBeGreaterThan((accepted[i] ?? 0) + 10 * SECONDS);
      const waiting = await site.waiting();
      expect(Math.min(...waiting)).toBeGreaterThan(0);
      for (const central of site.centrals)
        await until(async () => (await metric(central, 'queuegate_store_away')) === 1 || undefined);
      await end();
      const back = performance.now();
      await until(async () => {
        const now = await site.waiting();
        return now.some((count, i) => count < (waiting[i] ?? 0)) || undefined;
      });
      const first = performance.now() - back;
      expect(await site.sessions()).toEqual(before);
      await checked(site);
      console.log(JSON.stringify({ name, msToFirst: Math.round(first) }));
      expect(first).toBeLessThan(BACK_MS);
    },
    LONG_MS,
  );
});
