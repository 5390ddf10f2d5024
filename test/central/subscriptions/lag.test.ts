// The lag of a subscription: the oldest event that fits is searched for once.
import { expect, test } from 'vitest';
import type { EventFilter, StoredEvent } from '../../../central/store/message-store.ts';
import { Lag } from '../../../central/subscriptions/lag.ts';

const FILTER = { type: 'ticket', source: null, agentId: null, label: null };

function scene() {
  const events: { readonly cursor: number; readonly type: string; readonly receivedAt: number }[] = [];
  const reads: number[] = [];
  const inbox = {
    lastCursor: async () => events.length,
    read: async (after: number, filter: EventFilter) => {
      reads.push(after);
      const found = events.filter(({ cursor, type }) => cursor > after && type === filter.type);
      return found as unknown as StoredEvent[];
    },
  };
  const push = (type: string, receivedAt: number): void =>
    void events.push({ cursor: events.length + 1, type, receivedAt });
  return { push, reads, lag: new Lag({ inbox, now: () => 100_000 }) };
}

test('looks at the same events once, however often it is read', async () => {
  const { push, reads, lag } = scene();
  for (let i = 0; i < 1_000; i += 1) push('other', 1_000);
  const looks = await Promise.all(Array.from({ length: 50 }, () => lag.find(FILTER, 0)));
  expect(looks[49]).toEqual({ count: 0, seconds: 0 });
  expect(reads).toEqual([0]);
  push('ticket', 90_000);
  expect(await lag.find(FILTER, 0)).toEqual({ count: 1_001, seconds: 10 });
  push('ticket', 95_000);
  expect(await lag.find(FILTER, 0)).toEqual({ count: 1_002, seconds: 10 });
  expect(reads).toEqual([0, 1_000]);
});

test('is searched for again behind another cursor, and with another filter', async () => {
  const { push, reads, lag } = scene();
  push('ticket', 90_000);
  push('ticket', 95_000);
  expect(await lag.find(FILTER, 0)).toEqual({ count: 2, seconds: 10 });
  expect(await lag.find(FILTER, 1)).toEqual({ count: 1, seconds: 5 });
  expect(await lag.find({ ...FILTER, type: 'other' }, 1)).toEqual({ count: 0, seconds: 0 });
  expect(await lag.find(FILTER, 2)).toEqual({ count: 0, seconds: 0 });
  expect(reads).toEqual([0, 1, 1]);
});
