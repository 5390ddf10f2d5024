import * as fc from 'fast-check';
import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { isCoded } from '../../../shared/errors.ts';
import { MAX_PROPERTIES, MAX_PROPERTIES_BYTES, parseProperties } from '../../../shared/settings/properties.ts';
import { lacks, run, temporaryFolder } from '../keystore/peers.ts';

function parse(text: string | Buffer) {
  return parseProperties(Buffer.from(text as string, 'utf8'), 'agent.conf');
}

function pairs(text: string | Buffer) {
  return parse(text).entries.map(({ key, value }) => [key, value]);
}

describe('parseProperties reads as java.util.Properties.load does', () => {
  test.each([
    [
      'all three separators',
      'a=1\nb:2\nc 3',
      [
        ['a', '1'],
        ['b', '2'],
        ['c', '3'],
      ],
    ],
    ['white space around a separator', '  a \t = \f 1  ', [['a', '1  ']]],
    [
      'a second separator as value',
      'a = = b\nc :=d\ne==f',
      [
        ['a', '= b'],
        ['c', '=d'],
        ['e', '=f'],
      ],
    ],
    [
      'keys without value',
      'a\nb=\nc:',
      [
        ['a', ''],
        ['b', ''],
        ['c', ''],
      ],
    ],
    ['a value without key', '= v', [['', 'v']]],
    ['both comment signs, indented too', '# a=1\n  ! b=2\nc=3#4', [['c', '3#4']]],
    ['continued lines, their indentation dropped', 'a=1,\\\n    2,\\\r\n\t3', [['a', '1,2,3']]],
    [
      'an even number of backslashes as an end',
      'a=1\\\\\nb=2',
      [
        ['a', '1\\'],
        ['b', '2'],
      ],
    ],
    ['three backslashes as a continuation', 'a=1\\\\\\\n 2', [['a', '1\\2']]],
    ['a comment sign inside a continued value', 'a=1\\\n#2', [['a', '1#2']]],
    ['a comment that ends in a backslash as one line', '# a \\\nb=2', [['b', '2']]],
    [
      'a blank line as the end of a continued one',
      'a=1\\\n\nb=2',
      [
        ['a', '1'],
        ['b', '2'],
      ],
    ],
    ['a lone backslash as nothing', '\\\n# comment\n\\\na=1', [['a', '1']]],
    ['a backslash at the end of the file', 'a=1\\', [['a', '1']]],
    [
      'escapes',
      String.raw`a=\t\n\r\f\\\q\=\"` + '\nb=K\\u00f6ln',
      [
        ['a', '\t\n\r\f\\q="'],
        ['b', 'Köln'],
      ],
    ],
    ['escaped separators in keys', String.raw`a\ b\=c\:d = 1`, [['a b=c:d', '1']]],
    [
      '\\r alone as a line end',
      'a=1\rb=2',
      [
        ['a', '1'],
        ['b', '2'],
      ],
    ],
    ['a byte order mark', '\uFEFFa=1', [['a', '1']]],
    ['UTF-8', 'a=Köln', [['a', 'Köln']]],
    ['nothing', '', []],
  ])('%s', (_, text, expected) => {
    expect(pairs(text)).toEqual(expected);
  });

  test('takes bytes that are not UTF-8 as ISO-8859-1', () => {
    expect(parseProperties(Buffer.from('a=Köln\x80', 'latin1'), 'f').entries[0]?.value).toBe('Köln\x80');
  });
});

test('keeps the line on which each key begins, and reports those that are set twice', () => {
  const { entries, duplicates } = parse('\n# one\na=1\\\n  2\nb=3\na=4');
  expect(entries.map(({ key, line }) => [key, line])).toEqual([
    ['a', 3],
    ['b', 5],
    ['a', 6],
  ]);
  expect(duplicates).toEqual([{ key: 'a', lines: [3, 6] }]);
});

