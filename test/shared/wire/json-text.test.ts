import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  JsonSyntaxError,
  MAX_MEMBERS,
  scanBatch,
  scanObjectWithList,
  scanValue,
  stringAt,
  stringOf,
  type JsonNode,
} from '../../../shared/wire/json-text.ts';
import { jsonText, mutatedText } from './json-arbitraries.ts';

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function scans(text: string): boolean {
  try {
    scanValue(text);
    return true;
  } catch (error) {
    if (!(error instanceof JsonSyntaxError)) throw error;
    return false;
  }
}

function valueOf({ text, from, to }: Pick<JsonNode, 'text' | 'from' | 'to'>): unknown {
  return JSON.parse(text.slice(from, to));
}

// Without random texts, and before them: a fault is found at once, and needs no search for its smallest example.
describe('the scanner, text by text', () => {
  it.each([
    ['0', 'number'],
    ['-0', 'number'],
    ['10', 'number'],
    ['9876543210', 'number'],
    ['0.5', 'number'],
    ['-1.25', 'number'],
    ['1e5', 'number'],
    ['1E+5', 'number'],
    ['1.5e-10', 'number'],
    ['0e0', 'number'],
    ['true', 'boolean'],
    ['false', 'boolean'],
    ['null', 'null'],
    ['""', 'string'],
    [String.raw`"\"\\\/\b\f\n\r\t\u09aF"`, 'string'],
    [`"${'x'.repeat(31)}"`, 'string'],
    [`"${'x'.repeat(40)}"`, 'string'],
    [`"${'x'.repeat(40)}\\n${'y'.repeat(40)}"`, 'string'],
    ['[]', 'array'],
    ['[ \t\n\r]', 'array'],
    ['[1,[2,[]],{"a":[]}]', 'array'],
    ['{}', 'object'],
    ['{ "a" : {"b":{},"c":[1]} , "d":null }', 'object'],
  ])('takes %j, which is of the kind %s', (text, kind) => {
    const { from, to, ...node } = scanValue(` \r\n\t${text}\t\n\r `);
    expect([node.kind, from, to, node.fault]).toEqual([kind, 4, 4 + text.length, undefined]);
    const { members } = scanValue(`{"x":${text} ,"y":[${text}, ${text}]}`);
    expect(members.map(({ name, kind: its, from: at, to: end }) => [name, its, at, end])).toEqual([
      ['x', kind, 5, 5 + text.length],
      ['y', 'array', 11 + text.length, 15 + 3 * text.length],
    ]);
  });

  it.each([
    ['', 'end of the text', 0, 'a value'],
    ['nul', '"n"', 0, '"null"'],
    ['falsy', '"f"', 0, '"false"'],
    ['-', 'end of the text', 1, 'a digit'],
    ['1.', 'end of the text', 2, 'a digit'],
    ['1e+', 'end of the text', 3, 'a digit'],
    ['1ex', '"x"', 2, 'a digit'],
    ['01', '"1"', 1, 'the end of the text'],
    ['[1 2]', '"2"', 3, '"," or "]"'],
    ['[[1 2]]', '"2"', 4, '"," or "]"'],
    ['{"a":1 2}', '"2"', 7, '"," or "}"'],
    ['[{"a":1 2}]', '"2"', 8, '"," or "}"'],
    ['{1}', '"1"', 1, 'a name in quotation marks'],
    ['[{1}]', '"1"', 2, 'a name in quotation marks'],
    ['{"a":1,}', '"}"', 7, 'a name in quotation marks'],
    ['[{"a":1,}]', '"}"', 8, 'a name in quotation marks'],
    ['{"a" 1}', '"1"', 5, '":"'],
    ['[{"a" 1}]', '"1"', 6, '":"'],
    [String.raw`"\x"`, '"x"', 2, 'the letter of an escape'],
    [String.raw`"\u12g4"`, '"g"', 5, 'a hexadecimal digit'],
    [String.raw`"\u:000"`, '":"', 3, 'a hexadecimal digit'],
    ['"a', 'end of the text', 2, 'a character of a string or its end'],
    ['"\n"', 'U+000A', 1, 'a character of a string or its end'],
    ['"\u001f"', 'U+001F', 1, 'a character of a string or its end'],
    ['\ufeff1', 'byte order mark', 0, 'a value'],
    ['\u00a01', 'U+00A0', 0, 'a value'],
    ['\u007f', 'U+007F', 0, 'a value'],
    ['~', '"~"', 0, 'a value'],
    ['!', '"!"', 0, 'a value'],
    ['😀', 'U+1F600', 0, 'a value'],
    ['/', '"/"', 0, 'a value'],
    [':', '":"', 0, 'a value'],
  ])('refuses %j with what is there and what may be', (text, found, byte, expected) => {
    expect(() => scanValue(text)).toThrow(`unexpected ${found} at byte ${byte}; expected: ${expected}`);
  });

  it('refuses what follows a value, a batch or a frame', () => {
    for (const scan of [
      () => scanBatch('[1] 2', 10),
      () => scanBatch('1 2', 10),
      () => scanObjectWithList('{"items":[]} x', 'items', 10),
      () => scanValue('{}]'),
    ])
      expect(scan).toThrow('expected: the end of the text');
    expect(() => scanBatch('[1 2]', 10)).toThrow('expected: "," or "]"');
    expect(() => scanObjectWithList('{"items":[1}', 'items', 10)).toThrow('expected: "," or "]"');
  });

  it('names a fault by the place of its name, cut to 64 characters', () => {
    const long = 'n'.repeat(100);
    expect(scanValue(`{"${long}":1,"${long}":2}`).fault?.pointer).toBe(`/${'n'.repeat(64)}`);
  });

  it('knows which strings hold no escape: their text is their value', () => {
    const text = String.raw`{"id":"a","type":"\u0061","source":"","time":"x"}`;
    const { members } = scanValue(text);
    expect(members.map(({ isPlain }) => isPlain)).toEqual([true, false, true, true]);
    expect(members.map((member) => stringOf(text, member))).toEqual(['a', 'a', '', 'x']);
  });
});

