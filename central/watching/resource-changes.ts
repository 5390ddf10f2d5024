// Which resources changed, in order, so that clients that watch them read no list again (GET /watch). A position is
// bound to the run of Central that gave it: a client that comes back with another one, or too late, has to list again.
import { randomBytes } from 'node:crypto';
import type { Labels } from '../store/agents/labels.ts';

export const WATCHED = ['agents', 'changes', 'nodes', 'parameters', 'rollouts', 'tasks'] as const;
export type WatchedCollection = (typeof WATCHED)[number];

export interface ResourceChange {
  readonly collection: WatchedCollection;
  readonly id: string;
  readonly isDeleted: boolean;
  /**
   * Of an agent: the labels that it had and that these changes took from it. Who watches the agents with some labels
   * may have seen it.
   */
  readonly labelsBefore: readonly Labels[];
}

interface ChangedResources {
  /** Each resource once, in the order of their last changes here. */
  readonly changes: readonly ResourceChange[];
  /** The position behind them. */
  readonly next: string;
}

/** Ten thousand agents that go and come back. */
const MAX_KEPT = 20_000;
/** Labels that agents had before: five of each of twenty thousand. */
const MAX_KEPT_LABELS = 100_000;
/** Changes within this time reach the clients together. */
const GATHER_MS = 250;

interface NotedChange {
  readonly isDeleted?: boolean;
  /** Where the change took them from it. */
  readonly labelsBefore?: Labels;
}

interface ResourceChangesOptions {
  readonly kept?: number;
  readonly gatherMs?: number;
}

export class ResourceChanges {
  /** A position of another run means nothing here: what changed in between was not seen. */
  readonly #run = randomBytes(6).toString('hex');
  readonly #kept: number;
  readonly #gatherMs: number;
  /** The last ones, between `#kept` and twice as many. */
  readonly #log: ResourceChange[] = [];
  /** Of all `labelsBefore` in the log. */
  #labels = 0;
  /** How many were dropped before those of the log. */
  #dropped = 0;
  readonly #waiting = new Set<() => void>();
  #isGathering = false;

  constructor({ kept = MAX_KEPT, gatherMs = GATHER_MS }: ResourceChangesOptions = {}) {
    this.#kept = kept;
    this.#gatherMs = gatherMs;
  }

  /** A resource is another one than before; what it is now can be read already. `labelsBefore`: of an agent. */
  note(collection: WatchedCollection, id: string, { isDeleted = false, labelsBefore }: NotedChange = {}): void {
    this.#log.push({ collection, id, isDeleted, labelsBefore: labelsBefore === undefined ? [] : [labelsBefore] });
    this.#labels += Object.keys(labelsBefore ?? {}).length;
    this.#drop();
    if (this.#waiting.size === 0 || this.#isGathering) return;
    this.#isGathering = true;
    setTimeout(() => this.#wake(), this.#gatherMs).unref();
  }

  /** The position behind all changes so far. */
  newest(): string {
    return `${this.#run}-${this.#dropped + this.#log.length}`;
  }

  /** At most `limit` changes behind a position; undefined: what changed since then is not known any more. */
  read(after: string, collections: ReadonlySet<WatchedCollection>, limit: number): ChangedResources | undefined {
    const from = this.#indexBehind(after);
    if (from === undefined) return undefined;
    const found = new Map<string, ResourceChange & { readonly labelsBefore: Labels[] }>();
    let at = from;
    for (; at < this.#log.length && found.size < limit; at += 1) {
      const change = this.#log[at] as ResourceChange;
      if (!collections.has(change.collection)) continue;
      const key = `${change.collection} ${change.id}`;
      const labelsBefore = found.get(key)?.labelsBefore ?? [];
      labelsBefore.push(...change.labelsBefore);
      found.delete(key);
      found.set(key, { ...change, labelsBefore });
    }
    return { changes: [...found.values()], next: `${this.#run}-${this.#dropped + at}` };
  }

  /** Resolves when something changed behind the position, and when the signal is aborted; never rejects. */
  wait(after: string, signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      if (signal.aborted || after !== this.newest()) return resolve();
      const wake = (): void => {
        this.#waiting.delete(wake);
        signal.removeEventListener('abort', wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener('abort', wake);
    });
  }

  #drop(): void {
    if (this.#log.length < 2 * this.#kept && this.#labels < MAX_KEPT_LABELS) return;
    const count = Math.max(this.#log.length - this.#kept, Math.ceil(this.#log.length / 2));
    for (const { labelsBefore } of this.#log.splice(0, count))
      for (const labels of labelsBefore) this.#labels -= Object.keys(labels).length;
    this.#dropped += count;
  }

  #wake(): void {
    this.#isGathering = false;
    for (const wake of this.#waiting) wake();
  }

  #indexBehind(position: string): number | undefined {
    const [run, number] = position.split('-');
    const index = Number(number) - this.#dropped;
    return run === this.#run && index >= 0 && index <= this.#log.length ? index : undefined;
  }
}
