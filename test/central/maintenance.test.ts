import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createMetrics } from '../../central/metrics.ts';
import { DEFINITIONS, type ParameterValues } from '../../central/parameters/definitions.ts';
import type { RetentionLimits, Store } from '../../central/store/store.ts';
import { Maintenance } from '../../central/maintenance.ts';

const DAY_MS = 86_400_000;
const SECOND_MS = 1_000;
const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** What is done, by name, with the times since the start in ms. */
function started(over: { readonly fails?: string; readonly hangs?: string; readonly isLow?: boolean } = {}) {
  const done: Record<string, number[]> = {};
  const errors: string[] = [];
  const pruned: RetentionLimits[] = [];
  const startedAt = Date.now();
  const largest: { name: string; messages: number; bytes: number; oldestAt: number | null }[] = [];
  const note = async (what: string): Promise<void> => {
    (done[what] ??= []).push(Date.now() - startedAt);
    if (what === over.hangs) await new Promise(() => undefined);
    if (what === over.fails) throw new Error(`${what} went wrong`);
  };
  const values = Object.fromEntries(
    Object.entries(DEFINITIONS).map(([name, { default: value }]) => [name, value]),
  ) as unknown as ParameterValues;
  const store = {
    outbox: {
      expire: async () => (await note('expire'), 0),
      backlog: async (limit: number) => ({
        agents: 3,
        messages: 12,
        bytes: 4_000,
        oldestAt: startedAt - 60_000,
        largest: largest.slice(0, limit),
      }),
    },
    prune: async (limits: RetentionLimits) => {
      pruned.push(limits);
      await note('prune');
    },
    stats: async () => (
      await note('measure'),
      {
        engine: 'sqlite',
        schema: 1,
        bytes: 4096,
        events: 0,
        unconvertedEvents: 0,
        deadLetters: 0,
        deadLettersDropped: 0,
        waitingCalls: 0,
        commits: 0,
      }
    ),
    agents: { countByState: async () => ({}) },
  } as unknown as Store;
  const metrics = createMetrics();
  const maintenance = new Maintenance({
    store,
    values: () => values,
    nodes: { leads: () => true },
    nodeReport: { measure: () => void note('nodes') },
    metrics,
    renewCertificate: async () => (await note('renew'), false),
    revocationLists: { refresh: () => note('lists') },
    approvals: { measure: () => note('approvals') },
    names: { measure: () => note('names') },
    quotas: { measure: () => note('quotas') },
    expiry: { measure: () => note('certificates'), warn: () => note('warn') },
    trust: { measure: () => note('trust') },
    rollouts: { measure: () => undefined },
    downloads: { measure: () => undefined },
    subscriptions: { measure: () => note('subscriptions') },
    space: { check: async () => (await note('space'), over.isLow === true) },
    backups: { pruneReplaced: () => note('replaced') },
    incidents: { flush: () => note('incidents') },
    refusals: { waiting: 0 },
    tokenRequests: { check: () => note('token requests') },
    eventConversion: { run: () => note('convert') },
    auditVerification: { run: () => note('audit') },
    log: { info() {}, error: (_facts: object, text: string) => void errors.push(text) } as never,
    aging: { now: () => Date.now(), record: () => note('clock') },
    sessions: { correctTime: () => void note('time of agents') },
    now: () => Date.now(),
  });
  maintenance.start();
  return {
    done,
    errors,
    pruned,
    maintenance,
    metrics,
    largest,
    startedAt,
    values,
    count: (what: string) => done[what]?.length ?? 0,
  };
}

