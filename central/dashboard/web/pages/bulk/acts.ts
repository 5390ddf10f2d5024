// Acts on several agents: a frozen list of them, in as many requests as it takes; what each of them answered.
import { problemOf, send, type Terms } from '../../client/api.ts';
import { fleet } from '../../client/fleet.ts';
import type { Agent, ProblemDocument, Report } from '../../client/types.ts';
import { T } from '../../strings.ts';

export type BulkAct = keyof typeof T.bulk.acts;

export interface BulkOrder {
  readonly act: BulkAct;
  readonly agents: readonly Pick<Agent, 'id' | 'name'>[];
  /** Of "labels": merged into those of each agent; null deletes one. */
  readonly labels?: Readonly<Record<string, string | null>>;
  /** Of "drain". */
  readonly withinSeconds?: number;
  /** Of "message": a CloudEvent; its id lets an agent that has it already take it once. */
  readonly message?: Readonly<Record<string, unknown>>;
}

export interface BulkOutcome {
  readonly id: string;
  readonly name: string;
  /** Null: done. */
  readonly problem: Pick<ProblemDocument, 'code' | 'detail' | 'hint'> | null;
}

export interface BulkReport {
  readonly cutCount: number;
  readonly cut: Report['cutOff']['items'];
  readonly notices: Report['notices'];
  /** How many agents would change. */
  readonly changedCount: number;
}

interface Answer {
  readonly items?: readonly {
    readonly agent: { readonly id: string; readonly name: string };
    readonly outcome: 'accepted' | 'refused';
    readonly problem: ProblemDocument | null;
  }[];
}

/** Selectors that one request takes; those of a message are in its address, which is shorter. */
const MOST = 1_000;
const MOST_IN_ADDRESS = 100;

function batches(order: BulkOrder): BulkOrder[] {
  const size = order.act === 'message' ? MOST_IN_ADDRESS : MOST;
  const { agents } = order;
  return Array.from({ length: Math.ceil(agents.length / size) }, (_, i) => ({
    ...order,
    agents: agents.slice(i * size, (i + 1) * size),
  }));
}

async function request<R>({ act, agents, labels, withinSeconds, message }: BulkOrder, terms: Terms): Promise<R> {
  const ids = agents.map(({ id }) => id);
  if (act === 'message')
    return (await send<R>('POST', '/commands', { body: message, query: { ...terms, agents: ids } })).data;
  if (act === 'drain')
    return (await send<R>('POST', '/drains', { body: { agents: ids, withinSeconds }, query: terms })).data;
  const body = { verb: act, agents: ids, ...(act === 'labels' ? { labels } : {}) };
  return (await send<R>('POST', '/agent-actions', { body, query: terms })).data;
}

/** What would happen; a message cuts no agent off. Errors: Refused. */
export async function preflight(order: BulkOrder): Promise<BulkReport> {
  const report = {
    cutCount: 0,
    cut: [] as BulkReport['cut'][number][],
    notices: [] as BulkReport['notices'][number][],
  };
  let changedCount = 0;
  if (order.act !== 'message')
    for (const batch of batches(order)) {
      const { cutOff, notices, changed } = await request<Report>(batch, { dryRun: true });
      report.cutCount += cutOff.count;
      report.cut.push(...cutOff.items);
      report.notices.push(...notices.filter(({ code }) => !report.notices.some((one) => one.code === code)));
      changedCount += changed.length;
    }
  return { ...report, changedCount };
}

/** What decides whether a report still says what was shown. */
export function essence({ cut, notices, changedCount }: BulkReport): string {
  return JSON.stringify([cut.map(({ agent }) => agent.id).toSorted(), notices.map(({ code }) => code), changedCount]);
}

/** One outcome for each agent, in their order; a request that failed is the outcome of all agents that it named. */
export async function carryOut(
  order: BulkOrder,
  terms: Terms,
  report: (count: number) => void,
): Promise<readonly BulkOutcome[]> {
  const { agents: known } = fleet.get();
  // One that was deleted since would fail the request for all.
  const there = order.agents.filter(({ id }) => known.has(id));
  const outcomes = new Map<string, BulkOutcome['problem']>();
  for (const batch of batches({ ...order, agents: there })) {
    try {
      const { items = [] } = await request<Answer>(batch, terms);
      for (const { id } of batch.agents) outcomes.set(id, null);
      for (const { agent, problem } of items) outcomes.set(agent.id, problem);
    } catch (error) {
      for (const { id } of batch.agents) outcomes.set(id, problemOf(error));
    }
    report(outcomes.size);
  }
  return order.agents.map(({ id, name }) => ({
    id,
    name,
    problem: outcomes.has(id) ? (outcomes.get(id) ?? null) : GONE,
  }));
}

const GONE = { code: 'agent_unknown', detail: T.bulk.gone, hint: T.bulk.goneHint };
