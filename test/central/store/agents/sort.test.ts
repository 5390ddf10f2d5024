import { expect, it } from 'vitest';
import { AGENT_SORTS, lastSeenAt, placeOf, sortKeyOf } from '../../../../central/store/agents/sort.ts';

const agent = { id: 'a1', name: 'branch-1', state: 'online', session: null, outbox: { messages: 3 } };

it('has each key in both orders', () => {
  expect(AGENT_SORTS.map((by) => sortKeyOf(by).descending)).toEqual(AGENT_SORTS.map((by) => by.startsWith('-')));
  expect(sortKeyOf('-queuedCount')).toEqual({ key: 'queuedCount', descending: true });
});

it('takes an agent that is connected for the last one seen, and one that never was for the first', () => {
  const [open, ended] = [{ endedAt: null }, { endedAt: 7 }];
  expect([null, open, ended].map((session) => lastSeenAt({ session }, 9))).toEqual([null, 9, 7]);
  const place = (session: typeof agent.session | typeof open | typeof ended) =>
    placeOf({ ...agent, session }, 'lastSeenAt').value;
  expect(place(null)).toBe(-1);
  expect(place(ended)).toBe(7);
  expect(place(open)).toBe(Number.MAX_SAFE_INTEGER);
  expect(placeOf(agent, '-queuedCount')).toEqual({ id: 'a1', value: 3 });
});
