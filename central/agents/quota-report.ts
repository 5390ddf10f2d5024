// Reports agents that have reached their quota of events for the present day, for the status: Central refuses their
// events until the day ends, and the agents keep them.
import { problemFault, problemOf, type Problem } from '../problems.ts';
import type { AgentStore } from '../store/agent-store.ts';

/** Each agent has at most one such incident a day, among others: more agents than these are not named anyway. */
const READ = 1_000;
const NAMED = 5;
const DAY_MS = 86_400_000;

interface QuotaReportOptions {
  readonly agents: Pick<AgentStore, 'get' | 'incidents'>;
  readonly now: () => number;
}

export class QuotaReport {
  readonly #options: QuotaReportOptions;
  #problems: Problem[] = [];

  constructor(options: QuotaReportOptions) {
    this.#options = options;
  }

  /** Reads the incidents of the day again. */
  async measure(): Promise<void> {
    const { agents, now } = this.#options;
    const today = Math.floor(now() / DAY_MS) * DAY_MS;
    const reached = (await agents.incidents({ limit: READ })).filter(
      ({ kind, at, agentId }) => kind === 'events_per_day' && at >= today && agentId !== null,
    );
    const ids = [...new Set(reached.map(({ agentId }) => String(agentId)))];
    const first = Math.min(...reached.map(({ at }) => at));
    const named = await Promise.all(ids.slice(0, NAMED).map((id) => this.#nameOf(id)));
    const fault = problemFault('agent_quotas_reached', {
      count: ids.length,
      agents: [...named, ...(ids.length > NAMED ? ['...'] : [])].join(', '),
      until: new Date(today + DAY_MS).toISOString(),
    });
    const [id = '', name = ''] = [ids[0], named[0]];
    const subject = ids.length === 1 ? ({ kind: 'agent', id, name } as const) : undefined;
    this.#problems = ids.length === 0 ? [] : [problemOf(fault, first, subject)];
  }

  /** Of a deleted agent: its id. */
  async #nameOf(id: string): Promise<string> {
    return (await this.#options.agents.get(id))?.name ?? id;
  }

  problems(): Problem[] {
    return this.#problems;
  }
}
