// Keeps what agents report of the consumers of their commands. A report replaces the one before, so that those of all
// agents are written together, a second apart: an agent cannot make Central write more often. Agents whose inbox is
// full are named in the status, with the consumer that fills it.
import { textOf } from '../../shared/errors.ts';
import type { Consumers } from '../../shared/wire/messages.ts';
import { problemFault, problemOf, type Problem } from '../problems.ts';
import type { Session } from '../sessions/session.ts';
import type { AgentStore, ConsumerReport } from '../store/agent-store.ts';

interface ConsumerReportsNeeds {
  readonly agents: Pick<AgentStore, 'recordConsumers'>;
  /** The open session of an agent. */
  readonly sessionOf: (agentId: string) => Pick<Session, 'facts'> | undefined;
  readonly log: { debug(facts: object, text: string): void };
  readonly now: () => number;
  readonly after?: (ms: number, run: () => void) => void;
}

/** What an agent names that sends them. */
const CAPABILITY = 'consumers';
const WRITE_MS = 1_000;
/** More agents than these are not named. */
const NAMED = 5;

interface FullInbox {
  readonly epoch: number;
  readonly since: number;
  readonly name: string;
  /** "branch-0042 (10000 commands of the consumer printer)" */
  readonly text: string;
}

export class ConsumerReports {
  readonly #needs: ConsumerReportsNeeds;
  readonly #after: (ms: number, run: () => void) => void;
  /** By agent, the newest. */
  #waiting = new Map<string, ConsumerReport>();
  /** By agent: those that accept no more commands. An entry of an agent that is offline says nothing. */
  readonly #full = new Map<string, FullInbox>();

  constructor(needs: ConsumerReportsNeeds) {
    this.#needs = needs;
    this.#after = needs.after ?? ((ms, run) => void setTimeout(run, ms).unref());
  }

  /** Must not throw. What is lost when Central ends, the next session repairs. */
  onFrame({ facts }: Pick<Session, 'facts'>, { position, inboxFull, consumers }: Consumers): void {
    const { agentId, agentName, epoch, capabilities } = facts;
    if (!capabilities.includes(CAPABILITY)) return;
    if (this.#waiting.size === 0) this.#after(WRITE_MS, () => this.#write());
    const at = this.#needs.now();
    this.#waiting.set(agentId, { agentId, epoch, at, position, inboxFull, consumers });
    if (!inboxFull) this.#full.delete(agentId);
    else {
      const [slowest] = consumers.toSorted((one, other) => other.waitingCount - one.waitingCount);
      const text =
        slowest === undefined
          ? agentName
          : `${agentName} (${slowest.waitingCount} commands of the consumer ${slowest.name})`;
      this.#full.set(agentId, { epoch, since: this.#full.get(agentId)?.since ?? at, name: agentName, text });
    }
  }

  problems(): Problem[] {
    for (const [agentId, { epoch }] of this.#full)
      if (this.#needs.sessionOf(agentId)?.facts.epoch !== epoch) this.#full.delete(agentId);
    if (this.#full.size === 0) return [];
    const full = [...this.#full.values()];
    const fault = problemFault('agent_inboxes_full', {
      count: full.length,
      agents: [...full.slice(0, NAMED).map(({ text }) => text), ...(full.length > NAMED ? ['...'] : [])].join(', '),
    });
    const [[id, { name }]] = [...this.#full] as [[string, FullInbox]];
    const subject = full.length === 1 ? ({ kind: 'agent', id, name } as const) : undefined;
    return [problemOf(fault, Math.min(...full.map(({ since }) => since)), subject)];
  }

  #write(): void {
    const reports = [...this.#waiting.values()];
    this.#waiting = new Map();
    this.#needs.agents
      .recordConsumers(reports)
      .catch((error: unknown) => this.#needs.log.debug({ error: textOf(error) }, 'reports of consumers'));
  }
}
