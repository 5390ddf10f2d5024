// Two nodes: one asks for what agents of the other measured, and for a measurement.
import { setImmediate as turn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import { rolloutFault } from '../../../../central/rollouts/errors.ts';
import { Measurements } from '../../../../central/rollouts/nodes/measurements.ts';
import type { DriftByPart } from '../../../../central/rollouts/reported-releases.ts';
import type { AgentRecord } from '../../../../central/store/agent-store.ts';
import type { NodeRecord } from '../../../../central/store/nodes/node-store.ts';

const AGENT = { id: 'x', name: 'branch-1' };
const DRIFT = { profile: { release: 'r', changedFiles: ['conf/agent.conf'], reportedAt: 5 } } as unknown as DriftByPart;

/** The agent has its session at `b`. */
function setUp(fault?: 'agent_cannot_measure' | 'agent_offline', areSeveral = true) {
  const state = { session: { node: 'b', endedAt: null as number | null }, stateOfB: 'alive', isSilent: false };
  const measured: string[] = [];
  const timers: (() => void)[] = [];
  const list = (): NodeRecord[] =>
    [
      { name: 'a', state: 'alive' },
      { name: 'b', state: state.stateOfB },
    ] as NodeRecord[];
  const nodes: { [name: string]: Measurements } = {};
  for (const self of ['a', 'b'])
    nodes[self] = new Measurements({
      engine: {
        driftOf: () => (self === 'b' ? DRIFT : {}),
        requestMeasurement({ name: agent }) {
          if (self === 'a') throw rolloutFault('agent_offline', { agent });
          if (fault !== undefined) throw rolloutFault(fault, { agent, version: '0.1.0' });
          measured.push(self);
        },
      },
      sessions: { of: () => (self === 'b' ? ({} as never) : undefined) },
      agents: { get: async () => ({ session: state.session }) as AgentRecord },
      notes: {
        isOpen: areSeveral,
        add(subject, id, told) {
          const change = { subject, id, isDeleted: false, labelsBefore: null, body: JSON.stringify(told) };
          if (!state.isSilent) void nodes[self === 'a' ? 'b' : 'a']?.follow([change]);
        },
      },
      nodes: { self, list, hurry: () => undefined },
      after: (_, run) => {
        timers.push(run);
        return () => undefined;
      },
    });
  return { a: nodes['a'] as Measurements, state, measured, timers };
}

it('answers what an agent of the other node measured, and makes it measure', async () => {
  const { a, measured } = setUp();
  expect(await a.driftOf(AGENT)).toEqual(DRIFT);
  await a.request(AGENT);
  expect(measured).toEqual(['b']);
});

it.each(['agent_cannot_measure', 'agent_offline'] as const)('answers why it does not measure: %s', async (code) => {
  const { a } = setUp(code);
  await expect(a.request(AGENT)).rejects.toMatchObject({ code, message: expect.stringContaining('branch-1') });
});

it('answers by itself where the agent has no session, that node is dead, or there is no other', async () => {
  const { a, state } = setUp();
  state.session.endedAt = 1;
  await expect(a.request(AGENT)).rejects.toMatchObject({ code: 'agent_offline' });
  state.session.endedAt = null;
  state.stateOfB = 'dead';
  expect(await a.driftOf(AGENT)).toEqual({});
  await expect(setUp(undefined, false).a.request(AGENT)).rejects.toMatchObject({ code: 'agent_offline' });
});

it('waits for a node that is silent for a time, and for so many answers at once', async () => {
  const { a, state, timers } = setUp();
  state.isSilent = true;
  const asked = Array.from({ length: 101 }, async () => await a.driftOf(AGENT));
  while (timers.length < 100) await turn();
  expect(await Promise.race(asked)).toEqual({});
  for (const run of timers) run();
  expect(await Promise.all(asked)).toEqual(asked.map(() => ({})));
  const request = a.request(AGENT);
  while (timers.length < 101) await turn();
  timers.at(-1)?.();
  await expect(request).rejects.toMatchObject({ code: 'agent_offline' });
});
