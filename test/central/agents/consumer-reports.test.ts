import { describe, expect, it } from 'vitest';
import { ConsumerReports } from '../../../central/agents/consumer-reports.ts';
import { ControlLedger } from '../../../central/sessions/control-ledger.ts';
import type { SessionFacts } from '../../../central/sessions/session.ts';
import type { ConsumerReport } from '../../../central/store/agent-store.ts';
import { CONSUMERS, type Consumers } from '../../../shared/wire/messages.ts';
import { validate } from '../../../shared/wire/json-schema.ts';

function start() {
  const written: (readonly ConsumerReport[])[] = [];
  const timers: (() => void)[] = [];
  const reports = new ConsumerReports({
    agents: { recordConsumers: async (batch) => void written.push(batch) },
    log: { debug: () => undefined },
    now: () => 7,
    after: (_ms, run) => void timers.push(run),
  });
  const frame = (agentId: string, waitingCount: number, capabilities = ['consumers']): void => {
    // The other facts mean nothing here.
    const facts = { agentId, epoch: 3, capabilities } as unknown as SessionFacts;
    reports.onFrame(
      { facts },
      {
        type: 'consumers',
        position: null,
        consumers: [{ name: 'default', types: [], waitingFrom: null, waitingCount }],
      },
    );
  };
  return { written, timers, frame };
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

  it('of more than 32,768 bytes are a bad frame, whatever the schema allows', () => {
    const report = (types: string[]): Consumers => ({
      type: 'consumers',
      position: null,
      consumers: Array.from({ length: 33 }, (_, i) => ({ name: `c${i}`, types, waitingFrom: null, waitingCount: 0 })),
    });
    const large = report(Array.from({ length: 64 }, () => 'x'.repeat(128)));
    expect(validate(CONSUMERS, large)).toBeUndefined();
    const ledger = new ControlLedger();
    expect(ledger.received(large)).toContain('32768 bytes');
    expect(ledger.received(report(['x'.repeat(128)]))).toBeUndefined();
  });
});
