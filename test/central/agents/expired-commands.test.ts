import { setImmediate as nextTurn } from 'node:timers/promises';
import { describe, expect, it } from 'vitest';
import { ExpiredCommands } from '../../../central/agents/expired-commands.ts';
import { ControlLedger } from '../../../central/sessions/control-ledger.ts';
import type { SessionFacts } from '../../../central/sessions/session.ts';
import type { CentralControl, ExpiredCommands as Frame } from '../../../shared/wire/messages.ts';

const item = { number: 7, throughNumber: 9, count: 3, id: 'c7', source: '/central', consumer: 'printer' };
const frame = (through: number, change: Partial<Frame> = {}): Frame => ({
  type: 'expired',
  through,
  items: [item],
  ...change,
});

function start(recordExpired: (...call: unknown[]) => Promise<number>) {
  const counted: number[] = [];
  const answers: CentralControl[] = [];
  const expired = new ExpiredCommands({
    outbox: { recordExpired },
    onRecorded: (count) => counted.push(count),
    log: { debug: () => undefined },
    now: () => 5,
  });
  return {
    counted,
    answers,
    take: async (through: number, capabilities = ['expired']): Promise<void> => {
      // The other facts mean nothing here.
      const facts = { agentId: 'a', epoch: 3, capabilities } as unknown as SessionFacts;
      expired.onFrame({ facts, sendControl: (answer) => void answers.push(answer) }, frame(through));
      await nextTurn();
    },
  };
}

describe('commands that expired at an agent', () => {
  it('are answered when they are on disk, and counted once', async () => {
    const calls: unknown[][] = [];
    let fresh = 3;
    const { counted, answers, take } = start(async (...call) => {
      calls.push(call);
      return fresh;
    });
    await take(12);
    fresh = 0;
    await take(12);
    expect(calls[0]).toEqual(['a', 3, [item], 5]);
    expect(answers).toEqual([12, 12].map((through) => ({ type: 'expired-recorded', through })));
    expect(counted).toEqual([3]);
  });

  it('are not answered when they could not be recorded, nor when the agent did not name the capability', async () => {
    const { answers, take } = start(async () => await Promise.reject(new Error('the disk is full')));
    await take(1);
    await take(1, ['consumers']);
    expect(answers).toEqual([]);
  });

  it('come one frame at a time, of 16,384 bytes at most', () => {
    const ledger = new ControlLedger([]);
    expect(ledger.received(frame(1))).toBeUndefined();
    expect(ledger.received(frame(2))).toContain('before it was answered');
    ledger.sent({ type: 'expired-recorded', through: 1 });
    expect(ledger.received(frame(2))).toBeUndefined();
    ledger.sent({ type: 'expired-recorded', through: 2 });
    const items = Array.from({ length: 100 }, () => ({ ...item, id: 'x'.repeat(200) }));
    expect(ledger.received(frame(3, { items }))).toContain('more than 16384 bytes');
  });
});
