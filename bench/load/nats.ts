// Load for NATS JetStream over WebSocket with TLS: the client of the project (@nats-io), carried by the same `ws` as
// ours. Publishes without waiting for each acknowledgement, within a window; consumes with explicit acknowledgements.
import { WebSocket } from 'ws';
import { messageJson, sourceOf } from '../sample.ts';
import type { Dialled, LoadDriver, Target } from './driver.ts';
import { BrokerLoad } from './broker.ts';
import { Publisher } from './publisher.ts';

/**
 * The part of @nats-io/nats-core and @nats-io/jetstream that is used; the packages are installed only for the bench.
 */
interface NatsConnection {
  close(): Promise<void>;
}
interface Core {
  wsconnect(options: {
    servers: string;
    wsFactory: (url: string) => Promise<{ socket: WebSocket; encrypted: boolean }>;
  }): Promise<NatsConnection>;
}
interface JetStreamMessage {
  ack(): void;
}
interface Consumer {
  consume(options: { max_messages: number; callback: (message: JetStreamMessage) => void }): Promise<{ stop(): void }>;
}
export interface JetStream {
  publish(subject: string, payload: string, options?: { timeout: number }): Promise<{ seq: number }>;
  consumers: { get(stream: string, name: string): Promise<Consumer> };
}
export interface JetStreamManager {
  streams: { add(config: object): Promise<unknown>; info(name: string): Promise<{ state: { messages: number } }> };
  consumers: { add(stream: string, config: object): Promise<unknown> };
}
interface JetStreamPackage {
  jetstream(connection: NatsConnection): JetStream;
  jetstreamManager(connection: NatsConnection): Promise<JetStreamManager>;
}

const PUBLISH_TIMEOUT_MS = 20_000;
/**
 * Unacknowledged publications of one agent, and of the producer: as many as our window; fewer where many agents share
 * the server.
 */
const WINDOW = 2_000;
const WINDOW_OF_ALL = 8_000;

export interface NatsLine {
  readonly connection: NatsConnection;
  readonly js: JetStream;
  readonly manager: () => Promise<JetStreamManager>;
}

export async function connectNats(target: Target): Promise<NatsLine> {
  const core = (await import(packageName('nats-core'))) as Core;
  const jetstream = (await import(packageName('jetstream'))) as JetStreamPackage;
  const wsFactory = async (url: string): Promise<{ socket: WebSocket; encrypted: boolean }> => ({
    socket: new WebSocket(url, { ca: target.ca, perMessageDeflate: false }),
    encrypted: true,
  });
  const connection = await core.wsconnect({ servers: target.url, wsFactory });
  return { connection, js: jetstream.jetstream(connection), manager: () => jetstream.jetstreamManager(connection) };
}

/** Not a literal: the compiler must not look for what only the bench installs. */
function packageName(name: string): string {
  return `@nats-io/${name}`;
}

function publisherOf(line: NatsLine, source: string, window: number, subject: (number: number) => string): Publisher {
  const run = Math.random().toString(36).slice(2, 8).padEnd(6, '0');
  return new Publisher(
    window,
    (number, acknowledge) => void publish(line, subject(number), messageJson(source, run, number)).then(acknowledge),
  );
}

/** Resolves when the server has the message. */
async function publish(line: NatsLine, subject: string, payload: string): Promise<void> {
  for (;;) {
    try {
      await line.js.publish(subject, payload, { timeout: PUBLISH_TIMEOUT_MS });
      return;
    } catch (error) {
      // The stream of commands is full (discard: new): the same as our 503.
      if (!/maximum messages/.test(String(error))) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

export class NatsLoad extends BrokerLoad implements LoadDriver {
  #lines: NatsLine[] = [];

  async open(target: Target, from: number, count: number): Promise<Dialled> {
    const startedAt = performance.now();
    this.#lines = await Promise.all(Array.from({ length: count }, () => connectNats(target)));
    const window = Math.max(50, Math.min(WINDOW, Math.floor(WINDOW_OF_ALL / count)));
    this.publishers = this.#lines.map((line, i) =>
      publisherOf(line, sourceOf(from + i), window, () => `up.${from + i}`),
    );
    for (const [i, line] of this.#lines.entries()) {
      const name = `agent-${from + i}`;
      await (
        await line.manager()
      ).consumers.add('DOWN', {
        durable_name: name,
        filter_subject: `down.${from + i}`,
        ack_policy: 'explicit',
        max_ack_pending: WINDOW,
      });
      const consumer = await line.js.consumers.get('DOWN', name);
      await consumer.consume({ max_messages: WINDOW, callback: (message) => this.#onCommand(message, i, from + i) });
    }
    return { ms: performance.now() - startedAt, retries: 0 };
  }

  async close(): Promise<void> {
    await Promise.all(this.#lines.map(({ connection }) => connection.close()));
  }

  protected async openProducer(target: Target, agents: number): Promise<Publisher> {
    const line = await connectNats(target);
    return publisherOf(line, '/central/bench', WINDOW, (number) => `down.${number % agents}`);
  }

  async roundTrips(target: Target, count: number): Promise<number[]> {
    const line = await connectNats(target);
    const name = `reader-${process.pid}-${Date.now()}`;
    await (
      await line.manager()
    ).consumers.add('UP', { durable_name: name, deliver_policy: 'new', ack_policy: 'explicit' });
    let answered: () => void = () => undefined;
    const consumer = await line.js.consumers.get('UP', name);
    const consuming = await consumer.consume({
      max_messages: 100,
      callback: (message) => {
        message.ack();
        answered();
      },
    });
    const taken: number[] = [];
    for (let number = 1; number <= count; number += 1) {
      const startedAt = performance.now();
      const answer = new Promise<void>((resolve) => (answered = resolve));
      await line.js.publish('down.0', messageJson('/central/bench', 'trip00', number));
      await answer;
      taken.push(performance.now() - startedAt);
    }
    consuming.stop();
    await line.connection.close();
    return taken;
  }

  #onCommand(message: JetStreamMessage, i: number, index: number): void {
    message.ack();
    this.receivedCount += 1;
    if (this.isAnswering)
      void this.#lines[i]?.js.publish(`up.${index}`, messageJson(sourceOf(index), 'answer', this.receivedCount));
  }
}
