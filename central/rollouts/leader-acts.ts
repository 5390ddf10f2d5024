// Acts on rollouts, requested at any node and carried out by the one that leads. Where that is another node, it hears of
// the act through the store, and answers in the same way. Nothing is sent twice: an act without an answer may have been
// carried out, and the answer says so.
import { randomUUID } from 'node:crypto';
import { CodedError, DetailedError, isCoded, textOf, type ProblemDetails } from '../../shared/errors.ts';
import type { AuditEntry } from '../store/audit-store.ts';
import type { NodeNote, NodeRecord, SharedChange } from '../store/nodes/node-store.ts';
import {
  ROLLOUT_AGENT_STATES,
  type NewRollout,
  type NewRolloutAgent,
  type RolloutAgentState,
  type RolloutCounts,
  type RolloutRecord,
  type RolloutStore,
} from '../store/rollouts/rollout-store.ts';
import type { RolloutEngine } from './engine.ts';
import { rolloutFault } from './errors.ts';
import type { Model, RolloutAct } from './machine.ts';

/** By then a node that is silent has lost the lead; none begins an act that is older. */
const ACT_MS = 8_000;
/** What was begun in time is answered by then. */
const ANSWER_MS = 12_000;
/** Acts of this node that wait for their answer. */
const MAX_ASKED = 100;
/** The id of the notes: that of no agent. */
const NOTE_ID = 'acts';

export interface RolloutView {
  readonly rollout: RolloutRecord;
  readonly counts: RolloutCounts;
}

/** `audit` is null in a dry run. */
export type RequestedAct = { readonly audit: AuditEntry | null } & (
  | { readonly kind: 'begin'; readonly rollout: NewRollout; readonly agents: readonly NewRolloutAgent[] }
  | { readonly kind: 'act'; readonly number: number; readonly wanted: RolloutAct | 'rollback' }
);

type ErrorText = Pick<CodedError, 'code' | 'hint' | 'message' | 'parameters' | 'retryable' | 'status'> & ProblemDetails;

/** What nodes tell each other. `until`: by the clock of the database. */
type Told =
  | {
      readonly kind: 'asked';
      readonly id: string;
      readonly by: string;
      readonly of: string;
      readonly until: number;
      readonly act: RequestedAct;
    }
  | { readonly kind: 'answered'; readonly id: string; readonly view: RolloutView }
  | { readonly kind: 'refused'; readonly id: string; readonly error: ErrorText }
  | { readonly kind: 'failed'; readonly id: string; readonly found: string };

interface LeaderActsNeeds {
  readonly engine: Pick<RolloutEngine, 'act' | 'begin' | 'modelOf' | 'previewAct' | 'previewBegin'>;
  readonly store: Pick<RolloutStore, 'counts'>;
  /** Undefined: this process has the store for itself. */
  readonly tell: ((notes: readonly NodeNote[]) => Promise<void>) | undefined;
  readonly nodes: { readonly self: string; leads(): boolean; list(): readonly NodeRecord[] };
  readonly log: { warn(facts: object, text: string): void };
  readonly now: () => number;
  /** Runs once after so many milliseconds; the answer cancels it. */
  readonly after: (ms: number, run: () => void) => () => void;
}

export class LeaderActs {
  readonly #needs: LeaderActsNeeds;
  readonly #asked = new Map<string, (answer: Exclude<Told, { readonly kind: 'asked' }>) => void>();

  constructor(needs: LeaderActsNeeds) {
    this.#needs = needs;
  }

  /** Errors: those of the engine, rollout_leader_silent. */
  async perform(act: RequestedAct): Promise<RolloutView> {
    const { tell, nodes } = this.#needs;
    return tell === undefined || nodes.leads() ? await this.#run(act) : await this.#ask(act, tell);
  }

