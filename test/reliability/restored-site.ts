// A Central and one agent on fixed ports, whose disks a test sends back in time; with what both sides say they have,
// and what they recorded.
import { cp, rm, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentProcess, CentralProcess, freePorts, until, type AgentFolders, type Cleanup } from '../flow/processes.ts';
import { enrolledFolders } from './traffic.ts';

const NAME = 'branch-1';

export interface Restart {
  readonly direction: 'up' | 'down';
  readonly from: number;
  readonly through: number;
}

export class Site {
  readonly #cleanup: Cleanup;
  readonly #folder: string;
  readonly #flags: readonly string[];
  readonly folders: AgentFolders;
  central: CentralProcess;
  agent: AgentProcess;
  agentId = '';

  private constructor(
    cleanup: Cleanup,
    folder: string,
    flags: readonly string[],
    folders: AgentFolders,
    central: CentralProcess,
  ) {
    this.#cleanup = cleanup;
    this.#folder = folder;
    this.#flags = flags;
    this.folders = folders;
    this.central = central;
    this.agent = AgentProcess.start(cleanup, folders, NAME);
  }

  static async open(cleanup: Cleanup): Promise<Site> {
    const folder = await cleanup.folder();
    const flags = await portFlags();
    const central = await CentralProcess.start(cleanup, folder, flags);
    const site = new Site(cleanup, folder, flags, await enrolledFolders(cleanup, central, NAME), central);
    site.agentId = String((await central.online(NAME))['id']);
    return site;
  }

  async startCentral(): Promise<void> {
    this.central = await CentralProcess.start(this.#cleanup, this.#folder, this.#flags);
  }

  async startAgent(): Promise<void> {
    this.agent = AgentProcess.start(this.#cleanup, this.folders, NAME);
    // Its local API has a new port from then on.
    await this.agent.process.printed(/queue agent started/);
  }

  /**
   * Waits for its session. A Central that ended asked it to reconnect later: a change of its configuration makes it
   * dial at once.
   */
  async online(): Promise<void> {
    await until(async () => {
      if ((await this.central.agent(NAME))?.['state'] === 'online') return true;
      await utimes(join(this.folders.profile, 'conf/agent.local.conf'), new Date(), new Date());
      return undefined;
    });
  }

  /** Copies a data folder of a process that is stopped; what it gives back puts the copy in its place. */
  async copyOf(whose: 'central' | 'agent'): Promise<() => Promise<void>> {
    const folder = whose === 'central' ? this.#folder : this.folders.data;
    const copy = await this.#cleanup.folder();
    await cp(folder, copy, { recursive: true });
    return async () => {
      await rm(folder, { recursive: true });
      await cp(copy, folder, { recursive: true });
    };
  }

  /** Posts events at the agent; each is acknowledged to the local program. */
  async post(ids: readonly string[], source = '/till'): Promise<void> {
    const { status, body } = await this.agent.local(
      'POST',
      '/api/v1/events',
      ids.map((id) => ({ id, source, type: 'tick' })),
    );
    if (status !== 202) throw new Error(JSON.stringify(body));
  }

  /** Sends commands through REST; each is acknowledged to the administrator. */
  async command(ids: readonly string[]): Promise<void> {
    const { status, body } = await this.central.rest(
      'POST',
      `/agents/${this.agentId}/commands`,
      ids.map((id) => ({ id, source: '/office', type: 'call' })),
    );
    if (status !== 202) throw new Error(JSON.stringify(body));
  }

  /** Waits until neither outbox holds anything: each side has all that the other one sent. */
  async quiet(): Promise<void> {
    await this.online();
    await until(async () => {
      const { body: status } = await this.agent.local('GET', '/api/v1/status');
      const agent = await this.central.agent(NAME);
      const down = (agent?.['logs'] as { down: { messageCount: number } } | undefined)?.down.messageCount;
      return (status.outbox.messageCount === 0 && down === 0) || undefined;
    });
  }

  /** "source id" of every event at Central, in the order of its log. */
  async events(): Promise<string[]> {
    return (await this.central.events()).map(({ event }) => `${String(event['source'])} ${String(event['id'])}`);
  }

  /** Takes every command at the agent and acknowledges it; the ids. */
  async take(): Promise<string[]> {
    const { body } = await this.agent.local('GET', '/api/v1/commands?limit=1000');
    const commands = body.items as { cursor: number; command: { id: string } }[];
    const last = commands.at(-1);
    if (last !== undefined) await this.agent.local('POST', '/api/v1/commands/ack', { through: last.cursor });
    return commands.map(({ command }) => command.id);
  }

  /** The logs that Central recorded as restarted with something missing, oldest first. */
  async recordedAtCentral(): Promise<Restart[]> {
    const { body } = await this.central.rest('GET', '/incidents');
    const incidents = body.items as { code: string; detail: Restart & { recovered: boolean } }[];
    return incidents
      .filter(({ code }) => code !== 'commands_forgotten')
      .toReversed()
      .map(({ code, detail }) => restart(code, detail));
  }

  async recordedAtAgent(): Promise<Restart[]> {
    const { body } = await this.agent.local('GET', '/api/v1/incidents');
    return (body.items as { code: string; detail: Restart & { recovered: boolean } }[])
      .toReversed()
      .map(({ code, detail }) => restart(code, detail));
  }
}

function restart(kind: string, { recovered, direction, from, through }: Restart & { recovered: boolean }): Restart {
  if (kind !== 'log_restarted' || recovered) throw new Error(`another incident: ${kind}`);
  return { direction, from, through };
}

/** Ports that stay over starts. */
export async function portFlags(): Promise<string[]> {
  const ports = await freePorts(4);
  return ['--websocket-port', '--websocket-secure-port', '--https-port', '--http-port'].flatMap((flag, i) => [
    flag,
    String(ports[i]),
  ]);
}

/** "e1" to "e5". */
export function ids(prefix: string, from: number, through: number): string[] {
  return Array.from({ length: through - from + 1 }, (_, i) => `${prefix}${from + i}`);
}
