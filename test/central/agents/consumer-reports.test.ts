import { describe, expect, it } from 'vitest';
import { ConsumerReports } from '../../../central/agents/consumer-reports.ts';
import { ControlLedger } from '../../../central/sessions/control-ledger.ts';
import type { SessionFacts } from '../../../central/sessions/session.ts';
import type { ConsumerReport } from '../../../central/store/agent-store.ts';
import { CONSUMERS, type Consumers } from '../../../shared/wire/messages.ts';
import { validate } from '../../../shared/wire/json-schema.ts';

function start() {
  const online = new Map<string, SessionFacts>();
  let clock = 7;
  const written: (readonly ConsumerReport[])[] = [];
  const timers: (() => void)[] = [];
  const reports = new ConsumerReports({
    agents: { recordConsumers: async (batch) => (written.push(batch), []) },
    log: { debug: () => undefined },
    sessionOf: (agentId) => {
      const facts = online.get(agentId);
      return facts && { facts };
    },
    now: () => clock,
    after: (_ms, run) => void timers.push(run),
  });
  const frame = (
    agentId: string,
    waitingCount: number,
    capabilities = ['consumers'],
    inboxFull = false,
    epoch = 3,
  ): void => {
    // The other facts mean nothing here.
    const facts = { agentId, agentName: `branch-${agentId}`, epoch, capabilities } as unknown as SessionFacts;
    online.set(agentId, facts);
    reports.onFrame(
      { facts },
      {
        type: 'consumers',
        position: null,
        inboxFull,
        consumers: [{ name: 'default', types: [], waitingFrom: null, waitingCount }],
      },
    );
  };
  const full = (agentId: string, waitingCount: number, epoch = 3): void => {
    clock += 1;
    frame(agentId, waitingCount, ['consumers'], true, epoch);
  };
  return { written, timers, frame, full, online, reports };
}

describe('reports of consumers at Central', () => {
  it('are written together, the newest of each agent, however many come', () => {
    const { written, timers, frame } = start();
    for (let count = 0; count < 50; count += 1) {
      frame('a', count);
      frame('b', 2 * count);
    }
    expect([written.length, timers.length]).toEqual([0, 1]);
    timers.shift()?.();
    expect(written).toMatchObject([
      [
        { agentId: 'a', epoch: 3, at: 7, position: null, consumers: [{ waitingCount: 49 }] },
        { agentId: 'b', consumers: [{ waitingCount: 98 }] },
      ],
    ]);
    frame('a', 1);
    timers.shift()?.();
    expect(written[1]).toMatchObject([{ agentId: 'a', consumers: [{ waitingCount: 1 }] }]);
  });

  it('of an agent that does not name the capability are not used', () => {
    const { timers, frame } = start();
    frame('a', 1, ['renewal']);
    expect(timers).toEqual([]);
  });

  it('name the agents whose inbox is full with the consumer that fills it, since the first report of it, until they have room or end', () => {
    const { reports, frame, full, online } = start();
    expect(reports.problems()).toEqual([]);
    full('a', 10_000);
    full('a', 9_000);
    full('b', 5);
    expect(reports.problems()).toEqual([
      {
        code: 'agent_inboxes_full',
        detail:
          'The inbox of 2 agents is full, so that they accept no commands: branch-a (9000 commands of the consumer default), branch-b (5 commands of the consumer default).',
        hint: expect.stringContaining('queuegate agents show'),
        startedAt: 8,
      },
    ]);
    frame('a', 1);
    expect(reports.problems()).toMatchObject([
      {
        startedAt: 10,
        detail: expect.stringContaining('branch-b'),
        subject: { kind: 'agent', id: 'b', name: 'branch-b' },
      },
    ]);
    online.clear();
    expect(reports.problems()).toEqual([]);
    full('b', 5, 4);
    expect(reports.problems()).toMatchObject([{ startedAt: 11 }]);
    for (let agent = 0; agent < 9; agent += 1) full(`c${agent}`, 1);
    const [problem] = reports.problems();
    expect(problem?.detail).toMatch(/^The inbox of 10 agents .*, \.\.\.$/);
  });

  it('of more than 32,768 bytes are a bad frame, whatever the schema allows', () => {
    const report = (types: string[]): Consumers => ({
      type: 'consumers',
      position: null,
      inboxFull: false,
      consumers: Array.from({ length: 33 }, (_, i) => ({ name: `c${i}`, types, waitingFrom: null, waitingCount: 0 })),
    });
    const large = report(Array.from({ length: 64 }, () => 'x'.repeat(128)));
    expect(validate(CONSUMERS, large)).toBeUndefined();
    const ledger = new ControlLedger([]);
    expect(ledger.received(large)).toContain('32768 bytes');
    expect(ledger.received(report(['x'.repeat(128)]))).toBeUndefined();
  });
});