  /** What other nodes told: an act for this node, or an answer. */
  follow(changes: readonly SharedChange[]): void {
    for (const { subject, id, body } of changes) {
      if (subject !== 'rollout-notes' || id !== NOTE_ID || body === undefined) continue;
      // Written by `#say` of another node.
      const told = JSON.parse(body) as Told;
      if (told.kind !== 'asked') this.#asked.get(told.id)?.(told);
      else if (told.of === this.#needs.nodes.self && this.#databaseTime() < told.until) void this.#carryOut(told);
    }
  }

  async viewOf(rollout: RolloutRecord): Promise<RolloutView> {
    const model = this.#needs.engine.modelOf(rollout.number);
    if (model !== undefined) return viewOf({ ...model, rollout });
    return { rollout, counts: await this.#needs.store.counts(rollout.number) };
  }

  async #run({ audit, ...act }: RequestedAct): Promise<RolloutView> {
    const { engine } = this.#needs;
    if (act.kind === 'begin')
      return audit === null
        ? viewOf(await engine.previewBegin(act.rollout, act.agents))
        : await this.viewOf(await engine.begin(act.rollout, act.agents, audit));
    return audit === null
      ? viewOf(await engine.previewAct(act.number, act.wanted))
      : await this.viewOf(await engine.act(act.number, act.wanted, audit));
  }

  async #ask(act: RequestedAct, tell: (notes: readonly NodeNote[]) => Promise<void>): Promise<RolloutView> {
    const { nodes, after } = this.#needs;
    const leader = nodes.list().find(({ leads }) => leads)?.name;
    if (leader === undefined || leader === nodes.self || this.#asked.size >= MAX_ASKED)
      throw rolloutFault('rollout_lead_moves', {});
    const [id, until] = [randomUUID(), this.#databaseTime() + ACT_MS];
    const { promise, resolve, reject } = Promise.withResolvers<RolloutView>();
    const cancelTimer = after(ANSWER_MS, () => reject(rolloutFault('rollout_leader_silent', { leader })));
    this.#asked.set(id, (answer) => {
      if (answer.kind === 'answered') resolve(answer.view);
      else reject(answer.kind === 'refused' ? errorOf(answer.error) : new Error(answer.found));
    });
    try {
      await tell([noteOf({ kind: 'asked', id, by: nodes.self, of: leader, until, act })]);
      return await promise;
    } finally {
      cancelTimer();
      this.#asked.delete(id);
    }
  }

  async #carryOut({ id, act }: Extract<Told, { readonly kind: 'asked' }>): Promise<void> {
    const { tell, log } = this.#needs;
    const answer = await this.#run(act).then(
      (view): Told => ({ kind: 'answered', id, view }),
      (error: unknown): Told =>
        isCoded(error) ? { kind: 'refused', id, error: textsOf(error) } : { kind: 'failed', id, found: textOf(error) },
    );
    // Without it the other node says that it does not know.
    await tell?.([noteOf(answer)]).catch((error: unknown) =>
      log.warn({ error: textOf(error) }, 'the answer to an act on a rollout did not reach the other node'),
    );
  }

  #databaseTime(): number {
    const { nodes, now } = this.#needs;
    return now() - (nodes.list().find(({ name }) => name === nodes.self)?.clockOffsetMs ?? 0);
  }
}

function noteOf(told: Told): NodeNote {
  return { subject: 'rollout-notes', id: NOTE_ID, body: JSON.stringify(told) };
}

function textsOf({ code, message, hint, status, retryable, parameters, problem }: CodedError): ErrorText {
  return { code, message, hint, status, retryable, parameters, ...problem };
}

function errorOf({ code, message, hint, status, retryable, parameters, ...problem }: ErrorText): CodedError {
  const error = new CodedError(code, { text: message, hint, status, retryable }, {});
  return new DetailedError(Object.assign(error, { parameters }), problem);
}

export function viewOf({ rollout, members }: Model): RolloutView {
  const byState = Object.fromEntries(ROLLOUT_AGENT_STATES.map((state) => [state, 0])) as Record<
    RolloutAgentState,
    number
  >;
  let eligible = 0;
  for (const { record } of members.values()) {
    byState[record.state] += 1;
    if (record.isEligible) eligible += 1;
  }
  return { rollout, counts: { total: members.size, eligible, byState } };
}
