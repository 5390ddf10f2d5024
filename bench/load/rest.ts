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

  async events(after: string, waitSeconds: number): Promise<{ next: number; count: number }> {
    const { status, text } = await this.#send('GET', `/events?limit=10&after=${after}&waitSeconds=${waitSeconds}`);
    if (status !== 200) throw new Error(`events were answered with ${status}: ${text.slice(0, 500)}`);
    const page = JSON.parse(text) as { next: number; items: unknown[] };
    return { next: page.next, count: page.items.length };
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
