import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { completeMessage, MAX_DATA_LEVELS, readItem, readMessage, tombstoneJson } from '../../../shared/delivery/message.ts';

const MAX = 1_000;
const event = { specversion: '1.0', id: '1', source: '/s', type: 't' };

describe('readMessage', () => {
  it('takes an event and keeps its text, unknown extensions included', () => {
    const value = { ...event, subject: 'x', branch: 12, vip: true, data: { a: [1, null] } };
    expect(readMessage(value, MAX)).toEqual({ id: '1', source: '/s', type: 't', json: JSON.stringify(value), expiresAt: null });
  });

  it('reads when nobody wants it any more', () => {
    expect(readMessage({ ...event, expirytime: '2026-11-22T10:00:00+01:00' }, MAX)).toMatchObject({ expiresAt: Date.parse('2026-11-22T09:00:00Z') });
  });

  it.each<[string, unknown]>([
    ['another version', { ...event, specversion: '0.3' }],
    ['no id', { ...event, id: undefined }],
    ['an empty id', { ...event, id: '' }],
    ['an id that is a number', { ...event, id: 7 }],
    ['an id that is too long', { ...event, id: 'x'.repeat(256) }],
    ['no source', { specversion: '1.0', id: '1', type: 't' }],
    ['an attribute in capitals', { ...event, Branch: '12' }],
    ['an attribute that is an object', { ...event, branch: { number: 12 } }],
    ['an attribute that is null', { ...event, branch: null }],
    ['data twice', { ...event, data: 1, data_base64: 'AA==' }],
    ['a time that is none', { ...event, time: 'yesterday' }],
    ['an expiry that does not exist', { ...event, expirytime: '2026-13-45T10:00:00Z' }],
    ['an id with half a surrogate pair', { ...event, id: 'a\ud800' }],
    ['a source with a control character', { ...event, source: '/s\u0000' }],
    ['an extension with a noncharacter', { ...event, branch: '\uffff' }],
    ['more bytes than allowed', { ...event, data: 'ü'.repeat(MAX / 2) }],
    ['an array', [event]],
    ['null', null],
    ['a text', 'event'],
  ])('refuses %s with a sentence', (_, value) => {
    expect(readMessage(value, MAX)).toEqual(expect.any(String));
  });

  it('does not fall over data that is nested deeply', () => {
    const data: unknown = JSON.parse('['.repeat(200_000) + ']'.repeat(200_000));
    expect(() => readMessage({ ...event, data }, 10_000_000)).not.toThrow();
    expect(readMessage({ ...event, data }, MAX)).toEqual(expect.any(String));
  });

  it('takes data of as many levels as every reader of JSON takes, and not one more', () => {
    const deep = (levels: number): unknown => JSON.parse('['.repeat(levels) + ']'.repeat(levels));
    expect(readMessage({ ...event, data: deep(MAX_DATA_LEVELS) }, MAX)).toMatchObject({ id: '1' });
    expect(readMessage({ ...event, data: deep(MAX_DATA_LEVELS + 1) }, MAX)).toBe('/data is nested more than 60 levels deep');
  });

  it('counts bytes, not characters', () => {
    const value = { ...event, data: 'ü' };
    const bytes = Buffer.byteLength(JSON.stringify(value));
    expect(readMessage(value, bytes)).toMatchObject({ id: '1' });
    expect(readMessage(value, bytes - 1)).toMatch(`${bytes} bytes`);
  });

  it('judges anything at all, and what it takes it takes again', () => {
    fc.assert(
      fc.property(fc.oneof(fc.anything(), fc.record({ specversion: fc.constant('1.0'), id: fc.string(), source: fc.string(), type: fc.string(), data: fc.jsonValue() })), (value) => {
        const message = readMessage(value, MAX);
        if (typeof message === 'string') return;
        expect(readMessage(JSON.parse(message.json), MAX)).toEqual(message);
      }),
    );
  });
});

describe('completeMessage', () => {
  it('fills in what a producer left out, and nothing that it said', () => {
    const now = new Date('2026-11-22T10:00:00Z');
    const completed = completeMessage({ type: 't', source: '/mine' }, '/agent', now);
    expect(completed).toEqual({ specversion: '1.0', id: expect.stringMatching(/^[0-9a-f-]{36}$/), source: '/mine', time: now.toISOString(), type: 't' });
    expect(completeMessage({ type: 't' }, '/agent', now)).toMatchObject({ source: '/agent' });
    expect(completeMessage('text', '/agent', now)).toBe('text');
  });
});

describe('readItem', () => {
  it('tells messages, tombstones and anything else apart, and names what it can', () => {
    expect(readItem(event, MAX)).toMatchObject({ kind: 'message', message: { id: '1' } });
    expect(readItem(JSON.parse(tombstoneJson('1', '/s', 'expired')), MAX)).toEqual({ kind: 'tombstone', id: '1', source: '/s', reason: 'expired' });
    expect(readItem({ ...event, type: 7 }, MAX)).toMatchObject({ kind: 'rejected', id: '1', reason: expect.stringContaining('/type') });
    expect(readItem(null, MAX)).toMatchObject({ kind: 'rejected', id: '(none)', json: 'null' });
  });

  it('never throws, and never keeps more of a bad item than an excerpt', () => {
    fc.assert(
      fc.property(fc.anything({ withBigInt: true, withNullPrototype: true }), (value) => {
        const item = readItem(value, MAX);
        expect(item.kind === 'rejected' ? item.json.length : 0).toBeLessThanOrEqual(4096);
      }),
    );
  });
});
