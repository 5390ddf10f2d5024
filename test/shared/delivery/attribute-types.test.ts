import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { isBase64, isMediaType, isUri, isUriReference, timestampMs } from '../../../shared/delivery/attribute-types.ts';

describe('a URI reference', () => {
  it.each([
    'https://github.com/cloudevents',
    'mailto:cncf-wg-serverless@lists.cncf.io',
    'urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66',
    '/cloudevents/spec/pull/123',
    '1-555-123-4567',
    'a',
    '.',
    '?q',
    '#f',
    '//host',
    '//',
    '/a//b',
    'http://user:pw@host.example:8080/a;b=c?d=%C3%A9/?#/e?',
    'http://[2001:db8::1]:80/',
    'http://[::ffff:192.0.2.1]',
    'http://[v1.a:b]/',
    'file:///etc/hosts',
    'a:b:c',
    './a:b',
    "/~!$&'()*+,;=:@",
    'http://host:/',
  ])('may be %s', (text) => expect(isUriReference(text)).toBe(true));

  it.each([
    '',
    ' ',
    '/a b',
    '/a\tb',
    'a\n',
    '/%',
    '/%4',
    '/%zz',
    '1a:b',
    ':a',
    '-a:b',
    '/a#b#c',
    '/[a]',
    '/a?[',
    'http://[::1',
    'http://[::1]x',
    'http://[fe80::1%25eth0]/',
    'http://[1.2.3.4]/',
    'http://host:80a/',
    'http://a@b@c/',
    'http://ho st/',
    '/Zürich',
    '/a|b',
    '/a\\b',
    '/<a>',
    '/"a"',
    '/{a}',
    '/a^b',
    '/`',
    'http://[v.a]/',
  ])('is not %j', (text) => expect(isUriReference(text)).toBe(false));

  it('takes what the URL class writes', () => {
    fc.assert(
      fc.property(fc.webUrl({ withFragments: true, withQueryParameters: true }), (url) =>
        isUriReference(new URL(url).href.replaceAll(/[|^`{}\\[\]]/g, '')),
      ),
    );
    expect([isUri('https://a.example/b#c'), isUri('/b'), isUri('//a/b'), isUri('a'), isUri('')]).toEqual([
      true,
      false,
      false,
      false,
      false,
    ]);
  });
});

describe('a media type', () => {
  it.each([
    'application/json',
    'a/b',
    'application/cloudevents+json',
    'text/plain; charset=utf-8',
    'text/plain;charset="utf-8"',
    'a/b;c="x\\"y; z" ; d=e',
    'multipart/form-data;boundary=----x',
  ])('may be %s', (text) => expect(isMediaType(text)).toBe(true));
  it.each([
    '',
    'json',
    'a/',
    '/b',
    'a/b/c',
    'a /b',
    ' a/b',
    'a/b ',
    'a/b;',
    'a/b; c',
    'a/b; c=',
    'a/b;c="x',
    'a/b,c/d',
    'a/b;c=d e',
    'a/ü',
  ])('is not %j', (text) => expect(isMediaType(text)).toBe(false));
});

describe('base64', () => {
  it('is what Buffer writes, and nothing else', () => {
    fc.assert(fc.property(fc.uint8Array(), (bytes) => isBase64(Buffer.from(bytes).toString('base64'))));
    for (const text of [
      '!!!',
      'AA',
      'AA=',
      'AAA',
      'A===',
      'AB==',
      'AAB=',
      '-_-_',
      'AA==\n',
      'AAAA AAA',
      'AA==AA==',
      '====',
    ])
      expect(isBase64(text), text).toBe(false);
  });
});

describe('a time stamp', () => {
  it.each([
    ['2026-11-22T10:00:00Z', '2026-11-22T10:00:00.000Z'],
    ['2026-11-22t10:00:00.5z', '2026-11-22T10:00:00.500Z'],
    ['2026-11-22T10:00:00.123456789-00:30', '2026-11-22T10:30:00.123Z'],
    ['2026-11-22T00:00:00+23:59', '2026-11-21T00:01:00.000Z'],
    ['2028-02-29T00:00:00Z', '2028-02-29T00:00:00.000Z'],
    ['2000-02-29T00:00:00Z', '2000-02-29T00:00:00.000Z'],
    ['0000-01-01T00:00:00Z', '0000-01-01T00:00:00.000Z'],
    ['0099-12-31T23:59:59Z', '0099-12-31T23:59:59.000Z'],
    ['9999-12-31T23:59:59Z', '9999-12-31T23:59:59.000Z'],
    ['2016-12-31T23:59:60Z', '2017-01-01T00:00:00.000Z'],
    ['2016-12-31T18:59:60-05:00', '2017-01-01T00:00:00.000Z'],
  ])('%s is %s', (text, iso) => expect(new Date(timestampMs(text) ?? NaN).toISOString()).toBe(iso));

  it.each([
    '',
    '2026-11-22',
    '2026-11-22 10:00:00Z',
    '2026-11-22T10:00:00',
    '2026-11-22T10:00Z',
    '2026-13-01T00:00:00Z',
    '2026-00-01T00:00:00Z',
    '2026-11-00T00:00:00Z',
    '2026-11-31T00:00:00Z',
    '2027-02-29T00:00:00Z',
    '1900-02-29T00:00:00Z',
    '2026-11-22T24:00:00Z',
    '2026-11-22T10:60:00Z',
    '2026-11-22T10:00:61Z',
    '2026-11-22T10:00:60Z',
    '2016-12-31T23:59:60+01:00',
    '2026-11-22T10:00:00.Z',
    '2026-11-22T10:00:00+24:00',
    '2026-11-22T10:00:00+00:60',
    '2026-11-22T10:00:00+0100',
    '２026-11-22T10:00:00Z',
    '+12026-11-22T10:00:00Z',
    ' 2026-11-22T10:00:00Z',
    '2026-11-22T10:00:00Z\n',
  ])('is not %j', (text) => expect(timestampMs(text)).toBeUndefined());
});
