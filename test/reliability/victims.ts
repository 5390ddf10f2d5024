// A Central and agents as processes that are killed and started again, always with the same words.
import { appendFile, readFile, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import {
  agentFlags,
  CentralProcess,
  freePorts,
  CENTRAL_PROGRAM,
  ROOT,
  Running,
  until,
  type AgentFolders,
  type Cleanup,
} from '../flow/processes.ts';
import { enrolledFolders } from './traffic.ts';
import { request, type Door } from './witnesses.ts';

/** How long may pass until all are online, or all logs are empty, again. */
export const QUIET_MS = 90_000;

/** A process that is killed and started again, always with the same words. */
export class Victim {
  readonly name: string;
  readonly #script: string;
  readonly #args: readonly string[];
  #running: Running;

  constructor(cleanup: Cleanup, name: string, script: string, args: readonly string[]) {
    this.name = name;
    this.#script = script;
    this.#args = args;
    this.#running = this.#start();
    cleanup.add(() => this.#running.stop());
  }

  /** Only the scenario may end it. */
  assertRunning(): void {
    const { running, stdout, stderr } = this.#running;
    if (!running) throw new Error(`${this.name} ended by itself:\n${stdout}\n${stderr}`);
  }

  async kill(downMs: number): Promise<void> {
    this.assertRunning();
    await this.#running.stop('SIGKILL');
    await delay(downMs);
    this.#running = this.#start();
  }

  #start(): Running {
    return new Running(process.execPath, [this.#script, ...this.#args, '--log-level', 'warn']);
  }
}

export interface Branch {
  readonly name: string;
  readonly id: string;
  readonly folders: AgentFolders;
  readonly door: Door;
  readonly process: Victim;
}

/**
 * Starts Central and so many agents, named branch-1 and on; resolves when all are online. `settings`: lines for the
 * `agent.local.conf` of each agent; `line`: the port at which agents find that of Central.
 */
export async function startVictims(
  cleanup: Cleanup,
  agents: number,
  settings = '',
  line: (port: number) => Promise<number> = async (port) => port,
): Promise<{ central: Victim; door: Door; branches: Branch[] }> {
  const folder = await cleanup.folder();
  const [plain = 0, secure = 0, https = 0, http = 0, ...local] = await freePorts(4 + agents);
  const flags = [
    '--websocket-port',
    String(plain),
    '--websocket-secure-port',
    String(secure),
    '--https-port',
    String(https),
    '--http-port',
    String(http),
    '--advertised-names',
    'localhost',
  ];
  const first = await CentralProcess.start(cleanup, folder, flags);
  const names = Array.from({ length: agents }, (_, i) => `branch-${i + 1}`);
  const enrolled: AgentFolders[] = [];
  for (const name of names) {
    const folders = await enrolledFolders(cleanup, first, name);
    await appendFile(join(folders.profile, 'conf/agent.local.conf'), settings);
    enrolled.push(folders);
  }
  await first.stop();

  const central = new Victim(cleanup, 'central', CENTRAL_PROGRAM, ['--data-folder', folder, ...flags]);
  const door: Door = { url: `http://127.0.0.1:${http}`, token: first.token };
  const branches: Branch[] = [];
  const hosts = ['--central-hosts', `localhost:${await line(secure)}`];
  for (const [i, folders] of enrolled.entries()) {
    const name = names[i] ?? '';
    const port = local[i] ?? 0;
    const process_ = new Victim(cleanup, name, join(ROOT, 'agent/cli.ts'), [
      'start',
      ...agentFlags(folders, name).map((word) => (word === '0' ? String(port) : word)),
      ...hosts,
    ]);
    const { token } = await until(() => tokenOf(folders));
    const id = await until(
      async () =>
        (
          (await request(door, 'GET', '/api/v1/agents'))?.body.items as
            { id: string; name: string; state: string }[] | undefined
        )?.find((agent) => agent.name === name && agent.state === 'online')?.id,
    );
    branches.push({ name, id, folders, door: { url: `http://127.0.0.1:${port}`, token }, process: process_ });
  }
  return { central, door, branches };
}

async function tokenOf(folders: AgentFolders): Promise<{ token: string } | undefined> {
  const text = await readFile(join(folders.data, 'local-api.json'), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as { token: string });
}

/**
 * An agent whose Central is killed every few seconds waits longer and longer between its dials, as it should. A change
 * of its configuration makes it dial at once: the scenario would else wait for minutes.
 */
export class Waker {
  readonly #done: Promise<void>;
  #stopped = false;

  constructor(door: Door, branches: readonly Branch[]) {
    this.#done = (async () => {
      while (!this.#stopped) {
        const agents = (await request(door, 'GET', '/api/v1/agents'))?.body.items as
          { name: string; state: string }[] | undefined;
        for (const { name, folders } of branches) {
          if (agents?.find((agent) => agent.name === name)?.state === 'online') continue;
          await utimes(join(folders.profile, 'conf/agent.local.conf'), new Date(), new Date());
        }
        await delay(200);
      }
    })();
    this.#done.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }
}

/** Waits until Central has each of them online. */
export async function allOnline(door: Door, branches: readonly Branch[]): Promise<void> {
  let seen: unknown = 'Central does not answer';
  await until(
    async () => {
      const agents = (await request(door, 'GET', '/api/v1/agents'))?.body.items as
        { name: string; state: string; stateReason: string }[] | undefined;
      seen = agents?.map(({ name, state, stateReason }) => `${name} ${state}: ${stateReason}`) ?? seen;
      return (
        (agents !== undefined &&
          agents.length === branches.length &&
          agents.every(({ state }) => state === 'online')) ||
        undefined
      );
    },
    QUIET_MS,
    () => `not all are online again: ${JSON.stringify(seen)}`,
  );
}
