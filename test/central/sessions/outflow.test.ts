// What one session reads from its outbox counts in the budget of all until the operating system has taken it.
import { describe, expect, it } from 'vitest';
import type { OutflowShare } from '../../../central/sessions/limits/outflow-budget.ts';
import { SessionOutflow } from '../../../central/sessions/outflow.ts';
import { entry, MemoryOutbox } from '../../shared/delivery/session-logs.ts';

function bounded(room = 1_000) {
  const calls: (readonly [string, number?])[] = [];
  const share: OutflowShare = {
    reserve: async (bytes) => {
      calls.push(['reserve', bytes]);
      return Math.min(bytes, room);
    },
    read: (bytes) => void calls.push(['read', bytes]),
    written: (bytes) => void calls.push(['written', bytes]),
    close: () => void calls.push(['close']),
  };
  const outbox = new MemoryOutbox();
  outbox.entries = [entry(1), entry(2)];
  const outflow = new SessionOutflow(share);
  return { calls, outbox, outflow, bound: outflow.bound(outbox) };
}
const BYTES = entry(1).bytes;

describe('the outbox of a session', () => {
  it('is read as far as there is room, which it keeps until its frame is written', async () => {
    const { calls, outbox, outflow, bound } = bounded(BYTES);
    expect(await bound.read(0, 10, 500)).toHaveLength(1);
    expect(outbox.reads).toEqual([{ after: 0, maxItems: 10, maxBytes: BYTES }]);
    const written = outflow.sending();
    // Nothing is left over from the read before.
    await bound.read(1, 10, 500);
    written();
    expect(calls).toEqual([
      ['written', 0],
      ['reserve', 500],
      ['read', BYTES],
      ['written', 0],
      ['reserve', 500],
      ['read', BYTES],
      ['written', BYTES],
    ]);
  });

  it('gives back what was read and not sent before it is read again', async () => {
    const { calls, bound } = bounded();
    await bound.read(0, 10, 500);
    calls.length = 0;
    await bound.read(0, 10, 500);
    expect(calls).toEqual([
      ['written', 2 * BYTES],
      ['reserve', 500],
      ['read', 2 * BYTES],
    ]);
  });

  it('is not read without room, and keeps none when it fails', async () => {
    const full = bounded(0);
    expect(await full.bound.read(0, 10, 500)).toEqual([]);
    expect(full.outbox.reads).toEqual([]);
    const { calls, outbox, outflow, bound } = bounded();
    outbox.failWith = new Error('disk');
    await expect(bound.read(0, 10, 500)).rejects.toThrow('disk');
    expect(calls.at(-1)).toEqual(['read', 0]);
    outflow.close();
    expect(calls.at(-1)).toEqual(['close']);
  });

  it('is otherwise the same', async () => {
    const { outbox, bound } = bounded();
    outbox.acknowledgedThrough = 4;
    expect(await bound.resume(null)).toMatchObject({ next: 5 });
    await bound.acknowledge(7);
    expect(outbox.acknowledgedThrough).toBe(7);
    outbox.entries = [entry(8, '{}', 1)];
    expect(await bound.expire()).toBe(1);
  });
});
