// Posts an event and a command of each agent at the moments that a test chooses, and says in the end what arrived of
// them.
import { until, type AgentProcess, type CentralProcess } from '../flow/processes.ts';

interface Messages {
  /** Ids, in any order. */
  readonly events: readonly string[];
  /** By agent: ids, in order. */
  readonly commands: Readonly<Record<string, readonly string[]>>;
}

export class MessagesBothWays {
  readonly #central: CentralProcess;
  readonly #agents: ReadonlyMap<string, AgentProcess>;
  readonly #moments: string[] = [];

  /** `agents` by name. */
  constructor(central: CentralProcess, agents: ReadonlyMap<string, AgentProcess>) {
    this.#central = central;
    this.#agents = agents;
  }

  /** Errors: one that is not accepted. */
  async post(moment: string): Promise<void> {
    this.#moments.push(moment);
    for (const [name, agent] of this.#agents) {
      const id = `${moment}-${name}`;
      const answers = [
        await agent.local('POST', '/api/v1/events', { id, type: 'tick' }),
        await this.#central.rest('POST', `/agents/${name}/commands`, { id, type: 'show' }),
      ];
      for (const { status, body } of answers)
        if (status !== 202) throw new Error(`${id}: ${status} ${JSON.stringify(body)}`);
    }
  }

  posted(): Messages {
    const names = [...this.#agents.keys()];
    const of = (name: string): string[] => this.#moments.map((moment) => `${moment}-${name}`);
    return {
      events: names.flatMap(of).toSorted(),
      commands: Object.fromEntries(names.map((name) => [name, of(name)])),
    };
  }

  /** As soon as that many are there. */
  async received(): Promise<Messages> {
    const { length } = this.posted().events;
    const events = await until(async () => {
      const ids = (await this.#central.events()).map(({ event }) => String(event['id']));
      return ids.length >= length ? ids : undefined;
    });
    const commands: Record<string, readonly string[]> = {};
    for (const [name, agent] of this.#agents) {
      commands[name] = await until(async () => {
        const { body } = await agent.local('GET', '/api/v1/commands?limit=1000');
        const ids = (body.items as { command: { id: string } }[]).map(({ command }) => command.id);
        return ids.length >= this.#moments.length ? ids : undefined;
      });
    }
    return { events: events.toSorted(), commands };
  }
}
