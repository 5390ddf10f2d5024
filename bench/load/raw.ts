// Load for the raw peer: the same frames, windows and messages as the product's agents, without meaning.
import { WebSocket } from 'ws';
import { Sender } from '../../shared/delivery/sender.ts';
import { LIMITS } from '../../shared/wire/messages.ts';
import { MemoryOutbox } from '../memory-log.ts';
import { ackOf, isMessages, throughOf } from '../raw-frames.ts';
import { messageJson, sourceOf } from '../sample.ts';
import {
  inTurns,
  nowCount,
  unsupported,
  untilTrue,
  type Count,
  type Dialled,
  type LoadDriver,
  type Target,
} from './driver.ts';

/** Two thousand agents hold four million messages in their windows. */
const DRAIN_MS = 180_000;
const DIAL_MS = 120_000;
const RETRY_MS = 100;

interface RawAgent {
  socket: WebSocket | undefined;
  readonly outbox: MemoryOutbox;
  sender: Sender | undefined;
}

export class RawLoad implements LoadDriver {
  #agents: RawAgent[] = [];
  #received = 0;
  #retries = 0;
  #onAcknowledged: (() => void) | undefined;

  async open(target: Target, from: number, count: number): Promise<Dialled> {
    this.#agents = Array.from({ length: count }, (_, i) => ({
      socket: undefined,
      outbox: new MemoryOutbox(sourceOf(from + i), () => this.#onAcknowledged?.()),
      sender: undefined,
    }));
    const startedAt = performance.now();
    this.#retries = 0;
    for (const agent of this.#agents) this.#dial(agent, target);
    await untilTrue(
      () => this.#agents.every(({ sender }) => sender !== undefined),
      DIAL_MS,
      `dialling ${count} connections`,
    );
    return { ms: performance.now() - startedAt, retries: this.#retries };
  }

  async close(): Promise<void> {
    for (const { socket } of this.#agents) socket?.close();
    await untilTrue(
      () => this.#agents.every(({ socket }) => socket?.readyState === WebSocket.CLOSED),
      DRAIN_MS,
      'closing',
    );
  }

  async flowUp(on: boolean): Promise<number> {
    const turn = ({ outbox, sender }: RawAgent): void => {
      outbox.flow(on);
      sender?.notify();
    };
    if (on) await inTurns(this.#agents, turn);
    else this.#agents.forEach(turn);
    if (!on) await untilTrue(() => this.#agents.every(({ outbox }) => outbox.drained), DRAIN_MS, 'draining');
    return this.acknowledged().count;
  }

  addBacklog(): void {
    unsupported('a backlog');
  }

  acknowledged(): Count {
    let count = 0;
    for (const { outbox } of this.#agents) count += outbox.acknowledged;
    return nowCount(count);
  }

  received(): Count {
    return nowCount(this.#received);
  }

  /** The server of this peer makes its commands itself. */
  async produce(): Promise<number> {
    return unsupported('a producer of commands');
  }

  /** The server echoes. */
  async answer(): Promise<void> {
    return;
  }

  async roundTrips(target: Target, count: number): Promise<number[]> {
    const socket = new WebSocket(target.url, { ca: target.ca, perMessageDeflate: false });
    await new Promise((resolve) => socket.once('open', resolve));
    const taken: number[] = [];
    for (let number = 1; number <= count; number += 1) {
      const startedAt = performance.now();
      const answered = new Promise((resolve) => socket.once('message', resolve));
      socket.send(messageJson('/central/bench', 'echo00', number));
      await answered;
      taken.push(performance.now() - startedAt);
    }
    socket.close();
    return taken;
  }

  async watch(ms: number): Promise<{ acksMs: number[]; lost: number }> {
    const acksMs: number[] = [];
    const [agent] = this.#agents;
    const until = performance.now() + ms;
    while (performance.now() < until) {
      const startedAt = performance.now();
      await new Promise<void>((resolve) => {
        this.#onAcknowledged = resolve;
        agent?.outbox.add();
        agent?.sender?.notify();
      });
      acksMs.push(performance.now() - startedAt);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return { acksMs, lost: 0 };
  }

  #dial(agent: RawAgent, target: Target): void {
    const socket = new WebSocket(target.url, { ca: target.ca, minVersion: 'TLSv1.3', perMessageDeflate: false });
    agent.socket = socket;
    socket.on('open', () => {
      const frames = { send: (text: string): void => socket.send(text) };
      const sender = new Sender({
        outbox: agent.outbox,
        frames,
        limits: LIMITS,
        now: Date.now,
        pollMs: 3_600_000,
        onFailure: (error) => console.error(error),
      });
      agent.sender = sender;
      void sender.start(null);
    });
    socket.on('message', (data: Buffer) => this.#onMessage(agent, data.toString('utf8')));
    socket.on('close', () => agent.sender?.stop());
    socket.on('error', (error) => {
      if (agent.sender !== undefined) return;
      this.#retries += 1;
      if (this.#retries === 1) console.error(`a connection dials again: ${error.message}`);
      setTimeout(() => this.#dial(agent, target), RETRY_MS);
    });
  }

  #onMessage(agent: RawAgent, text: string): void {
    if (isMessages(text)) {
      const through = throughOf(text);
      agent.socket?.send(ackOf(through));
      const first = Number(text.slice(27, text.indexOf(',', 27)));
      this.#received += through - first + 1;
    } else if (text.startsWith('{"type":"ack"')) {
      agent.sender?.acknowledge(Number(text.slice(24, -1)));
    }
  }
}
