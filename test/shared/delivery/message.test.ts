import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  faultText,
  MAX_DATA_LEVELS,
  readItem,
  readMessage,
  readProduced,
  tombstoneJson,
  withAgent,
} from '../../../shared/delivery/message.ts';
import { scanBatch, scanValue } from '../../../shared/wire/json-text.ts';
import { jsonText } from '../wire/json-arbitraries.ts';

const MAX = 1_000;
const NOW = new Date('2026-11-22T10:00:00Z');
const DEFAULTS = { source: '/agents/branch', now: NOW };
const event = { specversion: '1.0', id: '1', source: '/s', type: 't' };

/** An event with more members, given as JSON text. */
function eventText(members: string): string {
  return `{"specversion":"1.0","id":"1","source":"/s","type":"t"${members === '' ? '' : `,${members}`}}`;
}

function read(text: string, maxBytes = MAX) {
  return readMessage(scanValue(text), maxBytes);
}

function produce(text: string) {
  return readProduced(scanValue(text), DEFAULTS, 1_000_000);
}

/** The place of what is wrong; undefined for a message. */
function placeOf(text: string): string | undefined {
  const message = read(text, 1_000_000);
  return 'pointer' in message ? message.pointer : undefined;
}

const ODD = String.raw`{ "visitId" : 9007199254740993,"amount":1e400,"x":-0,"y":1.10,"z":"\u00e9\/","a":1,"a":2,"half":"\ud800"}`;

