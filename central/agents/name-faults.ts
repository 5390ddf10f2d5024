// Reports agents whose id or name is from before the rules (central/store/agent-names.ts) and breaks them. They stay
// unchanged and are selected by their full id; the administrator renames, enrolls again or deletes them.
import { problemFault, problemOf, type Problem } from '../problems.ts';
import type { AgentStore, NameFault, NameFaults } from '../store/agent-store.ts';

/** How many the status and the log list. */
const SHOWN = 10;
const MAX_SHOWN_ID = 80;

interface NameReportOptions {
  readonly agents: Pick<AgentStore, 'nameFaults'>;
  readonly log: { warn(facts: object, text: string): void };
  readonly now: () => number;
}

export class NameReport {
  readonly #options: NameReportOptions;
  #last: NameFaults = { count: 0, faults: [] };
  /** When a fault was first seen, by the id of the agent. */
  #seen: ReadonlyMap<string, number> = new Map();
  #since = 0;

  constructor(options: NameReportOptions) {
    this.#options = options;
  }

  /** Reads the faults again; logs only changes. */
  async measure(): Promise<void> {
    const { agents, log, now } = this.#options;
    const found = await agents.nameFaults(SHOWN);
    const changed = JSON.stringify(found) !== JSON.stringify(this.#last);
    if (this.#last.count === 0) this.#since = now();
    this.#last = found;
    this.#seen = new Map(found.faults.map(({ id }) => [id, this.#seen.get(id) ?? now()]));
    if (changed && found.count > 0)
      log.warn(
        { agents: found.count, first: found.faults.map((fault) => faultOf(fault).message) },
        'agents have ids or names that break the rules; each is reached by its full id',
      );
  }

  /** For the status; empty when no record breaks a rule. */
  problems(): Problem[] {
    const { count, faults } = this.#last;
    const more = count - faults.length;
    return [
      ...faults.map((fault) =>
        problemOf(faultOf(fault), this.#seen.get(fault.id) ?? this.#since, {
          kind: 'agent',
          id: fault.id,
          name: fault.name,
        }),
      ),
      ...(more > 0 ? [problemOf(problemFault('agent_records_invalid', { count: more }), this.#since)] : []),
    ];
  }
}

function faultOf({ id, name, found }: NameFault) {
  const short = id.length > MAX_SHOWN_ID ? `${id.slice(0, MAX_SHOWN_ID)}...` : id;
  return problemFault('agent_record_invalid', {
    name,
    id: JSON.stringify(short),
    found: found.slice(0, 2 * MAX_SHOWN_ID),
  });
}
