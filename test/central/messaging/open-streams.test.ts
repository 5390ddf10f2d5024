import { expect, it, vi } from 'vitest';
import { OpenStreams } from '../../../central/messaging/open-streams.ts';

it('makes each answer look when a token or a rule changes, as long as it goes on', () => {
  const streams = new OpenStreams();
  const [one, other] = [vi.fn<() => void>(), vi.fn<() => void>()];
  const isOver = streams.enter(one);
  streams.enter(other);
  streams.look();
  isOver();
  streams.look();
  expect([one.mock.calls.length, other.mock.calls.length, streams.isStopping]).toEqual([1, 2, false]);
});

it('stops when all are over, and makes one look at once that comes later', async () => {
  const streams = new OpenStreams();
  const isOver = streams.enter(() => queueMicrotask(() => isOver()));
  await streams.stop(60_000);
  const late = vi.fn<() => void>();
  streams.enter(late);
  expect([late.mock.calls.length, streams.isStopping]).toEqual([1, true]);
});

it('waits no longer than a moment for clients that do not read', async () => {
  const streams = new OpenStreams();
  const look = vi.fn<() => void>();
  streams.enter(look);
  await streams.stop(1);
  expect(look).toHaveBeenCalledOnce();
});
