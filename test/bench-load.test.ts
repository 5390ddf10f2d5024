// The load of the bench counts what is stored, and does not keep its process from its sockets.
import { describe, expect, test } from 'vitest';
import { inTurns } from '../bench/load/driver.ts';
import { MemoryOutbox } from '../bench/memory-log.ts';

describe('the outbox of a bench agent', () => {
  test('counts what the next session finds stored, when its acknowledgement was lost with the session before', async () => {
    const acknowledged: number[] = [];
    const outbox = new MemoryOutbox('/bench/00000', (through) => acknowledged.push(through));
    const { incarnation } = await outbox.resume(null);
    outbox.flow(true);
    const sent = await outbox.read(0, 100, 1_000_000);
    outbox.flow(false);
    expect(outbox.drained).toBe(false);

    const number = sent.length;
    const resumed = await outbox.resume({ incarnation, number, id: sent.at(-1)?.id ?? '' });
    expect(resumed.next).toBe(number + 1);
    expect([outbox.acknowledged, outbox.drained, acknowledged]).toEqual([number, true, [number]]);
  });

  test('keeps what was read and lost: it is sent again', async () => {
    const outbox = new MemoryOutbox('/bench/00000');
    const { incarnation } = await outbox.resume(null);
    outbox.flow(true);
    await outbox.read(0, 100, 1_000_000);
    await outbox.resume({ incarnation, number: 60, id: 'any' });
    outbox.flow(false);
    expect([outbox.acknowledged, outbox.last, outbox.drained]).toEqual([60, 100, false]);
    expect(await outbox.read(60, 100, 1_000_000)).toHaveLength(40);
  });
});

test('agents begin to send a turn of the event loop apart', async () => {
  let turns = 0;
  let running = true;
  const turn = (): void => {
    turns += 1;
    if (running) setImmediate(turn);
  };
  setImmediate(turn);
  const seen: number[] = [];
  await inTurns([1, 2, 3, 4], () => seen.push(turns));
  running = false;
  expect(seen.every((at, index) => index === 0 || at > (seen[index - 1] ?? at))).toBe(true);
});