describe('the text of a message', () => {
  it('is the text that its producer wrote, white space, order and spelling included', () => {
    const text = ` { "data" : ${ODD} ,\n\t"type":"\\u0074" ,"source":"/s","id":"1","specversion":"1.0"} `;
    expect(read(text)).toMatchObject({ id: '1', source: '/s', type: 't', json: text.trim(), expiresAt: null });
    expect(readItem(scanValue(text), MAX)).toMatchObject({ kind: 'message', message: { json: text.trim() } });
  });

  it('is kept for any valid JSON in data', () => {
    fc.assert(
      fc.property(jsonText, (data) => {
        const text = eventText(`"data":${data}`);
        expect(read(text, 10_000_000)).toMatchObject({ json: text });
        expect(produce(text)).toMatchObject({ json: expect.stringContaining(text.slice(1)) });
      }),
    );
  });

  it('gets what the producer left out, in front, and nothing else is touched', () => {
    const completed = produce(`{ "type":"t","source":"/mine","data":${ODD}}`);
    expect(completed).toMatchObject({
      source: '/mine',
      json: expect.stringMatching(
        /^\{"specversion":"1\.0","id":"[0-9a-f-]{36}","time":"2026-11-22T10:00:00\.000Z", "type":"t","source":"\/mine","data":/,
      ),
    });
    expect(completed).toMatchObject({ json: expect.stringContaining(ODD) });
    expect(produce('{"type":"t"}')).toMatchObject({ source: '/agents/branch' });
    const whole = eventText('"time":"2026-11-22T09:00:00Z"');
    expect(produce(whole)).toMatchObject({ json: whole });
  });

  it('has no name twice when what the producer left out is there as null', () => {
    const completed = produce('{"id":null,"type":"t", "source" : null ,"specversion":null,"time":null,"subject":null}');
    expect(completed).toMatchObject({ source: '/agents/branch' });
    const { json } = completed as { json: string };
    expect(scanValue(json).fault).toBeUndefined();
    expect(JSON.parse(json)).toEqual({
      specversion: '1.0',
      id: expect.stringMatching(/^[0-9a-f-]{36}$/),
      source: '/agents/branch',
      time: NOW.toISOString(),
      type: 't',
      subject: null,
    });
    expect(json).toContain('"source" : "/agents/branch" ,');
    expect(read(json)).not.toHaveProperty('pointer');
  });

  it('is its own part of a batch, completed or not, and what is around it is not touched', () => {
    const texts = [
      eventText('"time":"2026-11-22T09:00:00Z"'),
      '{"type":"t","source":"/mine","id":null,"time" : null ,"specversion":"1.0"}',
      '{"type":"t"}',
    ];
    const { items } = scanBatch(`[ ${texts.join(' , ')} ]`, 3);
    const jsons = items.map((item) => (readProduced(item, DEFAULTS, MAX) as { json: string }).json);
    expect(jsons[0]).toBe(texts[0]);
    expect(jsons[1]).toMatch(
      /^\{"type":"t","source":"\/mine","id":"[0-9a-f-]{36}","time" : "2026-11-22T10:00:00\.000Z" ,"specversion":"1\.0"\}$/,
    );
    expect(JSON.parse(jsons[2] ?? '')).toMatchObject({ type: 't', source: '/agents/branch' });
  });

  it('says in the batch form which agent sent it, and is otherwise the same', () => {
    expect(withAgent(eventText(`"data":${ODD}`), 'a"1')).toBe(
      `{"queuegateagent":"a\\"1",${eventText(`"data":${ODD}`).slice(1)}`,
    );
  });
});

describe('an event is refused with the place', () => {
  it.each<[string, string, string]>([
    ['another version', '{"specversion":"0.3","id":"1","source":"/s","type":"t"}', '/specversion'],
    ['no id', '{"specversion":"1.0","source":"/s","type":"t"}', ''],
    ['an id that is null', '{"specversion":"1.0","id":null,"source":"/s","type":"t"}', ''],
    ['an empty id', '{"specversion":"1.0","id":"","source":"/s","type":"t"}', '/id'],
    ['an id that is a number', '{"specversion":"1.0","id":7,"source":"/s","type":"t"}', '/id'],
    ['an id that is too long', `{"specversion":"1.0","id":"${'x'.repeat(256)}","source":"/s","type":"t"}`, '/id'],
    [
      'half a surrogate pair in an id',
      String.raw`{"specversion":"1.0","id":"a\ud800","source":"/s","type":"t"}`,
      '/id',
    ],
    ['an empty type', '{"specversion":"1.0","id":"1","source":"/s","type":""}', '/type'],
    ['a blank in the source', '{"specversion":"1.0","id":"1","source":"/a b","type":"t"}', '/source'],
    ['an empty source', '{"specversion":"1.0","id":"1","source":"","type":"t"}', '/source'],
    ['a name twice', eventText('"id":"2"'), '/id'],
    ['a name twice, once spelled with an escape', eventText(String.raw`"\u0069d":"2"`), '/id'],
    ['an extension twice', eventText('"branch":1,"branch":1'), '/branch'],
    ['data twice', eventText('"data":1,"data":1'), '/data'],
    ['data in both forms', eventText('"data":1,"data_base64":"AA=="'), '/data_base64'],
    ['a name in capitals', eventText('"Branch":"12"'), '/Branch'],
    ['a name with half a surrogate pair', eventText(String.raw`"\ud800":1`), '/\ud800'],
    ['a name with a slash', eventText('"a/b":1'), '/a~1b'],
    ['the name of a prototype', eventText('"__proto__":{}'), '/__proto__'],
    ['an extension that is an object', eventText('"branch":{"number":12}'), '/branch'],
    ['an extension that is an array', eventText('"branch":[]'), '/branch'],
    ['an extension with a fraction', eventText('"n":1.5'), '/n'],
    ['an extension of 1.0, which is not an integer in the JSON format', eventText('"n":1.0'), '/n'],
    ['an extension with an exponent', eventText('"n":1e2'), '/n'],
    ['an extension of 2^31', eventText('"n":2147483648'), '/n'],
    ['an extension below -2^31', eventText('"n":-2147483649'), '/n'],
    ['an extension with a noncharacter', eventText(String.raw`"branch":"\uffff"`), '/branch'],
    ['a control character', eventText(String.raw`"subject":"a\u0000"`), '/subject'],
    ['a control character of C1', eventText('"subject":"a\u0085"'), '/subject'],
    ['an empty subject', eventText('"subject":""'), '/subject'],
    ['a time that is none', eventText('"time":"yesterday"'), '/time'],
    ['a day that does not exist', eventText('"expirytime":"2027-02-29T10:00:00Z"'), '/expirytime'],
    ['a content type that is none', eventText('"datacontenttype":"json"'), '/datacontenttype'],
    ['a relative schema', eventText('"dataschema":"/schemas/a"'), '/dataschema'],
    ['base64 that is none', eventText('"data_base64":"!!!"'), '/data_base64'],
    ['base64 without padding', eventText('"data_base64":"AA"'), '/data_base64'],
    ['base64 of the URL alphabet', eventText('"data_base64":"-_-_"'), '/data_base64'],
    ['base64 that is a number', eventText('"data_base64":12'), '/data_base64'],
    ['the extension that Central alone sets', eventText('"queuegateagent":"a"'), '/queuegateagent'],
    ['that extension as null', eventText('"queuegateagent":null'), '/queuegateagent'],
    ['hundreds of members', eventText(Array.from({ length: 300 }, (_, i) => `"a${i}":1`).join(',')), ''],
    ['an array', '[]', ''],
    ['null', 'null', ''],
    ['a text', '"event"', ''],
  ])('%s', (_, text, place) => {
    expect(placeOf(text)).toBe(place);
    expect(readItem(scanValue(text), MAX)).toMatchObject({
      kind: 'rejected',
      json: text.slice(0, 4096),
      reason: expect.any(String),
    });
  });

  it.each([
    ['every type of extension', '"a":true,"b":false,"c":-2147483648,"d":2147483647,"e":"","f":-0,"g":null'],
    [
      'optional attributes that are null',
      '"subject":null,"time":null,"datacontenttype":null,"dataschema":null,"expirytime":null,"data_base64":null,"data":1',
    ],
    ['a payload that is null', '"data":null'],
    [
      'optional attributes',
      '"subject":"ä b","datacontenttype":"application/json; charset=\\"utf-8\\"","dataschema":"https://example.com/a.json#/b","time":"2026-11-22t10:00:00.123456789+05:30"',
    ],
    ['binary data', '"data_base64":"AAECAw=="'],
    ['binary data with an escape', String.raw`"data_base64":"\/\/8="`],
    ['a long name', `"${'a'.repeat(30)}":1`],
    ['an extension named tombstone', '"tombstone":"x"'],
  ])('but not for %s', (_, members) => {
    expect(read(eventText(members))).toMatchObject({ json: eventText(members) });
    expect(readItem(scanValue(eventText(members)), MAX)).toMatchObject({ kind: 'message' });
  });
});

describe('a fault says what was found and what is allowed', () => {
  const long = 'x'.repeat(70);
  it.each([
    ['[]', 'the message is an array; allowed: a JSON object'],
    ['"x"', 'the message is a string; allowed: a JSON object'],
    ['null', 'the message is null; allowed: a JSON object'],
    ['7', 'the message is a number; allowed: a JSON object'],
    ['{"specversion":"1.0","id":"1","source":"/s"}', 'the message has no member "type"'],
    ['{"specversion":"1.0","source":"/s","type":"t"}', 'the message has no member "id"'],
    ['{"specversion":"0.3","id":"1","source":"/s","type":"t"}', '/specversion is "0.3"; allowed: "1.0"'],
    ['{"specversion":"1.0","id":"","source":"/s","type":"t"}', '/id is ""; allowed: a string of 1 to 255 characters'],
    [eventText('"subject":""'), '/subject is ""; allowed: a string of 1 to 1024 characters'],
    [eventText('"time":"now"'), '/time is "now"; allowed: a time of RFC 3339 such as 2026-11-22T10:00:00Z'],
    [
      eventText(`"expirytime":"${long}"`),
      '/expirytime is a string of 70 characters; allowed: a time of RFC 3339 such as 2026-11-22T10:00:00Z',
    ],
    [
      eventText('"datacontenttype":"json"'),
      '/datacontenttype is "json"; allowed: a media type (RFC 2046) such as application/json',
    ],
    [eventText('"dataschema":"/x"'), '/dataschema is "/x"; allowed: an absolute URI (RFC 3986)'],
    [
      '{"specversion":"1.0","id":"1","source":"a b","type":"t"}',
      '/source is "a b"; allowed: a URI reference (RFC 3986) of 1 to 1024 characters',
    ],
    [eventText('"subject":true'), '/subject is true; allowed: a string of 1 to 1024 characters'],
    [eventText('"subject":{}'), '/subject is an object; allowed: a string of 1 to 1024 characters'],
    [eventText('"queuegateagent":"x"'), '/queuegateagent is set by Central alone; leave it out'],
    [eventText('"Big":1'), '/Big is not an attribute name; allowed: lower-case letters and digits'],
    [
      eventText('"ext":1.5'),
      '/ext is 1.5; allowed: a string, true, false or a whole number from -2147483648 to 2147483647',
    ],
    [
      eventText('"ext":[]'),
      '/ext is an array; allowed: a string, true, false or a whole number from -2147483648 to 2147483647',
    ],
    [
      eventText(String.raw`"ext":"\u0000"`),
      '/ext holds a control character, half of a surrogate pair or a noncharacter',
    ],
    [eventText(`"data":${'['.repeat(61)}${']'.repeat(61)}`), '/data is nested more than 60 levels deep'],
    [eventText('"data_base64":7'), '/data_base64 is a number; allowed: a string in base64'],
    [
      eventText('"data_base64":"a"'),
      '/data_base64 is not base64; allowed: RFC 4648 section 4, with padding and without line breaks',
    ],
    [
      eventText('"data":1,"data_base64":"QQ=="'),
      '/data_base64 is given together with the other form of data; allowed: data or data_base64',
    ],
  ])('%s', (text, fault) => {
    const found = read(text, 1_000_000);
    expect('pointer' in found ? faultText(found) : found).toBe(fault);
  });

  it('shows no more than 64 characters of what was found', () => {
    const found = read(eventText(`"datacontenttype":"${long}"`), 1_000_000);
    expect(found).toMatchObject({ found: expect.stringContaining(`is "${'x'.repeat(64)}"; `) });
  });

  it('says that an event has expired, and since when', () => {
    const found = produce(eventText('"expirytime":"2026-11-22T09:00:00Z"'));
    expect('pointer' in found && faultText(found)).toBe('/expirytime is 2026-11-22T09:00:00Z, which has passed');
    // Another fault of the same event is that fault.
    expect(produce('[]')).toMatchObject({ kind: 'invalid', pointer: '' });
  });

  it('takes as much binary data as its bound, which it names', () => {
    const base64 = (length: number): string => eventText(`"data_base64":"${'A'.repeat(length)}"`);
    expect(read(base64(1024 * 1024 - 4), 2_000_000)).toMatchObject({ id: '1' });
    const tooLong = read(base64(1024 * 1024), 2_000_000);
    expect('pointer' in tooLong && faultText(tooLong)).toBe(
      '/data_base64 has 1048578 characters; allowed: at most 1048576',
    );
  });

  it('takes attributes up to their length', () => {
    for (const [name, most] of [
      ['subject', 1_024],
      ['type', 255],
    ] as const) {
      const event = (length: number): string =>
        JSON.stringify({ specversion: '1.0', id: '1', source: '/s', type: 't', [name]: 'x'.repeat(length) });
      expect(placeOf(event(most)), name).toBeUndefined();
      expect(placeOf(event(most + 1)), name).toBe(`/${name}`);
    }
  });

  it('says by how much a message is too long', () => {
    expect(read(eventText(''), 10)).toMatchObject({ pointer: '', found: 'has 55 bytes; allowed: at most 10' });
  });

  it('takes whole numbers of 32 bits for extensions, and no others', () => {
    for (const number of ['0', '-0', '2147483647', '-2147483648'])
      expect(placeOf(eventText(`"ext":${number}`)), number).toBeUndefined();
    for (const number of ['2147483648', '-2147483649', '1e3', '1.0', '10000000000'])
      expect(placeOf(eventText(`"ext":${number}`)), number).toBe('/ext');
  });
});

it('the hash of a payload stays what it was: stores keep it', () => {
  const hashOf = (members: string): unknown => {
    const message = read(eventText(members));
    return 'dataHash' in message ? message.dataHash : undefined;
  };
  expect([hashOf(''), hashOf('"data":{"a":1}'), hashOf('"data":null'), hashOf('"data_base64":"QQ=="')]).toEqual([
    0, 186154740633, 15961873913341, 16367559167276,
  ]);
});

describe('readMessage', () => {
  it('reads when a message expires', () => {
    expect(read(eventText('"expirytime":"2026-11-22T10:00:00+01:00"'))).toMatchObject({
      expiresAt: Date.parse('2026-11-22T09:00:00Z'),
    });
  });

  it('refuses what has expired where it is produced, and takes it from a peer', () => {
    const text = eventText('"expirytime":"2026-11-22T10:00:00Z"');
    expect(produce(text)).toEqual({ kind: 'expired', pointer: '/expirytime', found: '2026-11-22T10:00:00Z' });
    expect(produce(eventText('"expirytime":"2026-11-22T10:00:00.001Z"'))).toMatchObject({ id: '1' });
    expect(read(text)).toMatchObject({ id: '1' });
  });

  it('takes data of as many levels as every reader of JSON takes, and not one more', () => {
    const deep = (levels: number): string => eventText(`"data":${'['.repeat(levels)}${']'.repeat(levels)}`);
    expect(read(deep(MAX_DATA_LEVELS))).toMatchObject({ id: '1' });
    const deeper = read(deep(MAX_DATA_LEVELS + 1));
    expect('pointer' in deeper && faultText(deeper)).toBe('/data is nested more than 60 levels deep');
    expect(placeOf(deep(400_000))).toBe('/data');
  });

  it('counts bytes, not characters', () => {
    const text = eventText(`"data":"${'ü'.repeat(100)}"`);
    const bytes = Buffer.byteLength(text);
    expect(read(text, bytes)).toMatchObject({ id: '1' });
    expect(read(text, bytes - 1)).toMatchObject({ found: expect.stringContaining(`${bytes} bytes`) });
  });

  it('tells data apart by its text: absent, null, another spelling, and base64 are four payloads', () => {
    const hashes = ['', '"data":null', '"data":1', '"data":1.0', '"data":"AA=="', '"data_base64":"AA=="'].map(
      (members) => (read(eventText(members)) as { dataHash: number }).dataHash,
    );
    expect(new Set(hashes).size).toBe(hashes.length);
    expect(hashes.every((hash) => Number.isSafeInteger(hash) && hash < 2 ** 47)).toBe(true);
    expect(read(eventText('"data":1,"subject":"other"'))).toMatchObject({ dataHash: hashes[2] });
  });
});

describe('readItem', () => {
  it('tells messages, tombstones and anything else apart, and names what it can', () => {
    expect(readItem(scanValue(eventText('')), MAX)).toMatchObject({ kind: 'message', message: { id: '1' } });
    expect(readItem(scanValue(tombstoneJson('1', '/s', 'expired')), MAX)).toEqual({
      kind: 'tombstone',
      id: '1',
      source: '/s',
      reason: 'expired',
    });
    expect(readItem(scanValue(JSON.stringify({ ...event, type: 7 })), MAX)).toMatchObject({
      kind: 'rejected',
      id: '1',
      reason: expect.stringContaining('/type'),
    });
    expect(readItem(scanValue('null'), MAX)).toMatchObject({ kind: 'rejected', id: '(none)', json: 'null' });
  });

  it('keeps of a bad item an excerpt of its own text, cut between two characters', () => {
    const text = `{"a":"${'é😀'.repeat(2000)}"}`;
    const item = readItem(scanValue(text), MAX);
    expect(item.kind).toBe('rejected');
    const { json } = item as { json: string };
    expect(Buffer.byteLength(json)).toBeGreaterThan(4090);
    expect(Buffer.byteLength(json)).toBeLessThanOrEqual(4096);
    expect(text.startsWith(json)).toBe(true);
  });

  it('keeps of a bad item of a batch no text of its neighbors', () => {
    const { items } = scanBatch(`[${eventText('')},{"a":1},${eventText('')}]`, 3);
    expect(items.map((item) => readItem(item, MAX))[1]).toMatchObject({ kind: 'rejected', json: '{"a":1}' });
    const long = `{"a":"${'x'.repeat(5_000)}"}`;
    const [, item] = scanBatch(`[1,${long},2]`, 3).items;
    expect(readItem(item!, MAX)).toMatchObject({ json: long.slice(0, 4_096) });
    const full = `{"a":"${'x'.repeat(4_096 - 8)}"}`;
    expect(readItem(scanValue(full), MAX)).toMatchObject({ json: full });
  });

  it('takes for a tombstone what has an id and a reason and is not an event, and bounds what it keeps', () => {
    const [id, source, reason] = ['i', 's', 'r'].map((letter) => letter.repeat(2_000));
    expect(readItem(scanValue(JSON.stringify({ tombstone: reason, id, source })), MAX)).toEqual({
      kind: 'tombstone',
      id: 'i'.repeat(255),
      source: 's'.repeat(1_024),
      reason: 'r'.repeat(255),
    });
    expect(readItem(scanValue(JSON.stringify({ type: 7, id })), MAX)).toMatchObject({
      id: 'i'.repeat(255),
      source: '',
    });
    for (const item of [
      { tombstone: 'expired' },
      { tombstone: 7, id: '1' },
      { id: '1', source: '/s' },
      { specversion: '1.0', tombstone: 'x', id: '1', source: '/s' },
    ])
      expect(readItem(scanValue(JSON.stringify(item)), MAX).kind, JSON.stringify(item)).toBe('rejected');
    expect(readItem(scanValue('{"tombstone":"x","id":""}'), MAX)).toMatchObject({ kind: 'tombstone', id: '' });
    expect(readItem(scanValue('{"id":"","type":"t"}'), MAX)).toMatchObject({ kind: 'rejected', id: '(none)' });
  });

  it('never throws, whatever the JSON', () => {
    fc.assert(
      fc.property(jsonText, (text) => {
        expect(['message', 'tombstone', 'rejected']).toContain(readItem(scanValue(text), MAX).kind);
      }),
    );
  });
});
