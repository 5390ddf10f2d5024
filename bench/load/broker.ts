// What the loads of other brokers share: publishers for the agents, one for commands, and what they count. Neither has
// a backlog or shows acknowledgements one by one.
import { nowCount, unsupported, untilTrue, type Count, type Target } from './driver.ts';
import type { Publisher } from './publisher.ts';

const DRAIN_MS = 60_000;

export abstract class BrokerLoad {
  /** One for each agent. */
  protected publishers: Publisher[] = [];
  protected receivedCount = 0;
  protected isAnswering = false;
  #producer: Publisher | undefined;
  #reported = 0;

  /** A publisher of commands, to each of the agents in turn. */
  protected abstract openProducer(target: Target, agents: number): Promise<Publisher>;

  async flowUp(on: boolean): Promise<number> {
    for (const publisher of this.publishers) publisher.flow(on);
    if (!on) await untilTrue(() => this.publishers.every(({ drained }) => drained), DRAIN_MS, 'draining');
    return this.acknowledged().count;
  }

  addBacklog(): void {
    unsupported('a backlog');
  }

  acknowledged(): Count {
    return nowCount(this.publishers.reduce((sum, { acknowledged }) => sum + acknowledged, 0));
  }

  received(): Count {
    return nowCount(this.receivedCount);
  }

  async answer(on: boolean): Promise<void> {
    this.isAnswering = on;
  }

  async produce(on: boolean, target: Target, agents: number): Promise<number> {
    const producer = (this.#producer ??= await this.openProducer(target, agents));
    producer.flow(on);
    if (on) return 0;
    await untilTrue(() => producer.drained, DRAIN_MS, 'draining');
    const produced = producer.acknowledged - this.#reported;
    this.#reported = producer.acknowledged;
    return produced;
  }

  async watch(): Promise<{ acksMs: number[]; lost: number }> {
    return unsupported('watching');
  }
}
