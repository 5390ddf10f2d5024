import { describe, expect, it } from 'vitest';
import { COMMANDS, COMMAND_NAMES } from '../../../../central/cli/commands.ts';
import { readLine, type Line } from '../../../../central/cli/line/program.ts';
import { VERSION } from '../../../../shared/version.ts';

function read(...argv: string[]): { readonly line: Line; readonly out: string; readonly error: string } {
  const [out, error]: [string[], string[]] = [[], []];
  const line = readLine(argv, { out: (text) => out.push(text), error: (text) => error.push(text) });
  return { line, out: out.join('\n'), error: error.join('\n') };
}

/** Every noun, noun with sub-noun, and command. */
const LEVELS = [
  ...new Set(COMMANDS.flatMap(({ name }) => name.split(' ').map((_, i, words) => words.slice(0, i + 1).join(' ')))),
];

describe('every level of the command line', () => {
  it('has --help, -h, "help" before it, and --version', () => {
    expect(LEVELS.length).toBeGreaterThan(COMMANDS.length);
    for (const level of ['', ...LEVELS]) {
      const words = level === '' ? [] : level.split(' ');
      for (const help of [
        [...words, '--help'],
        [...words, '-h'],
        ['help', ...words],
      ]) {
        const { line, out, error } = read(...help);
        expect([help, line, error]).toEqual([help, { kind: 'shown', status: 0 }, '']);
        expect(out).toMatch(new RegExp(`^Usage: queuegate${words.map((word) => ` ${word}`).join('')}\\b`));
      }
      expect(read(...words, '--version')).toEqual({ line: { kind: 'shown', status: 0 }, out: VERSION, error: '' });
    }
  });

  it('shows its own help as an error where a verb is missing', () => {
    const nouns = LEVELS.filter((level) => !COMMAND_NAMES.includes(level));
    expect(nouns.length).toBeGreaterThan(10);
    for (const words of [[], ...nouns.map((noun) => noun.split(' '))]) {
      const { line, out, error } = read(...words);
      expect([words, line, out]).toEqual([words, { kind: 'shown', status: 2 }, '']);
      expect(error).toContain('Commands:');
    }
  });

  it('lists what is below it, and no alias', () => {
    for (const name of COMMAND_NAMES) {
      const words = name.split(' ');
      const { out } = read(...words.slice(0, -1), '--help');
      expect(out).toMatch(new RegExp(`^ {2}${words.at(-1)} `, 'm'));
      expect(out).not.toMatch(/^ {2}\S*\||^ {2}(?:agent|remove|enrol) /m);
    }
  });
});

describe('a word that is not known', () => {
  it.each([
    [['agnts', 'list'], 'command_unknown', 'Did you mean "queuegate agents"?'],
    [['agents', 'lst'], 'command_unknown', 'Did you mean "queuegate agents list"?'],
    [['ca', 'rotation', 'publsh'], 'command_unknown', 'Did you mean "queuegate ca rotation publish"?'],
    [['agent', 'remov'], 'command_unknown', 'Did you mean "queuegate agents delete"?'],
    [['xyzzy'], 'command_unknown', 'the commands are: status, '],
  ])('%j: %s', (argv, code, hint) => {
    expect(() => read(...argv)).toThrow(expect.objectContaining({ code, hint: expect.stringContaining(hint) }));
  });

  it.each([
    [['agents', 'list', '--stat', 'online'], 'The option --stat is unknown. Did you mean --state?'],
    [['status', '--jsn'], 'The option --jsn is unknown. Did you mean --json?'],
    [['agents', '--zzzzzz'], 'The option --zzzzzz is unknown.'],
    [['agents', 'list', '--state'], 'The option --state <value> needs a value.'],
    [['status', 'now'], 'The argument "now" is unexpected.'],
    [['agents', 'show'], 'An argument is missing.'],
    [['status', '--json=yes'], 'The option --json=yes is unknown.'],
    [['status', '\u2014json'], 'type --json with two hyphens'],
    [['agents', '\u2013json'], 'type --json with two hyphens'],
  ])('%j: %s', (argv, message) => {
    expect(() => read(...argv)).toThrow(
      expect.objectContaining({
        code: 'usage',
        message: expect.stringContaining(message),
        hint: expect.stringMatching(/^Usage: queuegate \w+/),
      }),
    );
  });
});

describe('words and options', () => {
  it('reach the command that was named, by any of its names', () => {
    for (const words of [
      ['enrollment-tokens', 'delete'],
      ['enrollment-token', 'remove'],
    ])
      expect(read(...words, 'x').line).toMatchObject({ command: { name: 'enrollment-tokens delete' }, words: ['x'] });
  });

  it('stay the text that was typed, also where it looks like an option', () => {
    const { line } = read('commands', 'send', '--type', '--json', '--data=-1', '--', '--url');
    expect(line).toMatchObject({ words: ['--url'], values: { type: '--json', data: '-1' } });
    expect(line).not.toMatchObject({ values: { json: true } });
  });

  it('options of every command may be on any level; the last one counts', () => {
    const { line } = read(
      '--url',
      'https://a',
      '--json',
      'agents',
      '--url',
      'https://b',
      'show',
      'x',
      '--ca-file',
      'c',
    );
    expect(line).toMatchObject({ values: { url: 'https://b', json: true, 'ca-file': 'c' }, words: ['x'] });
  });

  it('those of truststore are left to it', () => {
    expect(read('truststore', 'list', 'f', '--help', '--type', 'x').line).toEqual({
      kind: 'other',
      name: 'truststore',
      words: ['list', 'f', '--help', '--type', 'x'],
    });
  });
});
