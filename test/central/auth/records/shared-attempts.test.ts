// What one node slows down counts at the other, with one note a second.
import { expect, it } from 'vitest';
import { SharedAttempts } from '../../../../central/auth/records/shared-attempts.ts';

function setUp(isOpen = true) {
  const notes: string[] = [];
  const timers: (() => void)[] = [];
  const shared = new SharedAttempts({
    notes: { isOpen, add: (subject, _, told) => void notes.push(`${subject} ${JSON.stringify(told)}`) },
    after: (_, run) => {
      timers.push(run);
      return () => undefined;
    },
  });
  return { shared, notes, timers };
}

it('tells the counts of a second together, of so many blocks', () => {
  const { shared, notes, timers } = setUp();
  shared.add('192.0.2.7');
  shared.add('192.0.2.7');
  shared.add('198.51.100.1');
  expect([notes, timers.length]).toEqual([[], 1]);
  timers.shift()?.();
  expect(notes).toEqual(['attempts {"counts":[["192.0.2.7",2],["198.51.100.1",1]]}']);
  for (let n = 0; n < 1_000; n += 1) shared.add(`10.0.${n >> 8}.${n & 255}`);
  expect(timers).toHaveLength(1);
  timers.shift()?.();
  expect((JSON.parse(notes[1]?.slice('attempts '.length) ?? '') as { counts: unknown[] }).counts).toHaveLength(200);
});

it('hears those of others, and tells none where there is one process', async () => {
  const { shared } = setUp();
  const heard: unknown[] = [];
  const body = JSON.stringify({ counts: [['192.0.2.7', 2]] });
  const change = { subject: 'attempts', id: '', isDeleted: false, labelsBefore: null, body } as const;
  await shared.follow([change], { heard: (block, count) => void heard.push([block, count]) });
  await shared.follow([], { heard: () => void heard.push('nothing') });
  expect(heard).toEqual([['192.0.2.7', 2]]);
  const alone = setUp(false);
  alone.shared.add('192.0.2.7');
  expect(alone.timers).toEqual([]);
});
