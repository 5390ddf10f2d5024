import { expect, test } from 'vitest';
import { createMetrics } from '../../../central/metrics.ts';
import { NodeReport } from '../../../central/nodes/node-report.ts';
import type { NodeRecord, StoreAway } from '../../../central/store/nodes/node-store.ts';
import { ResourceChanges, WATCHED } from '../../../central/watching/resource-changes.ts';
import { nodeRecord } from '../forwarding/two-nodes.ts';

function open() {
  const state = { at: 60_000, away: undefined as StoreAway | undefined, nodes: [] as readonly NodeRecord[] };
  let heard: (nodes: readonly NodeRecord[]) => void = () => undefined;
  const resourceChanges = new ResourceChanges();
  const report = new NodeReport({
    nodes: {
      list: () => state.nodes,
      onHeard(listener) {
        heard = listener;
        listener(state.nodes);
      },
    },
    store: { away: () => state.away },
    resourceChanges,
    now: () => state.at,
  });
  let position = resourceChanges.newest();
  return {
    state,
    report,
    hear: (...nodes: readonly NodeRecord[]): void => {
      state.nodes = nodes;
      heard(nodes);
    },
    /** Since the last call. */
    noted: (): readonly string[] => {
      const { changes = [], next = position } = resourceChanges.read(position, new Set(WATCHED), 100) ?? {};
      position = next;
      return changes.map(({ collection, id, isDeleted }) => `${collection} ${id}${isDeleted ? ' deleted' : ''}`);
    },
  };
}

test('a node that is new, changed or gone is noted; beats and sessions do not count', () => {
  const { hear, noted } = open();
  hear(nodeRecord({ name: 'a' }), nodeRecord({ name: 'b' }));
  expect(noted()).toEqual(['nodes a', 'nodes b']);
  hear(nodeRecord({ name: 'a', lastSeenAt: 5, sessions: 9, clockOffsetMs: 3 }), nodeRecord({ name: 'b' }));
  expect(noted()).toEqual([]);
  hear(nodeRecord({ name: 'a', leads: true }), nodeRecord({ name: 'b', drainedAt: 7 }));
  expect(noted()).toEqual(['nodes a', 'nodes b']);
  hear(nodeRecord({ name: 'a', leads: true }));
  expect(noted()).toEqual(['nodes b deleted']);
});

test('a dead node is a problem, and so is one that still applies older parameters after ten seconds', () => {
  const { state, report, hear } = open();
  const codes = () => report.problems().map(({ code, startedAt }) => [code, startedAt]);
  const late = nodeRecord({ name: 'b', appliedParameters: 1 });
  hear(nodeRecord({ name: 'a', appliedParameters: 2 }), late, nodeRecord({ name: 'c', state: 'dead', lastSeenAt: 9 }));
  expect(codes()).toEqual([['node_dead', 9]]);
  state.at = 70_000;
  hear(nodeRecord({ name: 'a', appliedParameters: 2 }), late);
  expect(codes()).toEqual([['node_parameters_late', 60_000]]);
  hear(nodeRecord({ name: 'a', appliedParameters: 2 }), nodeRecord({ name: 'b', appliedParameters: 2 }));
  expect(codes()).toEqual([]);
  // What a node that has stopped applied last says nothing.
  hear(nodeRecord({ name: 'a', appliedParameters: 2 }), { ...late, state: 'stopped' });
  state.at = 90_000;
  expect(codes()).toEqual([]);
});

test('the metrics have nodes by state, those that are alive with their figures, and the time without PostgreSQL', async () => {
  const { state, report, hear } = open();
  const metrics = createMetrics();
  hear(
    nodeRecord({ name: 'a', leads: true, sessions: 4, clockOffsetMs: -1_500 }),
    nodeRecord({ name: 'c', state: 'dead' }),
  );
  state.away = { since: 50_000, reason: 'refused' };
  state.at = 62_000;
  report.measure(metrics);
  state.at = 65_000;
  report.measure(metrics);
  state.away = undefined;
  state.at = 80_000;
  report.measure(metrics);
  const text = await metrics.registry.metrics();
  for (const line of [
    'queuegate_nodes{state="alive"} 1',
    'queuegate_nodes{state="dead"} 1',
    'queuegate_node_sessions{node="a"} 4',
    'queuegate_node_clock_offset_seconds{node="a"} -1.5',
    'queuegate_node_leads{node="a"} 1',
    // Of the time since this process looks.
    'queuegate_store_away_seconds_total 5',
  ])
    expect(text).toContain(`${line}\n`);
  expect(text).not.toContain('node="c"');
});
