// What administrators see of the nodes beside the list: what is wrong with them, figures, and that one has changed.
import type { Metrics } from '../metrics.ts';
import { problemFault, problemOf, type Problem } from '../problems.ts';
import type { NodeRecord, StoreAway } from '../store/nodes/node-store.ts';
import type { ResourceChanges } from '../watching/resource-changes.ts';

/** A change of parameters takes effect everywhere within a second. */
const LATE_MS = 10_000;
/** Nodes with rows of their own in the metrics: names that were used once are listed until they are deleted. */
const MAX_MEASURED = 100;

interface NodeReportOptions {
  readonly nodes: {
    list(): readonly NodeRecord[];
    onHeard(listener: (nodes: readonly NodeRecord[]) => void): void;
  };
  readonly store: { away(): StoreAway | undefined };
  readonly resourceChanges: Pick<ResourceChanges, 'note'>;
  readonly now: () => number;
}

export class NodeReport {
  readonly #options: NodeReportOptions;
  /** What was noted of each node last. */
  #noted = new Map<string, string>();
  /** Since when a node applies older parameters than another one. */
  readonly #lateSince = new Map<string, number>();
  #measuredAt: number;

  constructor(options: NodeReportOptions) {
    this.#options = options;
    this.#measuredAt = options.now();
    options.nodes.onHeard((nodes) => this.#look(nodes));
  }

  /** For the status: this node works, whatever they say. */
  problems(): Problem[] {
    const now = this.#options.now();
    const nodes = this.#options.nodes.list();
    const newest = newestParameters(nodes);
    return nodes.flatMap(({ name, state, lastSeenAt, appliedParameters }) => {
      if (state === 'dead') {
        const seenAt = new Date(lastSeenAt).toISOString();
        return [problemOf(problemFault('node_dead', { name, seenAt }), lastSeenAt)];
      }
      const since = this.#lateSince.get(name);
      if (since === undefined || now - since < LATE_MS) return [];
      return [problemOf(problemFault('node_parameters_late', { name, applied: appliedParameters, newest }), since)];
    });
  }

  measure({ instruments }: Metrics): void {
    const nodes = this.#options.nodes.list();
    for (const state of ['alive', 'dead', 'stopped'] as const)
      instruments.queuegate_nodes.set({ state }, nodes.filter((node) => node.state === state).length);
    const { queuegate_node_sessions: sessions, queuegate_node_clock_offset_seconds: offset } = instruments;
    const leads = instruments.queuegate_node_leads;
    for (const gauge of [sessions, offset, leads]) gauge.reset();
    for (const { name: node, ...of } of nodes.filter(({ state }) => state === 'alive').slice(0, MAX_MEASURED)) {
      sessions.set({ node }, of.sessions);
      offset.set({ node }, of.clockOffsetMs / 1000);
      leads.set({ node }, of.leads ? 1 : 0);
    }
    const [now, away] = [this.#options.now(), this.#options.store.away()];
    const awayMs = away === undefined ? 0 : now - Math.max(away.since, this.#measuredAt);
    instruments.queuegate_store_away.set(away === undefined ? 0 : 1);
    instruments.queuegate_store_away_seconds_total.inc(Math.max(0, awayMs) / 1000);
    this.#measuredAt = now;
  }

  #look(nodes: readonly NodeRecord[]): void {
    const newest = newestParameters(nodes);
    for (const { name, state, appliedParameters } of nodes) {
      if (state !== 'alive' || appliedParameters >= newest) this.#lateSince.delete(name);
      else if (!this.#lateSince.has(name)) this.#lateSince.set(name, this.#options.now());
    }
    const now = new Map(nodes.map((node) => [node.name, shownOf(node)]));
    for (const [name, shown] of now)
      if (this.#noted.get(name) !== shown) this.#options.resourceChanges.note('nodes', name);
    for (const name of this.#noted.keys()) {
      if (now.has(name)) continue;
      this.#lateSince.delete(name);
      this.#options.resourceChanges.note('nodes', name, { isDeleted: true });
    }
    this.#noted = now;
  }
}

function newestParameters(nodes: readonly NodeRecord[]): number {
  return Math.max(0, ...nodes.filter(({ state }) => state === 'alive').map((node) => node.appliedParameters));
}

/** What counts as a change: not the time of the last beat, nor what changes with each session. */
function shownOf({
  name,
  state,
  leads,
  version,
  address,
  startedAt,
  appliedParameters,
  drainedAt,
}: NodeRecord): string {
  return JSON.stringify({ name, state, leads, version, address, startedAt, appliedParameters, drainedAt });
}
