// Several Centrals on one PostgreSQL, and one on its embedded store beside them: started with the agents of the run
// enrolled, and what all of their processes use.
import { cp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Installation, RunningCentral } from '../installation.ts';
import type { Target } from '../load/driver.ts';
import { Program, memoryOf, pause, processorMsOf } from '../process.ts';
import { ONE_NODE, TWO_NODES } from '../result.ts';
import type { Postgres } from '../servers/postgres.ts';
import { LOOP_DELAY_ARGS } from './peer.ts';
import { queuegatePeer } from './queuegate.ts';

/** What the signal asks for is in its file. */
const WRITTEN_MS = 200;

const delayFile = (database: string, node: number): string => join(tmpdir(), `delay-${database}-${node}`);

interface Used {
  readonly centralMs: number;
  readonly postgresMs: number;
}

export interface RunningNodes {
  readonly name: string;
  /** One for each node. */
  readonly targets: readonly Target[];
  readonly centrals: readonly RunningCentral[];
  /** Processor time so far. */
  used(): Promise<Used>;
  /** Of all nodes, memory that no other process shares. */
  memoryBytes(): Promise<number>;
  /** Delays of the event loops while it runs, 99th percentile of each node that is alive, in milliseconds. */
  delaysDuring<T>(run: () => Promise<T>): Promise<{ readonly result: T; readonly delays: readonly number[] }>;
  /** Ends them; how many events the store has. */
  stop(): Promise<number>;
}

export interface NodesPeer {
  readonly name: string;
  readonly nodes: number;
  start(): Promise<RunningNodes>;
}

export function embeddedPeer(installation: Installation): NodesPeer {
  return {
    name: 'one node, SQLite',
    nodes: 1,
    async start() {
      const running = await queuegatePeer(installation).start();
      return {
        name: this.name,
        targets: [running.target],
        centrals: [running.central],
        used: async () => ({ centralMs: (await processorMsOf(running.pid)) ?? Number.NaN, postgresMs: 0 }),
        memoryBytes: async () => (await memoryOf(running.pid))?.own ?? Number.NaN,
        delaysDuring: async (run) => ({ result: await run(), delays: [] }),
        stop: async () => (await running.stop()) ?? Number.NaN,
      };
    },
  };
}

/** `template`: the database with the agents of the run (moveTemplate). */
export function nodesPeer(installation: Installation, postgres: Postgres, template: string, nodes: number): NodesPeer {
  return {
    name: nodes === 1 ? ONE_NODE : nodes === 2 ? TWO_NODES : `${nodes} nodes, PostgreSQL`,
    nodes,
    async start() {
      const database = await postgres.createDatabase(template);
      const centrals: RunningCentral[] = [];
      for (let node = 1; node <= nodes; node += 1)
        centrals.push(
          await installation.startCentral({
            nodeArgs: LOOP_DELAY_ARGS,
            env: {
              QUEUEGATE_STORE_URL: postgres.url(database),
              QUEUEGATE_NODE_NAME: `node-${node}`,
              LOOP_DELAY_FILE: delayFile(database, node),
            },
            beforeStart: (folder) => rm(join(folder, 'central.db')),
          }),
        );
      const [first] = centrals;
      const ca = String(await first?.rest('GET', '/ca/trust-bundle.pem'));
      // One that was ended counts no more.
      const alive = (): RunningCentral[] => centrals.filter(({ program }) => program.running);
      const total = async (of: (pid: number) => Promise<number | undefined>): Promise<number> =>
        (await Promise.all(alive().map(({ program }) => of(program.pid)))).reduce<number>(
          (sum, one) => sum + (one ?? Number.NaN),
          0,
        );
      return {
        name: this.name,
        targets: centrals.map(({ ports, token }) => ({
          url: `wss://localhost:${ports.wss}`,
          ca,
          agentsFile: installation.agentsFile,
          restUrl: `https://localhost:${ports.https}`,
          token,
        })),
        centrals,
        used: async () => ({ centralMs: await total(processorMsOf), postgresMs: await postgres.processorMs() }),
        memoryBytes: () => total(async (pid) => (await memoryOf(pid))?.own),
        async delaysDuring(run) {
          const measured = alive();
          for (const { program } of measured) process.kill(program.pid, 'SIGUSR2');
          const result = await run();
          const left = measured.filter(({ program }) => program.running);
          for (const { program } of left) process.kill(program.pid, 'SIGUSR2');
          await pause(WRITTEN_MS);
          const files = left.map((central) => delayFile(database, centrals.indexOf(central) + 1));
          return { result, delays: await Promise.all(files.map(async (file) => Number(await readFile(file, 'utf8')))) };
        },
        async stop() {
          for (const { program, folder } of centrals) {
            await program.stop();
            await rm(folder, { recursive: true, force: true });
          }
          const [row] = await postgres.sql('SELECT coalesce(sum(count), 0) AS events FROM event_run', database);
          await postgres.sql(`DROP DATABASE ${database} WITH (FORCE)`);
          return Number(row?.['events']);
        },
      };
    },
  };
}

/** Moves a copy of the store with the enrolled agents into a database; its name, and how long that took. */
export async function moveTemplate(
  installation: Installation,
  postgres: Postgres,
): Promise<{ readonly database: string; readonly ms: number }> {
  const database = await postgres.createDatabase();
  const folder = join(installation.folder, 'moved');
  await cp(join(installation.folder, 'template'), folder, { recursive: true });
  const startedAt = performance.now();
  const program = [join(installation.dist, 'central/main.js'), 'migrate-store', '--data-folder', folder];
  await new Program(process.execPath, program, {
    cwd: folder,
    env: { QUEUEGATE_STORE_URL: postgres.url(database) },
  }).done();
  const ms = performance.now() - startedAt;
  await rm(folder, { recursive: true, force: true });
  return { database, ms };
}
