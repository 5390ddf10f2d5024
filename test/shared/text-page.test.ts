import { expect, test } from 'vitest';
import { mayHaveMore, PAGE_TEXT, TextPage } from '../../shared/text-page.ts';

const textOf = (text: string | null): string | null => text;

function pageOf(entries: readonly (string | null)[], limit: number): readonly (string | null)[] {
  const page = new TextPage<string | null>(limit, textOf);
  for (const entry of entries) {
    page.add(entry);
    if (page.isFull) break;
  }
  return page.entries;
}

test('a page ends at its limit, or with the entry that reaches the bound of its text, but has one', () => {
  const half = 'x'.repeat(PAGE_TEXT / 2);
  expect(pageOf(['a', 'b', null], 2)).toEqual(['a', 'b']);
  expect(pageOf([half, half, 'c'], 9)).toHaveLength(2);
  expect(pageOf([`${half}${half}${half}`, 'b'], 9)).toHaveLength(1);
  for (const [entries, limit, more] of [
    [['a', 'b', 'c'], 2, true],
    [['a', null], 3, false],
    [[half, half, 'c'], 9, true],
    [[], 9, false],
  ] as const)
    expect(mayHaveMore(pageOf(entries, limit), limit, textOf)).toBe(more);
});
