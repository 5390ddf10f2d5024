// Keeps what agents report of the consumers of their commands. A report replaces the one before, so that those of all
// agents are written together, a second apart: an agent cannot make Central write more often.
import { textOf } from '../../shared/errors.ts';
import type { Consumers } from '../../shared/wire/messages.ts';
import type { Session } from '../sessions/session.ts';
import type { AgentStore, ConsumerReport } from '../store/agent-store.ts';

interface ConsumerReportsNeeds {
  readonly agents: Pick<AgentStore, 'recordConsumers'>;
  readonly log: { debug(facts: object, text: string): void };
  readonly now: () => number;
  readonly after?: (ms: number, run: () => void) => void;
}

/** What an agent names that sends them. */
const CAPABILITY = 'consumers';
const WRITE_MS = 1_000;

export class ConsumerReports {
  readonly #needs: ConsumerReportsNeeds;
  readonly #after: (ms: number, run: () => void) => void;
  /** By agent, the newest. */
  #waiting = new Map<string, ConsumerReport>();

  constructor(needs: ConsumerReportsNeeds) {
    this.#needs = needs;
    this.#after = needs.after ?? ((ms, run) => void setTimeout(run, ms).unref());
  }

  /** Must not throw. What is lost when Central ends, the next session repairs. */
  onFrame({ facts }: Pick<Session, 'facts'>, { position, consumers }: Consumers): void {
    const { agentId, epoch, capabilities } = facts;
    if (!capabilities.includes(CAPABILITY)) return;
    if (this.#waiting.size === 0) this.#after(WRITE_MS, () => this.#write());
    this.#waiting.set(agentId, { agentId, epoch, at: this.#needs.now(), position, consumers });
  }

  #write(): void {
    const reports = [...this.#waiting.values()];
    this.#waiting = new Map();
    this.#needs.agents
      .recordConsumers(reports)
      .catch((error: unknown) => this.#needs.log.debug({ error: textOf(error) }, 'reports of consumers'));
  }
}
