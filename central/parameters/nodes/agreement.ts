// Agrees on a change of parameters with the other nodes. One node at a time has the turn. It asks the others, each of which
// says whether it can apply the change and holds the ports for it; then it commits, which all follow, and waits until they
// have applied it. A node that is given up as dead is not waited for: it may not write, and reads all again when it starts.
import { randomBytes } from 'node:crypto';
import { textOf } from '../../../shared/errors.ts';
import { Mutex } from '../../../shared/mutex.ts';
import { NODE_DEAD_MS, type NodeRecord, type NodeStore, type SharedChange } from '../../store/nodes/node-store.ts';
import { parameterFault, type ParameterFault } from '../errors.ts';
import type { NodeAnswer, NodeKey, ParameterNote, Proposal } from './notes.ts';

/** A node that is frozen or gone is given up as dead by then. */
export const ANSWER_MS = NODE_DEAD_MS + 4_000;
/** As long as the change of another node may take that meets one that is frozen, and a little more. */
const TURN_MS = 2 * ANSWER_MS;
const TURN_LOOK_MS = 100;
/** How often a node looks at what has become of the others, also while nothing is heard. */
const LOOK_MS = 250;
/** How soon it is tried again to give the turn back to a store that is away. */
const RETURN_MS = 1_000;
/** Looked at more often for so long after each step. */
const HURRY_MS = 2_000;
/** The node that asked has committed by then, or given up. */
const KEPT_MS = 2 * ANSWER_MS;

/** What a node does that is asked. */
export interface Participant {
  /** What is in the way there; without faults, and unless it is a dry run, what it needs is held. */
  prepare(proposal: Proposal): Promise<readonly ParameterFault[]>;
  /** Nothing is held any more. */
  release(): void;
  /** Reads what became of a change that failed: a store that was away may have carried it out later. Must not throw. */
  look(): Promise<void>;
}

interface AgreementOptions {
  /** Undefined: this process has the store for itself, and agrees with itself. */
  readonly store: Pick<NodeStore, 'hold' | 'release' | 'self' | 'tell'> | undefined;
  readonly nodes: {
    list(): readonly NodeRecord[];
    hurry(ms: number): void;
    onHeard(listener: (nodes: readonly NodeRecord[]) => void): void;
    onParameterNotes(listener: (notes: readonly SharedChange[]) => void): void;
  };
  readonly log: { warn(facts: object, text: string): void };
  /** Milliseconds that only grow. */
  readonly clock: () => number;
  /** Runs once after so many milliseconds; the answer cancels it. */
  readonly after: (ms: number, run: () => void) => () => void;
}

/** A question to the others, and what they have answered. */
interface Question {
  readonly id: string;
  readonly answers: Map<string, readonly ParameterFault[]>;
}

/** Those that hold something for a change. */
export interface Agreed {
  readonly id: string;
  readonly answers: readonly NodeAnswer[];
  readonly asked: ReadonlySet<string>;
}

export class Agreement {
  readonly #options: AgreementOptions;
  readonly #turn = new Mutex();
  #question: Question | undefined;
  /** By node: what it could not apply. */
  readonly #failed = new Map<string, { readonly version: number; readonly found: string }>();
  #participant: Participant | undefined;
  /** What this node holds for a change of another one. */
  #kept: { readonly id: string; readonly by: NodeKey; readonly until: number } | undefined;
  #wake: () => void = () => undefined;
  #isStopped = false;
  /** All nodes when this one got the turn: one that has just started is not heard of yet. */
  #known: readonly NodeRecord[] = [];

  constructor(options: AgreementOptions) {
    this.#options = options;
  }

  /** Other nodes may be there. */
  get isShared(): boolean {
    return this.#options.store !== undefined;
  }

