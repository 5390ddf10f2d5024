import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
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

const WRITER = `
const { writeBytes } = await import(process.argv[1]);
await writeBytes('out', Buffer.from([0x61, 0x1b, 0xc3]));
await writeBytes('out', Buffer.from([0xa4, 0x0a]));
`;

test('bytes go to a pipe as they are, and to a terminal as text that cannot act on it', async () => {
  const module_ = join(import.meta.dirname, '../../../shared/terminal/standard-streams.ts');
  const words = ['--input-type=module', '-e', WRITER, module_];
  const piped = await promisify(execFile)(process.execPath, words, { encoding: 'buffer' });
  expect([...piped.stdout]).toEqual([0x61, 0x1b, 0xc3, 0xa4, 0x0a]);
  const quoted = [process.execPath, ...words].map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`).join(' ');
  const shown = await promisify(execFile)('script', ['--quiet', '--return', '--command', quoted, '/dev/null']);
  expect(shown.stdout).not.toContain('\u001b');
  expect(shown.stdout).toContain('ä');
});
