// A node on a store of several: who leads, what others changed, and what happens when the store does not answer.
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { NodeService, type Follower } from '../../../central/nodes/node-service.ts';
import {
  NODE_DEAD_MS,
  type NodeNews,
  type NodeRecord,
  type NodeStore,
} from '../../../central/store/nodes/node-store.ts';

const LOG = { info: () => undefined, warn: () => undefined, error: () => undefined };

function node(name: string, more: Partial<NodeRecord> = {}): NodeRecord {
  return {
    name,
    generation: 1,
    version: '1.0.0',
    address: null,
    startedAt: 0,
    lastSeenAt: 0,
    state: 'alive',
    leads: false,
    clockOffsetMs: 0,
    sessions: 0,
    appliedParameters: 1,
    drainedAt: null,
    ...more,
  };
}

/** A store whose answers to beats the test sets. */
function store() {
  const state = {
    nodes: [node('a'), node('b')],
    news: [] as Partial<NodeNews>[],
    isAway: false,
    after: [] as number[],
  };
  const news = (after: number): NodeNews => {
    const next = state.news.shift() ?? {};
    const empty = { databaseTime: 0, changes: [], hasGap: false, hasMore: false, next: after };
    return { ...empty, ...next, nodes: state.nodes };
  };
  const nodes: NodeStore = {
    self: { name: 'a', generation: 1 },
    async beat({ after }) {
      state.after.push(after);
      if (state.isAway) await new Promise(() => undefined);
      return news(after);
    },
    news: async () => ({ ...news(7), next: 7 }),
    onHint: () => undefined,
    tell: async () => undefined,
    sawBoot: async () => false,
    hold: async () => ({ holder: null, nodes: [] }),
    release: async () => undefined,
    drain: async () => node('a'),
    remove: async () => undefined,
  };
  return { state, nodes };
}

const agent = (id: string) => ({ subject: 'agents', id, isDeleted: false, labelsBefore: null }) as const;
const FIGURES = { sessions: () => 3, parameters: () => 5 };

function follower(): Follower & { readonly seen: string[] } {
  const seen: string[] = [];
  return {
    seen,
    apply: async (changes) => void seen.push(...changes.map(({ id }) => id)),
    applyAll: async () => void seen.push('all'),
  };
}

describe('a node', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  const open = (nodes: NodeStore | undefined) =>
    new NodeService({
      nodes,
      name: 'only',
      address: undefined,
      log: LOG,
      now: Date.now,
      clock: () => Date.now(),
    });

  it('is alone, and leads, where the store is in its data folder', async () => {
    const service = open(undefined);
    await service.start();
    const led: string[] = [];
    await service.onLead({ start: async () => void led.push('start'), stop: async () => void led.push('stop') });
    service.follow(follower(), FIGURES);
    expect(service.list()).toMatchObject([{ name: 'only', leads: true, sessions: 3, appliedParameters: 5 }]);
    expect([service.self, service.leads(), service.problems(), led]).toEqual(['only', true, [], ['start']]);
    await service.stop();
    expect(led).toEqual(['start', 'stop']);
  });

  it('gives what others changed to its follower in their order, also what was changed before it follows', async () => {
    const { state, nodes } = store();
    const service = open(nodes);
    state.news = [{}, { changes: [agent('1')], next: 8 }];
    await service.start();
    const followed = follower();
    service.follow(followed, FIGURES);
    state.news = [
      { changes: [agent('2')], next: 9, hasMore: true },
      { changes: [agent('3')], next: 10 },
    ];
    await vi.advanceTimersByTimeAsync(500);
    expect(followed.seen).toEqual(['1', '2', '3']);
    expect(state.after).toEqual([7, 8, 9]);
    state.news = [{ hasGap: true, next: 500 }];
    await vi.advanceTimersByTimeAsync(500);
    expect(followed.seen).toEqual(['1', '2', '3', 'all']);
    await service.stop();
  });

  it('reads everything again where a change could not be applied', async () => {
    const { state, nodes } = store();
    const service = open(nodes);
    await service.start();
    const followed = follower();
    service.follow({ ...followed, apply: () => Promise.reject(new Error('away')) }, FIGURES);
    state.news = [{ changes: [agent('1')], next: 8 }];
    await vi.advanceTimersByTimeAsync(500);
    expect(followed.seen).toEqual([]);
    await vi.advanceTimersByTimeAsync(500);
    expect(followed.seen).toEqual(['all']);
    await service.stop();
  });

  it('leads as long as its beats are answered, and not any longer than others wait', async () => {
    const { state, nodes } = store();
    const service = open(nodes);
    await service.start();
    const led: string[] = [];
    await service.onLead({ start: async () => void led.push('start'), stop: async () => void led.push('stop') });
    expect(service.leads()).toBe(false);
    state.nodes = [node('a', { leads: true }), node('b')];
    await vi.advanceTimersByTimeAsync(500);
    expect([service.leads(), led]).toEqual([true, ['start']]);
    state.isAway = true;
    await vi.advanceTimersByTimeAsync(NODE_DEAD_MS - 500);
    expect(service.leads()).toBe(true);
    await vi.advanceTimersByTimeAsync(1_000);
    expect([service.leads(), led]).toEqual([false, ['start', 'stop']]);
    await service.stop();
  });

  it('hears at once what nodes tell each other of a change of parameters, and looks more often meanwhile', async () => {
    const { state, nodes } = store();
    const service = open(nodes);
    const note = { ...agent(''), subject: 'parameter-notes', body: 'ask' } as const;
    state.nodes = [node('a', { clockOffsetMs: 300 })];
    state.news = [{}, { changes: [note, agent('1')], next: 8 }];
    await service.start();
    const heard: (string | undefined)[] = [];
    service.onParameterNotes((notes) => heard.push(...notes.map(({ body }) => body)));
    const followed = follower();
    service.follow(
      { ...followed, apply: async (changes) => void followed.seen.push(...changes.map(({ id }) => id)) },
      FIGURES,
    );
    expect([heard, followed.seen]).toEqual([['ask'], ['1']]);
    const beats = state.after.length;
    service.hurry(200);
    await vi.advanceTimersByTimeAsync(400);
    expect(state.after.length - beats).toBeGreaterThanOrEqual(4);
    const calm = state.after.length;
    await vi.advanceTimersByTimeAsync(1_000);
    expect(state.after.length - calm).toBe(2);
    expect(service.storeTime()).toBe(Date.now() - 300);
    await service.stop();
  });

  it('says that it is drained, once, and that its clock is wrong', async () => {
    const { state, nodes } = store();
    const service = open(nodes);
    await service.start();
    let drains = 0;
    service.onDrained(() => (drains += 1));
    state.nodes = [node('a', { drainedAt: 5, clockOffsetMs: -2_500 }), node('b', { clockOffsetMs: 9_000 })];
    await vi.advanceTimersByTimeAsync(1_000);
    expect([drains, service.isDrained()]).toEqual([1, true]);
    expect(service.problems().map(({ code, detail }) => [code, detail])).toEqual([
      ['node_drained', 'The node a is drained: it admits no agents.'],
      ['node_clock_off', 'The clock of the node a is 2.5 seconds behind that of PostgreSQL.'],
    ]);
    await service.stop();
  });
});
