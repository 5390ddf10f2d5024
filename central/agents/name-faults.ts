// Reports agents whose id or name is from before the rules (central/store/agent-names.ts) and breaks them. They stay
// unchanged and are selected by their full id; the administrator renames, enrolls again or deletes them.
import type { AgentStore, NameFault, NameFaults } from '../store/agent-store.ts';

/** How many the status and the log list. */
const SHOWN = 10;
const MAX_SHOWN_ID = 80;

interface NameReportOptions {
  readonly agents: Pick<AgentStore, 'nameFaults'>;
  readonly log: { warn(facts: object, text: string): void };
}

export class NameReport {
  readonly #options: NameReportOptions;
  #last: NameFaults = { count: 0, faults: [] };

  constructor(options: NameReportOptions) {
    this.#options = options;
  }

  /** Reads the faults again; logs only changes. */
  async measure(): Promise<void> {
    const { agents, log } = this.#options;
    const found = await agents.nameFaults(SHOWN);
    const changed = JSON.stringify(found) !== JSON.stringify(this.#last);
    this.#last = found;
    if (changed && found.count > 0)
      log.warn(
        { agents: found.count, first: found.faults.map(shown) },
        'agents have ids or names that break the rules; each is reached by its full id',
      );
  }

  /** For the status; empty when no record breaks a rule. */
  problems(): string[] {
    const { count, faults } = this.#last;
    const more =
      count > faults.length ? [`${count - faults.length} more agents have an id or a name that breaks the rules.`] : [];
    return [
      ...faults.map(
        (fault) =>
          `${shown(fault)}. Reach it by its full id, and enroll it again under another id or name, or remove it.`,
      ),
      ...more,
    ];
  }
}

function shown({ id, name, found }: NameFault): string {
  const short = id.length > MAX_SHOWN_ID ? `${id.slice(0, MAX_SHOWN_ID)}...` : id;
  return `The agent "${name}" with the id ${JSON.stringify(short)} breaks a rule: ${found.slice(0, 2 * MAX_SHOWN_ID)}`;
}