test('refuses a malformed \\u escape and names its line, without showing what is there', () => {
  expect(() => parse('a=1\npassword=\\users')).toThrow(
    'agent.conf line 2: found \\u without the four hexadecimal digits',
  );
  expect(() => parse('a=\\u00g0')).toThrow(expect.objectContaining({ code: 'properties_bad_escape' }));
});

test('refuses UTF-16 and other bytes that are not text', () => {
  expect(() => parse(Buffer.from('a=1', 'utf16le'))).toThrow(
    expect.objectContaining({ code: 'properties_not_text', hint: expect.stringContaining('UTF-8') }),
  );
});

test('refuses more than a mebibyte', () => {
  expect(() => parse(Buffer.alloc(MAX_PROPERTIES_BYTES + 1, 'a'))).toThrow(
    expect.objectContaining({ code: 'properties_too_large' }),
  );
});

test('refuses more keys than any configuration has: each of them costs its check', () => {
  const lines = (count: number): Buffer => Buffer.from('a\n'.repeat(count));
  expect(parse(lines(MAX_PROPERTIES)).entries).toHaveLength(MAX_PROPERTIES);
  expect(() => parse(lines(MAX_PROPERTIES + 1))).toThrow(expect.objectContaining({ code: 'properties_too_many' }));
});

test('throws nothing but its own errors, whatever the bytes', () => {
  const thrown = fc.sample(fc.uint8Array({ maxLength: 300 }), 500).map((bytes) => {
    try {
      return parseProperties(bytes, 'f');
    } catch (error) {
      return error;
    }
  });
  expect(thrown.filter((result) => result instanceof Error && !isCoded(result))).toEqual([]);
});

function escape(text: string): string {
  return text.replaceAll(/[\s\S]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

test('gives back any keys and values that were written with all characters escaped', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.string({ minLength: 1 }), fc.string())), (expected) => {
      expect(pairs(expected.map(([key, value]) => `${escape(key)}=${escape(value)}`).join('\n'))).toEqual(expected);
    }),
  );
});

// The peer is the specification: 2,000 files out of the characters that matter, read by both. One thing is left to
// Java: of a lone backslash at the end of a file it makes an empty key, which would only be refused as unknown.
const LONE_BACKSLASH_AT_END = /(^|[\r\n])[ \t\f]*\\[\r\n]*[ \t\f]*$/;

test.skipIf(lacks('java'))('reads what java.util.Properties reads', async () => {
  const files = fc
    .sample(
      fc.string({
        unit: fc.constantFrom(
          'a',
          'b',
          'u',
          '0041',
          ' ',
          '\t',
          '\f',
          '=',
          ':',
          '#',
          '!',
          '\\',
          '\\\\',
          '\n',
          '\r',
          '\r\n',
          'n',
          '\u00f6',
        ),
        maxLength: 40,
      }),
      { numRuns: 2_000, seed: 7 },
    )
    .filter((text) => !LONE_BACKSLASH_AT_END.test(text));
  await using folder = await temporaryFolder();
  await writeFile(folder.path('in'), JSON.stringify(files.map((text) => Buffer.from(text, 'latin1').toString('hex'))));
  await run('java', [
    new URL('../../fixtures/ReadProperties.java', import.meta.url).pathname,
    folder.path('in'),
    folder.path('out'),
  ]);
  const expected = (await readFile(folder.path('out'), 'utf8')).trimEnd().split('\n');
  expect(expected).toHaveLength(files.length);
  const found = files.map((text) => {
    try {
      const values = new Map(
        parseProperties(Buffer.from(text, 'latin1'), 'f').entries.map(({ key, value }) => [hex(key), hex(value)]),
      );
      return [...values]
        .map(([key, value]) => `${key}=${value}`)
        .toSorted()
        .join(',');
    } catch (error) {
      if (!isCoded(error, 'properties_bad_escape')) throw error;
      return 'refused';
    }
  });
  expect(found).toEqual(expected);
});

function hex(text: string): string {
  return Buffer.from(text, 'utf16le').swap16().toString('hex');
}
