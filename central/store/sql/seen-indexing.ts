// Has the writing thread index what was seen of agents whose logs restarted (events/seen-events.ts): one short step of
// one agent at a time, so that nothing else waits for it. A refused append starts it, also after Central was killed.
import { isCoded } from '../../../shared/errors.ts';

export class SeenIndexing {
  /** One step of one agent. True when there is more. */
  readonly #step: (agentId: string) => Promise<boolean>;
  /** In the order of their turns. */
  readonly #agents = new Set<string>();
  #running = false;

  constructor(step: (agentId: string) => Promise<boolean>) {
    this.#step = step;
  }

  /** The same append; when it is refused for this reason, the indexing of its agent begins. */
  async watch<T>(agentId: string, append: Promise<T>): Promise<T> {
    try {
      return await append;
    } catch (error) {
      if (isCoded(error, 'deduplication_indexing')) {
        this.#agents.add(agentId);
        void this.#run();
      }
      throw error;
    }
  }

  async #run(): Promise<void> {
    if (this.#running) return;
    this.#running = true;
    for (const agentId of this.#agents) {
      this.#agents.delete(agentId);
      try {
        // Behind all others: a set is walked through in the order of arrival, and what is added meanwhile comes last.
        if (await this.#step(agentId)) this.#agents.add(agentId);
      } catch {
        // The agent was removed, or the store has failed. If not, the next append is refused again, and starts it
        // again.
      }
    }
    this.#running = false;
  }
}
