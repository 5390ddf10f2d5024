// The drains of all nodes, at each of them: the node where one was begun runs it, tells the others what became of it, and
// hears from them that it is canceled.
import type { NodeRecord, SharedChange } from '../../store/nodes/node-store.ts';
import type { NoteQueue } from '../../store/nodes/note-queue.ts';
import type { Drain } from './drain.ts';

/** Counts change all the time. */
const TELL_MS = 1_000;
const MAX_KEPT = 100;
const CANCEL_WAIT_MS = 5_000;

type Told =
  | { readonly kind: 'shown'; readonly node: string; readonly generation: number; readonly drain: Drain }
  | { readonly kind: 'canceled' }
  /** A node that started, or missed something. */
  | { readonly kind: 'asked' };

type Shown = Extract<Told, { readonly kind: 'shown' }>;

/** The drains of this node. */
interface OwnDrains {
  /** Another node has recorded who canceled it. */
  onCanceled(id: string): void;
  own(): readonly Drain[];
}

interface DrainsElsewhereNeeds {
  readonly notes: Pick<NoteQueue, 'add' | 'isOpen'>;
  readonly nodes: { readonly self: string; list(): readonly NodeRecord[] };
  readonly now: () => number;
  /** Runs once after so many milliseconds; the answer cancels it. */
  readonly after: (ms: number, run: () => void) => () => void;
}

export class DrainsElsewhere {
  readonly #needs: DrainsElsewhereNeeds;
  /** Of other nodes, oldest first. */
  readonly #shown = new Map<string, Shown>();
  /** Of this node: what it told last. */
  readonly #told = new Map<string, { readonly json: string; readonly state: string; readonly at: number }>();
  readonly #waiting = new Map<string, Set<() => void>>();

  constructor(needs: DrainsElsewhereNeeds) {
    this.#needs = needs;
  }

  /** From now on those of other nodes are known. */
  start(): void {
    this.#tell('', { kind: 'asked' });
  }

  list(): Drain[] {
    return Array.from(this.#shown.values(), (shown) => this.#present(shown));
  }

  get(id: string): Drain | undefined {
    const shown = this.#shown.get(id);
    return shown === undefined ? undefined : this.#present(shown);
  }

  /** What others show of a drain of this node. `isFinal`: it changes no more. */
  show(drain: Drain, isFinal: boolean): void {
    const { notes, now } = this.#needs;
    if (!notes.isOpen) return;
    const [json, before] = [JSON.stringify(drain), this.#told.get(drain.id)];
    if (before?.json !== json) {
      if (!isFinal && before?.state === drain.state && now() - before.at < TELL_MS) return;
      this.#told.set(drain.id, { json, state: drain.state, at: now() });
      this.#tellOf(drain);
    }
    if (isFinal) this.#told.delete(drain.id);
  }

  /** Of a drain of another node; resolves when that node has canceled it, or soon. */
  async cancel(id: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = this.#waiting.get(id) ?? new Set();
    this.#waiting.set(id, waiting.add(resolve));
    const stop = this.#needs.after(CANCEL_WAIT_MS, resolve);
    this.#tell(id, { kind: 'canceled' });
    await promise;
    stop();
    waiting.delete(resolve);
    if (waiting.size === 0) this.#waiting.delete(id);
  }

  /** Other nodes told something of drains; no changes: some were missed. */
  async follow(changes: readonly SharedChange[], drains: OwnDrains): Promise<void> {
    if (changes.length === 0) {
      this.start();
      for (const drain of drains.own()) this.#tellOf(drain);
    }
    for (const { id, body } of changes) {
      if (body === undefined) continue;
      // Written by `#tell` of another node.
      const told = JSON.parse(body) as Told;
      if (told.kind === 'shown') this.#hear(told);
      else if (told.kind === 'canceled') drains.onCanceled(id);
      else for (const drain of drains.own()) this.#tellOf(drain);
    }
  }

  #hear(shown: Shown): void {
    const { drain } = shown;
    this.#shown.set(drain.id, shown);
    for (const oldest of this.#shown.keys()) {
      if (this.#shown.size <= MAX_KEPT) break;
      this.#shown.delete(oldest);
    }
    if (drain.state !== 'draining') for (const resolve of this.#waiting.get(drain.id) ?? []) resolve();
  }

  #tellOf(drain: Drain): void {
    const { self, list } = { self: this.#needs.nodes.self, list: this.#needs.nodes.list() };
    const generation = list.find(({ name }) => name === self)?.generation ?? 0;
    this.#tell(drain.id, { kind: 'shown', node: self, generation, drain });
  }

  #tell(id: string, told: Told): void {
    this.#needs.notes.add('drains', id, told);
  }

  /** A drain ends with the process that runs it. */
  #present({ node, generation, drain }: Shown): Drain {
    if (drain.state !== 'draining') return drain;
    const owner = this.#needs.nodes.list().find(({ name }) => name === node);
    return owner?.state === 'alive' && owner.generation === generation ? drain : { ...drain, state: 'canceled' };
  }
}
