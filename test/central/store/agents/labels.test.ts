import { expect, it } from 'vitest';
import {
  LABEL_KEY,
  LABEL_VALUE,
  matchesAgent,
  mergedLabels,
  type AgentMatch,
  type LabelTerm,
} from '../../../../central/store/agents/labels.ts';

const fits = (match: AgentMatch, labels: Readonly<Record<string, string>> = {}, name = 'branch-1'): boolean =>
  matchesAgent(match, { name, labels });
const term = (key: string, operator: LabelTerm['operator'], value: string): AgentMatch => ({
  kind: 'labels',
  terms: [{ key, operator, value }],
});

it('takes labels as plain text, also where a key is a word of JavaScript', () => {
  expect(fits(term('constructor', '=', 'x'))).toBe(false);
  expect(fits(term('constructor', '!=', 'x'))).toBe(true);
  expect(fits(term('toString', '=', 'x'), { toString: 'x' })).toBe(true);
  expect(fits(term('region', '=', 'North'), { region: 'north' })).toBe(false);
  expect(mergedLabels({ b: '1', a: '2' }, { c: '3', b: null, none: null })).toEqual({ a: '2', c: '3' });
});

it('bounds keys and values as Kubernetes does', () => {
  const key = new RegExp(LABEL_KEY);
  const value = new RegExp(LABEL_VALUE);
  for (const good of ['a', 'A9', 'example.com/tier_1-x', 'k'.repeat(63)])
    expect([key.test(good), value.test(good)]).toEqual([true, true]);
  for (const bad of ['-a', 'a-', '/a', 'a b', 'a=b', 'ä', 'k'.repeat(64), 'a\n'])
    expect([key.test(bad), value.test(bad)]).toEqual([false, false]);
  expect([key.test(''), value.test('')]).toEqual([false, true]);
});

it('finds * in names without regard to case, and searches a name once for each part of the pattern', () => {
  for (const [pattern, expected] of [
    ['*', true],
    ['branch-1', true],
    ['BRANCH*', true],
    ['b*-1', true],
    ['*1', true],
    ['branch-1*', true],
    ['branch-1*1', false],
    ['branch', false],
  ] as const)
    expect([pattern, fits({ kind: 'name', pattern })]).toEqual([pattern, expected]);
  // A pattern that a backtracking search would not end with.
  expect(fits({ kind: 'name', pattern: `${'*a'.repeat(126)}b` }, {}, 'a'.repeat(253))).toBe(false);
});
