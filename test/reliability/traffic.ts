// Load for the reliability tests, and what it is held to afterwards: producers that keep what was accepted in its
// order, consumers that keep what they took, and agents that are enrolled without a process of their own for it.
import { setTimeout as delay } from 'node:timers/promises';
import { loadAgentConf } from '../../agent/conf.ts';
import { enrollAgent } from '../../agent/enrollment/command.ts';
import {
  AgentProcess,
  agentFolders,
  until,
  type AgentFolders,
  type Answer,
  type CentralProcess,
  type Cleanup,
} from '../flow/processes.ts';

export interface Note {
  readonly id: string;
  readonly type: string;
  readonly data?: unknown;
}

export interface Refused {
  readonly status: number;
  readonly type: string;
  readonly retryAfter: string | null;
}

/** Posts numbered messages, a few at a time and one request after the other, until it is stopped. */
export class Producer {
  /** Ids in the order in which they were accepted. */
  readonly accepted: string[] = [];
  readonly refusals: Refused[] = [];
  readonly #done: Promise<void>;
  #stopped = false;

  constructor(
    name: string,
    post: (batch: readonly Note[]) => Promise<Answer>,
    options: { readonly batch?: number; readonly pauseMs?: number; readonly data?: unknown } = {},
  ) {
    const { batch = 5, pauseMs = 5, data } = options;
    this.#done = (async () => {
      for (let next = 0; !this.#stopped;) {
        const notes = Array.from({ length: batch }, (_, i) => ({
          id: `${name}-${next + i}`,
          type: 'tick',
          ...(data === undefined ? {} : { data }),
        }));
        const { status, body, headers } = await post(notes);
        if (status === 202) {
          this.accepted.push(...notes.map(({ id }) => id));
          next += batch;
        } else if (status === 503) {
          this.refusals.push({ status, type: String(body.type), retryAfter: headers.get('retry-after') });
        } else {
          throw new Error(`${name}: ${status} ${JSON.stringify(body)}`);
        }
        // The pace of the load, and politeness after a refusal; nothing is waited for here.
        await delay(status === 202 ? pauseMs : 50);
      }
    })();
    this.#done.catch(() => undefined);
  }

  static events(agent: AgentProcess, name: string, options?: ConstructorParameters<typeof Producer>[2]): Producer {
    return new Producer(name, (batch) => agent.local('POST', '/api/v1/events', batch), options);
  }

  static commands(
    central: CentralProcess,
    agentId: string,
    name: string,
    options?: ConstructorParameters<typeof Producer>[2],
  ): Producer {
    return new Producer(
      name,
      (batch) => central.rest('POST', `/agents/${encodeURIComponent(agentId)}/commands`, batch),
      options,
    );
  }

  /** Waits until so many more were accepted than are now. */
  async further(count: number, withinMs = 60_000): Promise<void> {
    const goal = this.accepted.length + count;
    await Promise.race([
      until(
        () => this.accepted.length >= goal || undefined,
        withinMs,
        () => `only ${this.accepted.length} of ${goal} were accepted`,
      ),
      this.#failed(),
    ]);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }

  /** Never resolves while the producer works or has been stopped; rejects with what went wrong. */
  #failed(): Promise<never> {
    return new Promise((_, reject) => void this.#done.catch(reject));
  }
}

/** Takes commands and acknowledges them, until it is stopped. */
export class Consumer {
  /** Ids in the order in which they were taken. */
  readonly taken: string[] = [];
  readonly #done: Promise<void>;
  #stopped = false;

  constructor(agent: AgentProcess) {
    this.#done = (async () => {
      while (!this.#stopped) {
        const { status, body } = await agent.local('GET', '/api/v1/commands?limit=1000&waitSeconds=1');
        if (status !== 200) throw new Error(`commands: ${status} ${JSON.stringify(body)}`);
        const commands = body.items as { cursor: number; command: Note }[];
        const last = commands.at(-1);
        if (last === undefined) continue;
        this.taken.push(...commands.map(({ command }) => command.id));
        await agent.local('POST', '/api/v1/commands/ack', { through: last.cursor });
      }
    })();
    this.#done.catch(() => undefined);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#done;
  }
}

/**
 * Folders of an agent that is enrolled over wss with a fresh token, in this process. `data`: a data folder of the
 * test's own.
 */
export async function enrolledFolders(
  cleanup: Cleanup,
  central: CentralProcess,
  name: string,
  data?: string,
): Promise<AgentFolders> {
  const made = await agentFolders(cleanup);
  const folders = { ...made, data: data ?? made.data };
  const [, url = '', , token = '', , pin] = await central.enrollment();
  const conf = await loadAgentConf({
    profileFolder: folders.profile,
    environment: {},
    flags: { 'data-folder': folders.data, 'agent-name': name },
  });
  await enrollAgent(conf, { url, token, pin, replaceIdentity: false });
  return folders;
}

export interface OnlineAgent {
  readonly name: string;
  readonly id: string;
  readonly agent: AgentProcess;
}

/** Enrolls, starts, and waits until Central has it online. */
export async function onlineAgent(
  cleanup: Cleanup,
  central: CentralProcess,
  name: string,
  args: readonly string[] = [],
): Promise<OnlineAgent> {
  const agent = AgentProcess.start(cleanup, await enrolledFolders(cleanup, central, name), name, args);
  try {
    return { name, agent, id: String((await central.online(name))['id']) };
  } catch (error) {
    throw new Error(
      `${name} did not come online:\n${agent.process.stdout}\n${agent.process.stderr}\n${central.process.stdout.slice(-2000)}`,
      { cause: error },
    );
  }
}

/** The ids of an agent's events at Central, in the order of the log; waits until there are as many as were accepted. */
export async function storedEvents(
  central: CentralProcess,
  agentId: string,
  atLeast: number,
  withinMs = 60_000,
): Promise<string[]> {
  let found = 0;
  return await until(
    async () => {
      const ids = (await central.events(`&agent=${encodeURIComponent(agentId)}`)).map(({ event }) =>
        String(event['id']),
      );
      found = ids.length;
      return found >= atLeast ? ids : undefined;
    },
    withinMs,
    () => `${found} of ${atLeast} events of ${agentId} arrived`,
  );
}

/** The ids a consumer took; waits until there are as many as were accepted. */
export async function takenCommands(
  consumer: Consumer,
  atLeast: number,
  withinMs = 60_000,
): Promise<readonly string[]> {
  return await until(
    () => (consumer.taken.length >= atLeast ? consumer.taken : undefined),
    withinMs,
    () => `${consumer.taken.length} of ${atLeast} commands arrived`,
  );
}

/** Sets parameters; fails when Central refuses them. */
export async function setParameters(central: CentralProcess, values: Readonly<Record<string, unknown>>): Promise<void> {
  const { status, body } = await central.change(values);
  if (status !== 200) throw new Error(`parameters: ${status} ${JSON.stringify(body)}`);
}

/** One figure of Central's metrics: the sum over its labels. */
export async function metric(central: CentralProcess, name: string): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${central.ports.http}/metrics`, {
    headers: { authorization: `Bearer ${central.token}` },
  });
  const lines = (await answer.text())
    .split('\n')
    .filter((line) => line.startsWith(`${name} `) || line.startsWith(`${name}{`));
  if (lines.length === 0) throw new Error(`no metric ${name}`);
  return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(' '))), 0);
}
