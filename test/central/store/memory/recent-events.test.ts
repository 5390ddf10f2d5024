// What is kept of events is bounded in number and in size, and whatever is not kept is left to the store.
import { describe, expect, it } from 'vitest';
import {
  MAX_APPENDED,
  MAX_EVENTS,
  MAX_EVENTS_LENGTH,
  RecentEvents,
} from '../../../../central/store/memory/recent-events.ts';
import type { Item } from '../../../../shared/delivery/message.ts';
import { items, message, NOW } from '../samples.ts';

function append(recent: RecentEvents, appended: readonly Item[], firstCursor = recent.newest + 1): void {
  const call = { agentId: 'a', first: firstCursor, items: appended, now: NOW };
  recent.committed(call, { through: 0, incarnation: 'i', firstCursor, stored: null });
}

const cursors = (recent: RecentEvents, after: number): number[] | undefined =>
  recent.read(after, {}, 1_000)?.map(({ cursor }) => cursor);

describe('recent events', () => {
  it('are the last ones only', () => {
    const recent = new RecentEvents(10);
    for (let i = 0; i < MAX_EVENTS + 3; i += 1) append(recent, items(`e${i}`));
    expect(recent.newest).toBe(10 + MAX_EVENTS + 3);
    expect(cursors(recent, 12)).toBeUndefined();
    expect(cursors(recent, 13)).toHaveLength(MAX_EVENTS);
    expect(recent.isWholeBehind(12)).toBe(false);
  });

  it('are as many as fit into the bytes', () => {
    const recent = new RecentEvents(0);
    const json = 'x'.repeat(MAX_EVENTS_LENGTH / 4);
    for (let i = 0; i < 6; i += 1) append(recent, [{ kind: 'message', message: message(`e${i}`, { json }) }]);
    expect(cursors(recent, 1)).toBeUndefined();
    expect(cursors(recent, 2)).toEqual([3, 4, 5, 6]);
    append(recent, [{ kind: 'message', message: message('huge', { json: 'x'.repeat(MAX_EVENTS_LENGTH + 1) }) }]);
    expect(cursors(recent, 6)).toBeUndefined();
    expect(cursors(recent, 7)).toEqual([]);
  });

  it('of a large append are left to the store, those after it are not', () => {
    const recent = new RecentEvents(0);
    append(recent, items('before'));
    append(recent, items(...Array.from({ length: MAX_APPENDED + 1 }, (_, i) => `e${i}`)));
    append(recent, items('behind'));
    const through = MAX_APPENDED + 2;
    expect(cursors(recent, through - 1)).toBeUndefined();
    expect(cursors(recent, through)).toEqual([through + 1]);
  });
});
