import { expect, test } from 'vitest';
import { allowsColor, redError } from '../../../shared/terminal/standard-streams.ts';

test('only the word at the beginning of an error is red, and the color ends with it', () => {
  expect(redError('error: no agent error: x\n  hint')).toBe('\u001b[31merror:\u001b[39m no agent error: x\n  hint');
  expect(redError('Usage: error: x')).toBe('Usage: error: x');
});

test('there is no color with NO_COLOR or on a dumb terminal', () => {
  expect(allowsColor({})).toBe(true);
  expect(allowsColor({ NO_COLOR: '' })).toBe(true);
  expect(allowsColor({ NO_COLOR: '1' })).toBe(false);
  expect(allowsColor({ TERM: 'dumb' })).toBe(false);
});