  /** From now on this node answers the others. */
  serve(participant: Participant): void {
    const { store, nodes } = this.#options;
    if (store === undefined || this.#participant !== undefined) return;
    this.#participant = participant;
    nodes.onParameterNotes((notes) => {
      // Written by `#tell` of another node.
      for (const { body = 'null' } of notes) this.#hear(JSON.parse(body) as ParameterNote | null);
      this.#wake();
    });
    nodes.onHeard(() => {
      this.#dropKept();
      this.#wake();
    });
  }

  /** Runs what no other node does meanwhile. Errors: change_in_progress, those of `run`. */
  async inTurn<T>(run: () => Promise<T>): Promise<T> {
    const { store } = this.#options;
    if (store === undefined) return await run();
    return await this.#turn.runExclusive(async () => {
      await this.#takeTurn(store);
      let isDone = false;
      try {
        const result = await run();
        isDone = true;
        return result;
      } finally {
        await this.#endTurn(store, isDone);
      }
    });
  }

  /** Nothing is tried again. */
  stop(): void {
    this.#isStopped = true;
  }

  /** The store carries out in their order what it was asked: once the turn is given back, the outcome can be read. */
  async #endTurn(store: Pick<NodeStore, 'release'>, isDone: boolean): Promise<void> {
    const { log, after } = this.#options;
    try {
      await store.release('parameters');
      // Not waited for: the error is answered first.
      if (!isDone) void this.#participant?.look();
    } catch (error) {
      if (this.#isStopped) return;
      log.warn({ error: textOf(error) }, 'the turn to change parameters could not be given back; trying again');
      after(RETURN_MS, () => void this.#turn.runExclusive(async () => await this.#endTurn(store, false)));
    }
  }

  /** What each other node says to the change; those that are ready keep what they need until it is over. */
  async ask(change: Omit<Proposal, 'id'>): Promise<Agreed> {
    const { clock, nodes } = this.#options;
    const question: Question = { id: randomBytes(8).toString('hex'), answers: new Map() };
    const proposal = { ...change, id: question.id };
    const asked = new Set<string>();
    this.#question = question;
    this.#failed.clear();
    const deadline = clock() + ANSWER_MS;
    const isRefused = (): boolean =>
      !change.isDryRun && [...question.answers.values()].some(({ length }) => length > 0);
    for (;;) {
      const others = this.#others();
      // Also those that have come meanwhile.
      if (others.some((node) => !asked.has(keyOf(node)))) {
        await this.#tell({ kind: 'ask', proposal });
        for (const node of others) asked.add(keyOf(node));
        nodes.hurry(HURRY_MS);
      }
      const isAnswered = this.#others().every((node) => question.answers.has(keyOf(node)));
      if (isAnswered || isRefused() || clock() >= deadline) break;
      await this.#heard();
    }
    this.#question = undefined;
    return { id: question.id, asked, answers: this.#others().map((node) => answerOf(node, question.answers)) };
  }

  /** Nothing is to be kept for it any more. */
  async forget({ id, asked }: Agreed): Promise<void> {
    const { log } = this.#options;
    if (asked.size === 0) return;
    await this.#tell({ kind: 'forget', id }).catch((error: unknown) =>
      log.warn({ error: textOf(error) }, 'other nodes could not be notified that a change is not made'),
    );
  }

  /**
   * Waits until the others apply this version: those that were asked, or all that apply one. Answers which cannot; one
   * that is late goes on by itself.
   */
  async applied(version: number, asked?: Agreed['asked']): Promise<NodeAnswer[]> {
    const { clock, nodes } = this.#options;
    const deadline = clock() + ANSWER_MS;
    const isAsked = (node: NodeRecord): boolean => asked?.has(keyOf(node)) ?? node.appliedParameters > 0;
    for (;;) {
      const [late, failed]: [NodeRecord[], NodeAnswer[]] = [[], []];
      for (const node of this.#others()) {
        const found = this.#failed.get(keyOf(node));
        if (found?.version === version) failed.push({ name: node.name, answer: 'refused', detail: found.found });
        else if (isAsked(node) && node.appliedParameters < version) late.push(node);
      }
      if (failed.length > 0 || late.length === 0 || clock() >= deadline) return failed;
      nodes.hurry(HURRY_MS);
      await this.#heard();
    }
  }

  /** What another node committed could not be applied here. */
  async failed(version: number, found: string): Promise<void> {
    const { store, log } = this.#options;
    if (store === undefined) return;
    // The node that made the change goes on without it, and the status shows it here.
    await this.#tell({ kind: 'failed', version, found }).catch((error: unknown) =>
      log.warn({ error: textOf(error) }, 'other nodes could not be notified that a change could not be applied'),
    );
  }

  /** Another version applies here, or is about to: nothing is kept for it. */
  settled(): void {
    this.#kept = undefined;
    this.#options.nodes.hurry(0);
  }

  async #takeTurn(store: Pick<NodeStore, 'hold'>): Promise<void> {
    const { clock } = this.#options;
    for (const deadline = clock() + TURN_MS; ;) {
      const { holder, nodes } = await store.hold('parameters');
      this.#known = nodes;
      if (holder === null) return;
      if (clock() >= deadline) throw parameterFault('change_in_progress', { node: holder });
      await this.#pause(TURN_LOOK_MS);
    }
  }

  #hear(note: ParameterNote | null): void {
    switch (note?.kind) {
      case 'ask':
        return void this.#answer(note.from, note.proposal);
      case 'answer':
        if (this.#question?.id === note.id) this.#question.answers.set(keyOf(note.from), note.faults);
        return;
      case 'forget':
        if (this.#kept?.id === note.id) this.#release();
        return;
      case 'failed':
        this.#failed.set(keyOf(note.from), note);
    }
  }

  async #answer(by: NodeKey, proposal: Proposal): Promise<void> {
    const { clock, nodes, log } = this.#options;
    const { id } = proposal;
    nodes.hurry(HURRY_MS);
    // From before it is held: what becomes of the change may be heard meanwhile.
    const kept = { id, by, until: clock() + KEPT_MS };
    if (!proposal.isDryRun) this.#kept = kept;
    try {
      const faults = (await this.#participant?.prepare(proposal)) ?? [];
      if (!proposal.isDryRun && this.#kept !== kept) this.#participant?.release();
      await this.#tell({ kind: 'answer', id, faults });
    } catch (error) {
      if (this.#kept === kept) this.#release();
      log.warn({ error: textOf(error) }, 'the answer to the change of another node could not be given');
    }
  }

  /** The node that asked is gone, or late: it commits nothing any more, or this node reads it like any other change. */
  #dropKept(): void {
    const { clock, nodes } = this.#options;
    if (this.#kept === undefined) return;
    const { by, until } = this.#kept;
    const isThere = nodes.list().some((node) => node.state === 'alive' && keyOf(node) === keyOf(by));
    if (!isThere || clock() >= until) this.#release();
  }

  #release(): void {
    this.#kept = undefined;
    this.#participant?.release();
  }

  #others(): NodeRecord[] {
    const { store, nodes } = this.#options;
    if (store === undefined) return [];
    const heard = nodes.list();
    const unheard = this.#known.filter(
      ({ name, generation }) => !heard.some((node) => node.name === name && node.generation >= generation),
    );
    return [...heard, ...unheard].filter(({ name, state }) => name !== store.self.name && state === 'alive');
  }

  async #tell(note: DistributiveOmit<ParameterNote, 'from'>): Promise<void> {
    const { store } = this.#options;
    const body: ParameterNote = { ...note, from: store?.self ?? { name: '', generation: 0 } };
    await store?.tell([{ subject: 'parameter-notes', id: '', body: JSON.stringify(body) }]);
  }

  /** Something was heard, or it is time to look. */
  async #heard(): Promise<void> {
    await this.#pause(LOOK_MS, true);
  }

  async #pause(ms: number, wakes = false): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#options.after(ms, resolve);
    if (wakes) this.#wake = resolve;
    await promise;
    cancel();
  }
}

type DistributiveOmit<T, K extends PropertyKey> = T extends unknown ? Omit<T, K> : never;

function keyOf({ name, generation }: NodeKey): string {
  return `${name} ${generation}`;
}

function answerOf(node: NodeRecord, answers: Question['answers']): NodeAnswer {
  const faults = answers.get(keyOf(node));
  if (faults === undefined) return { name: node.name, answer: 'silent', detail: null };
  const detail = faults.length === 0 ? null : faults.map(({ text }) => text).join(' ');
  return { name: node.name, answer: detail === null ? 'ready' : 'refused', detail };
}