describe('what Central does by the clock', () => {
  it.each([
    ['expire', 10 * SECOND_MS],
    ['prune', 10 * MINUTE_MS],
    ['renew', MINUTE_MS],
    ['clock', MINUTE_MS],
    ['time of agents', MINUTE_MS],
    ['replaced', HOUR_MS],
    ['warn', HOUR_MS],
    ['lists', MINUTE_MS],
    ['quotas', MINUTE_MS],
    ['certificates', MINUTE_MS],
    ['approvals', MINUTE_MS],
    ['names', MINUTE_MS],
    ['trust', MINUTE_MS],
    ['space', 2 * SECOND_MS],
    ['incidents', 10 * SECOND_MS],
    ['convert', SECOND_MS],
    ['measure', 5 * SECOND_MS],
    ['nodes', SECOND_MS],
  ])('%s comes again every %d ms, until it is stopped', async (what, everyMs) => {
    const { count, maintenance } = started();
    await vi.advanceTimersByTimeAsync(0);
    const before = count(what);
    await vi.advanceTimersByTimeAsync(3 * everyMs);
    expect(count(what) - before).toBe(3);
    maintenance.stop();
    await vi.advanceTimersByTimeAsync(3 * everyMs);
    expect(count(what) - before).toBe(3);
  });

  it('measures nodes, and whether the store is away, also while the store has no answer', async () => {
    const { count } = started({ hangs: 'measure' });
    await vi.advanceTimersByTimeAsync(30 * SECOND_MS);
    expect([count('measure'), count('nodes')]).toEqual([1, 30]);
  });

  it('looks once at the start at what would otherwise be seen only after an hour', async () => {
    const { done } = started();
    await vi.advanceTimersByTimeAsync(0);
    expect(Object.keys(done).toSorted()).toEqual(['certificates', 'lists', 'space', 'trust', 'warn']);
  });

  it('deletes what is older than the parameters say, and keeps the rest', async () => {
    const { pruned, values } = started();
    await vi.advanceTimersByTimeAsync(10 * MINUTE_MS);
    const [limits] = pruned;
    const age = (olderThan: number | undefined): number => ((limits?.now ?? 0) - (olderThan ?? 0)) / DAY_MS;
    expect(age(limits?.eventsOlderThan)).toBe(values['events.retentionDays']);
    expect(age(limits?.deadLettersOlderThan)).toBe(values['deadLetters.retentionDays']);
    expect(age(limits?.deduplicationOlderThan)).toBe(values['messages.deduplicationDays']);
    expect(age(limits?.incidentsOlderThan)).toBe(365);
  });

  it('measures the store and what waits for agents; of agents, ten have a row, and those of before have none', async () => {
    const { metrics, largest, startedAt } = started();
    const agents = (from: number) =>
      Array.from({ length: 30 }, (_, i) => ({
        name: `branch-${from + i}`,
        messages: 50 - i,
        bytes: 1,
        oldestAt: startedAt - 30_000,
      }));
    largest.push(...agents(0));
    await vi.advanceTimersByTimeAsync(5 * SECOND_MS);
    const lines = async () => (await metrics.registry.metrics()).split('\n').filter((line) => !line.startsWith('#'));
    expect(await lines()).toEqual(
      expect.arrayContaining([
        'queuegate_store_bytes 4096',
        'queuegate_outbox_messages 12',
        'queuegate_outbox_bytes 4000',
        'queuegate_outbox_agents 3',
        'queuegate_outbox_age_seconds 65',
        'queuegate_agent_outbox_messages{agent="branch-0"} 50',
        'queuegate_agent_outbox_age_seconds{agent="branch-9"} 35',
      ]),
    );
    largest.splice(0, 30, ...agents(100));
    await vi.advanceTimersByTimeAsync(5 * SECOND_MS);
    const rows = (await lines()).filter((line) => line.startsWith('queuegate_agent_outbox_messages{'));
    expect(rows).toHaveLength(10);
    expect(rows.every((row) => row.includes('branch-1'))).toBe(true);
  });

  it('prunes early when the space says so', async () => {
    const { count } = started({ isLow: true });
    await vi.advanceTimersByTimeAsync(0);
    expect(count('prune')).toBe(1);
  });

  it('reports what fails and tries it again; nothing else stops with it', async () => {
    const { errors, count } = started({ fails: 'expire' });
    await vi.advanceTimersByTimeAsync(30 * SECOND_MS);
    expect(errors).toEqual(Array.from({ length: 3 }, () => 'expiring commands failed'));
    expect(count('measure')).toBe(6);
  });
});
