// Load for an MQTT broker over WebSocket with TLS, QoS 1 in both directions, with the client of the project (mqtt).
import { messageJson, sourceOf } from '../sample.ts';
import type { Dialled, LoadDriver, Target } from './driver.ts';
import { BrokerLoad } from './broker.ts';
import { Publisher } from './publisher.ts';

/** The part of `mqtt` that is used; the package is installed only for the bench. */
interface Client {
  publish(topic: string, payload: string, options: { qos: 1 }, done: (error?: Error) => void): void;
  subscribeAsync(topic: string, options: { qos: 1 }): Promise<unknown>;
  on(event: 'message', listener: (topic: string) => void): void;
  endAsync(): Promise<void>;
}
interface Mqtt {
  connectAsync(
    url: string,
    options: { ca: string; clientId: string; clean: boolean; keepalive: number },
  ): Promise<Client>;
}

/** Unacknowledged publications of one agent; fewer where many agents share the broker. */
const WINDOW = 1_000;
const WINDOW_OF_ALL = 4_000;

export async function connectMqtt(target: Target, clientId: string, clean: boolean): Promise<Client> {
  // Not a literal: the compiler must not look for what only the bench installs.
  const name = ['mqtt'].join('');
  const { default: mqtt } = (await import(name)) as { default: Mqtt };
  return await mqtt.connectAsync(target.url, { ca: target.ca, clientId, clean, keepalive: 60 });
}

function publisherOf(client: Client, source: string, window: number, topic: (number: number) => string): Publisher {
  return new Publisher(window, (number, acknowledge) =>
    client.publish(topic(number), messageJson(source, 'mqtt00', number), { qos: 1 }, (error) => {
      if (error !== undefined && error !== null) throw error;
      acknowledge();
    }),
  );
}

export class MqttLoad extends BrokerLoad implements LoadDriver {
  #clients: Client[] = [];

  async open(target: Target, from: number, count: number): Promise<Dialled> {
    const startedAt = performance.now();
    this.#clients = await Promise.all(
      Array.from({ length: count }, (_, i) => connectMqtt(target, `agent-${from + i}`, true)),
    );
    const window = Math.max(25, Math.min(WINDOW, Math.floor(WINDOW_OF_ALL / count)));
    this.publishers = this.#clients.map((client, i) =>
      publisherOf(client, sourceOf(from + i), window, () => `up/${from + i}`),
    );
    for (const [i, client] of this.#clients.entries()) {
      client.on('message', () => this.#onCommand(client, from + i));
      await client.subscribeAsync(`down/${from + i}`, { qos: 1 });
    }
    return { ms: performance.now() - startedAt, retries: 0 };
  }

  async close(): Promise<void> {
    await Promise.all(this.#clients.map((client) => client.endAsync()));
  }

  protected async openProducer(target: Target, agents: number): Promise<Publisher> {
    const client = await connectMqtt(target, 'producer', true);
    return publisherOf(client, '/central/bench', WINDOW, (number) => `down/${number % agents}`);
  }

  async roundTrips(target: Target, count: number): Promise<number[]> {
    const client = await connectMqtt(target, `reader-${process.pid}-${Date.now()}`, true);
    let answered: () => void = () => undefined;
    client.on('message', () => answered());
    await client.subscribeAsync('up/#', { qos: 1 });
    const taken: number[] = [];
    for (let number = 1; number <= count; number += 1) {
      const startedAt = performance.now();
      const answer = new Promise<void>((resolve) => (answered = resolve));
      client.publish('down/0', messageJson('/central/bench', 'trip00', number), { qos: 1 }, () => undefined);
      await answer;
      taken.push(performance.now() - startedAt);
    }
    await client.endAsync();
    return taken;
  }

  #onCommand(client: Client, index: number): void {
    this.receivedCount += 1;
    if (this.isAnswering)
      client.publish(
        `up/${index}`,
        messageJson(sourceOf(index), 'answer', this.receivedCount),
        { qos: 1 },
        () => undefined,
      );
  }
}
