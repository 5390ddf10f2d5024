// What is kept of events is bounded in number and in size, and whatever is not kept is left to the store.
import { describe, expect, it } from 'vitest';
import {
  MAX_EVENTS,
  MAX_EVENTS_LENGTH,
  MAX_REMEMBERED,
  RecentEvents,
} from '../../../../central/store/memory/recent-events.ts';
import { NOW } from '../samples.ts';

function append(recent: RecentEvents, texts: readonly string[], firstCursor = recent.newest + 1): void {
  const events = texts.map((json, i) => ({ number: firstCursor + i, type: 't', source: '/s', json }));
  recent.committed(
    { agentId: 'a', now: NOW },
    {
      through: 0,
      incarnation: 'i',
      firstCursor,
      stored: texts.length,
      events: texts.length > MAX_REMEMBERED ? null : events,
    },
  );
}

const cursors = (recent: RecentEvents, after: number): number[] | undefined =>
  recent.read(after, {}, 1_000)?.map(({ cursor }) => cursor);

describe('recent events', () => {
  it('are the last ones only', () => {
    const recent = new RecentEvents(10);
    for (let i = 0; i < MAX_EVENTS + 3; i += 1) append(recent, [`e${i}`]);
    expect(recent.newest).toBe(10 + MAX_EVENTS + 3);
    expect(cursors(recent, 12)).toBeUndefined();
    expect(cursors(recent, 13)).toHaveLength(MAX_EVENTS);
    expect(recent.isWholeBehind(12)).toBe(false);
  });

  it('are as many as fit into the bytes', () => {
    const recent = new RecentEvents(0);
    const json = 'x'.repeat(MAX_EVENTS_LENGTH / 4);
    for (let i = 0; i < 6; i += 1) append(recent, [json]);
    expect(cursors(recent, 1)).toBeUndefined();
    expect(cursors(recent, 2)).toEqual([3, 4, 5, 6]);
    append(recent, ['x'.repeat(MAX_EVENTS_LENGTH + 1)]);
    expect(cursors(recent, 6)).toBeUndefined();
    expect(cursors(recent, 7)).toEqual([]);
  });

  it('of a large append are left to the store, those after it are not', () => {
    const recent = new RecentEvents(0);
    append(recent, ['before']);
    append(
      recent,
      Array.from({ length: MAX_REMEMBERED + 1 }, (_, i) => `e${i}`),
    );
    append(recent, ['behind']);
    const through = MAX_REMEMBERED + 2;
    expect(cursors(recent, through - 1)).toBeUndefined();
    expect(cursors(recent, through)).toEqual([through + 1]);
  });
});
