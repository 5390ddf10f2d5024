// The few REST calls of the bench, over HTTPS with connections that are kept: `fetch` would measure itself.
import { Agent, request } from 'node:https';
import type { Target } from './driver.ts';

export class RestClient {
  readonly #target: Target;
  readonly #agent: Agent;

  constructor(target: Target, connections: number) {
    this.#target = target;
    this.#agent = new Agent({ keepAlive: true, maxSockets: connections, ca: target.ca });
  }

  close(): void {
    this.#agent.destroy();
  }

  /** True: accepted, and on disk. False: the agent's outbox is full (503). */
  async commands(agentId: string, body: string): Promise<boolean> {
    const { status, text } = await this.#send('POST', `/agents/${agentId}/commands`, body);
    if (status === 202) return true;
    if (status === 503) return false;
    throw new Error(`commands were answered with ${status}: ${text.slice(0, 500)}`);
  }

  async events(after: string, waitSeconds: number): Promise<{ next: string; count: number }> {
    const { status, text } = await this.#send('GET', `/events?limit=10&after=${after}&waitSeconds=${waitSeconds}`);
    if (status !== 200) throw new Error(`events were answered with ${status}: ${text.slice(0, 500)}`);
    const page = JSON.parse(text) as { next: string; items: unknown[] };
    return { next: page.next, count: page.items.length };
  }

  /** The first page of events of one type from the oldest on. */
  async eventsOf(type: string): Promise<void> {
    const { status, text } = await this.#send('GET', `/events?limit=10&after=oldest&type=${encodeURIComponent(type)}`);
    if (status !== 200) throw new Error(`events of one type were answered with ${status}: ${text.slice(0, 500)}`);
  }

  /** One page of the list of agents. */
  async agents(
    query: string,
  ): Promise<{ items: { name: string; state: string; epoch: number }[]; next: string | null }> {
    const { status, text } = await this.#send('GET', `/agents?${query}`);
    if (status !== 200) throw new Error(`the list of agents was answered with ${status}: ${text.slice(0, 500)}`);
    return JSON.parse(text) as { items: { name: string; state: string; epoch: number }[]; next: string | null };
  }

  /** The state of all agents, and how often each has connected. */
  async sessions(): Promise<{ state: string; epoch: number }[]> {
    const all: { state: string; epoch: number }[] = [];
    for (let after: string | null = ''; after !== null;) {
      const page = await this.agents(`limit=1000${after === '' ? '' : `&after=${encodeURIComponent(after)}`}`);
      all.push(...page.items);
      after = page.next;
    }
    return all;
  }

  /** Of all nodes that are alive. */
  async sessionsOfNodes(): Promise<number> {
    const { status, text } = await this.#send('GET', '/nodes');
    if (status !== 200) throw new Error(`the list of nodes was answered with ${status}: ${text.slice(0, 500)}`);
    const { items } = JSON.parse(text) as { items: { state: string; sessionCount: number }[] };
    return items.reduce((sum, { state, sessionCount }) => sum + (state === 'alive' ? sessionCount : 0), 0);
  }

  /** All pages of the list of agents; how many of them have a name that begins so. */
  async listedAgents(prefix: string): Promise<number> {
    let found = 0;
    for (let after: string | null = ''; after !== null;) {
      const page = await this.agents(`limit=1000${after === '' ? '' : `&after=${encodeURIComponent(after)}`}`);
      found += page.items.filter(({ name }) => name.startsWith(prefix)).length;
      after = page.next;
    }
    return found;
  }

  #send(method: string, path: string, body?: string): Promise<{ status: number; text: string }> {
    return new Promise((resolve, reject) => {
      const headers = {
        authorization: `Bearer ${this.#target.token}`,
        ...(body === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
      };
      const sent = request(
        `${this.#target.restUrl}/api/v1${path}`,
        { method, agent: this.#agent, headers },
        (answer) => {
          let text = '';
          answer.setEncoding('utf8');
          answer.on('data', (chunk: string) => (text += chunk));
          answer.on('error', reject);
          answer.on('end', () => resolve({ status: answer.statusCode ?? 0, text }));
        },
      );
      sent.on('error', reject);
      sent.end(body);
    });
  }
}
