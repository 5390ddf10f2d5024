import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  JsonSyntaxError,
  MAX_MEMBERS,
  scanBatch,
  scanObjectWithList,
  scanValue,
  stringAt,
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