describe('the scanner', () => {
  it('takes what JSON.parse takes, and nothing else', () => {
    fc.assert(
      fc.property(fc.oneof(jsonText, mutatedText, fc.string({ unit: 'binary' })), (text) => {
        expect([text, scans(text)]).toEqual([text, isJson(text)]);
      }),
      { numRuns: 3_000 },
    );
  });

  it.each([
    '',
    ' ',
    '01',
    '-',
    '+1',
    '.5',
    '1.',
    '1e',
    '1e+',
    '0x1',
    'NaN',
    'Infinity',
    'tru',
    'truee',
    "'a'",
    '"',
    '"\\',
    '"\\u12',
    '"\\u123x"',
    '"\\x"',
    '"\t"',
    '"\u0000"',
    '[',
    '[1',
    '[1,',
    '[1,]',
    '[,1]',
    '[1 2]',
    '{',
    '{"a"',
    '{"a":',
    '{"a":1',
    '{"a":1,',
    '{"a":1,}',
    '{a:1}',
    '{1:1}',
    '{"a" 1}',
    '{}{}',
    '[]]',
    '//',
    '\ufeff{}',
    '\u00a01',
    '"\u001f"',
    '[1}',
    '{"a":[}]',
    `"${'x'.repeat(100)}\n"`,
  ])('refuses %j', (text) => {
    expect([scans(text), isJson(text)]).toEqual([false, false]);
  });

  it('says where the text stops being JSON, in bytes', () => {
    expect(() => scanValue('{"ä":tru}')).toThrow('unexpected "t" at byte 6; expected: "true"');
    expect(() => scanValue('[1,')).toThrow('unexpected end of the text at byte 3; expected: a value');
    expect(() => scanValue('\ufeff{}')).toThrow('unexpected byte order mark at byte 0');
  });

  it('gives the members of an object as the spans of their text', () => {
    fc.assert(
      fc.property(jsonText, (text) => {
        const node = scanValue(text);
        expect(valueOf(node)).toEqual(JSON.parse(text));
        if (node.kind !== 'object' || node.fault !== undefined) return;
        const value = JSON.parse(text) as Record<string, unknown>;
        expect(node.members.map(({ name }) => name).toSorted()).toEqual(Object.keys(value).toSorted());
        for (const member of node.members) {
          expect(valueOf({ text, ...member })).toEqual(value[member.name]);
          expect(member.kind === 'string' ? stringAt(text, member.from, member.to) : value[member.name]).toEqual(
            value[member.name],
          );
          expect(member.levels).toBe(levelsOf(text.slice(member.from, member.to)));
        }
      }),
      { numRuns: 1_000 },
    );
  });

  it('gives the items of a batch and of a named list as the spans of their text', () => {
    fc.assert(
      fc.property(fc.array(jsonText, { maxLength: 5 }), (texts) => {
        const array = `[${texts.join(',')}]`;
        const batch = scanBatch(array, 10);
        expect([batch.isArray, batch.count]).toEqual([true, texts.length]);
        expect(batch.items.map(({ text, from, to }) => text.slice(from, to))).toEqual(texts.map((text) => text.trim()));
        const frame = scanObjectWithList(`{"first":1,"items":${array},"more":[1,2]}`, 'items', 10);
        expect(frame.list?.items.map(({ text, from, to }) => text.slice(from, to))).toEqual(
          texts.map((text) => text.trim()),
        );
        expect(frame.members.map(({ name }) => name)).toEqual(['first', 'items', 'more']);
      }),
    );
    expect(scanBatch(' {"a":1} ', 10)).toMatchObject({
      isArray: false,
      count: 1,
      items: [{ kind: 'object', from: 1, to: 8 }],
    });
    expect(scanObjectWithList('{"items":{}}', 'items', 10).list).toBeUndefined();
  });

  it('finds a name that is given twice, however it is spelled and however many there are', () => {
    expect(scanValue(String.raw`{"a":1,"\u0061":2}`).fault).toEqual({ pointer: '/a', found: 'is given twice' });
    expect(scanValue('{"a/~b":1,"a/~b":2}').fault).toEqual({ pointer: '/a~1~0b', found: 'is given twice' });
    for (const count of [2, 15, 16, 17, 40]) {
      const names = Array.from({ length: count }, (_, i) => `"n${i}":0`);
      expect(scanValue(`{${names.join(',')}}`).fault).toBeUndefined();
      expect(scanValue(`{${[...names, '"n1":0'].join(',')}}`).fault).toMatchObject({ pointer: '/n1' });
    }
    expect(scanValue('{"a":{"b":1,"b":2}}').fault).toBeUndefined();
  });

  it('keeps no more members and items than its bound', () => {
    const { members, fault } = scanValue(`{${Array.from({ length: 5_000 }, (_, i) => `"n${i}":0`).join(',')}}`);
    expect([members.length, fault]).toEqual([
      MAX_MEMBERS,
      { pointer: '', found: `has more than ${MAX_MEMBERS} members` },
    ]);
    const { items, count } = scanBatch(`[${Array.from({ length: 5_000 }, () => 0).join(',')}]`, 10);
    expect([items.length, count]).toEqual([10, 5_000]);
  });

  it('passes any depth without recursion', () => {
    const levels = 500_000;
    expect(scanValue(`{"a":${'['.repeat(levels)}${']'.repeat(levels)}}`).members).toMatchObject([{ levels }]);
    expect(scans('['.repeat(levels))).toBe(false);
  });
});

/** Counted from the brackets outside of strings: values forget what was given under a name before. */
function levelsOf(text: string): number {
  let level = 0;
  let most = 0;
  for (const character of text.replaceAll(/"(?:[^"\\]|\\.)*"/g, '')) {
    if ('[{'.includes(character)) level += 1;
    if (']}'.includes(character)) level -= 1;
    most = Math.max(most, level);
  }
  return most;
}
