// Which agents have some labels, for all who read events by labels: selected once for all of them, one filter at a time.
import { Mutex } from '../../../shared/mutex.ts';
import { setNewest } from '../../../shared/recent-entries.ts';
import type { AgentStore } from '../agent-store.ts';
import type { LabelTerm } from '../agents/labels.ts';

/** How old the labels may be: to select reads all agents. */
const LABELS_MS = 5_000;
/** Filters that are remembered: those of the subscriptions, and of as many readers. */
const MAX_FILTERS = 200;

interface Selected {
  readonly ids: Promise<ReadonlySet<string>>;
  /** Undefined: in progress. */
  at: number | undefined;
}

export class LabeledIds {
  readonly #agents: Pick<AgentStore, 'selectIds'>;
  readonly #clock: () => number;
  /** By filter, the one that was selected last at the end. */
  readonly #selected = new Map<string, Selected>();
  readonly #turns = new Mutex();

  /** `clock`: monotonic, in milliseconds. */
  constructor(agents: Pick<AgentStore, 'selectIds'>, clock: () => number = () => performance.now()) {
    this.#agents = agents;
    this.#clock = clock;
  }

  /** The ids of the agents for which all terms of one of these filters hold, or held some seconds ago. */
  async find(labels: readonly (readonly LabelTerm[])[]): Promise<ReadonlySet<string>> {
    const key = JSON.stringify(labels);
    const known = this.#selected.get(key);
    if (known !== undefined && (known.at === undefined || this.#clock() - known.at < LABELS_MS)) return await known.ids;
    const ids = this.#turns.runExclusive(
      async () => new Set(await this.#agents.selectIds(labels.map((terms) => ({ kind: 'labels', terms })))),
    );
    const selected: Selected = { ids, at: undefined };
    setNewest(this.#selected, key, selected, MAX_FILTERS);
    try {
      return await ids;
    } catch (error) {
      if (this.#selected.get(key) === selected) this.#selected.delete(key);
      throw error;
    } finally {
      selected.at = this.#clock();
    }
  }
}
