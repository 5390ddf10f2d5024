// What is kept of the boots of an agent is bounded, and the same after it was written.
import { expect, it } from 'vitest';
import {
  addBoot,
  CLONE_TURNS,
  historyOf,
  historyText,
  newHistory,
} from '../../../../central/store/agents/boot-history.ts';

it('finds two boots that alternate, also when it is written and read in between', () => {
  let written = historyText(newHistory('one', 0));
  const found = Array.from({ length: 2 + CLONE_TURNS }, (_, n) => {
    const history = historyOf(written);
    const isClone = addBoot(history, n % 2 === 0 ? 'two' : 'one', (n + 1) * 1_000);
    written = historyText(history);
    return isClone;
  });
  expect(found).toEqual([...found.slice(1).map(() => false), true]);
});

it('keeps the newest boots, however many there are', () => {
  const history = newHistory('boot', 0);
  for (let n = 0; n < 1_000; n += 1) expect(addBoot(history, `boot ${n}`, n)).toBe(false);
  expect([history.seen.size, history.turns.length, history.seen.has('boot 999')]).toEqual([16, 0, true]);
});
