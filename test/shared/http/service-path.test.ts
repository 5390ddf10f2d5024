// Which targets and header fields of a call to a service pass.
import { describe, expect, test } from 'vitest';
import { endToEnd, isBelow, pathOf, readFields, targetFault } from '../../../shared/http/service-path.ts';

describe('a request target', () => {
  test.each(['/', '/a/b', '/a/b/', '/a.b/..c/d..', '/a?x=%2e%2e//..&y=%00', '/%C3%A4', '/a%20b', '/a;b=1', '/100%25'])(
    'passes as %s',
    (target) => {
      expect(targetFault(target)).toBeUndefined();
    },
  );

  test('refuses what two programs could read differently', () => {
    const refused = [
      '',
      '*',
      'a',
      'http://other/a',
      '/a#b',
      '/a b',
      '/\u00e4',
      '//a',
      '/a//b',
      '/a/%2f',
      '/%2fa',
      '/.',
      '/./a',
      '/..',
      '/a/..',
      '/a/../b',
      '/a/%2e%2e/b',
      '/a/.%2e/b',
      '/a/%2E/b',
      '/a/..%2fb',
      '/a/..;x/b',
      '/a/%2e%2e;x/b',
      '/a\\b',
      '/a/%5c',
      '/a/%0a',
      '/a/%7f',
      '/a/%00',
      '/a%',
      '/a%2',
      '/a%zz',
      '/%252e%252e/a',
      '/%252fa',
      '/%2500',
      '/%c0%ae%c0%ae/a',
      '/%e0%80%ae/a',
      '/%f0%80%80%ae/a',
      `/${'a'.repeat(9_000)}`,
    ];
    expect(refused.filter((target) => targetFault(target) === undefined)).toEqual([]);
  });

  test('is refused in linear time', () => {
    const started = performance.now();
    for (const piece of ['/.', '%2e', '..;', '%25', '/..;/'])
      targetFault(`/${piece.repeat(Math.floor(8_000 / piece.length))}`);
    expect(performance.now() - started).toBeLessThan(500);
  });

  test('belongs to a path of the profile as a whole, and below it', () => {
    const paths = ['/jobs/', '/big'];
    expect(['/jobs/', '/jobs/a', '/big', '/big/x'].every((path) => isBelow(path, paths))).toBe(true);
    expect(['/', '/jobs', '/jobsx', '/bigger', '/%6aobs/a'].some((path) => isBelow(path, paths))).toBe(false);
    expect(pathOf('/big?x=/jobs/')).toBe('/big');
  });
});

describe('header fields', () => {
  test('of one connection do not pass, nor those that Connection names', () => {
    const fields = [
      ['Connection', 'close, X-Hop'],
      ['connection', 'Other'],
      ['X-Hop', '1'],
      ['Other', '1'],
      ['TE', 'trailers'],
      ['Transfer-Encoding', 'chunked'],
      ['Upgrade', 'websocket'],
      ['Proxy-Authorization', 'x'],
      ['Keep', '1'],
      ['Keep', '2'],
    ] as const;
    expect(endToEnd(fields)).toEqual([
      ['Keep', '1'],
      ['Keep', '2'],
    ]);
  });

  test('that came over a stream are names and values, or refused', () => {
    expect(readFields([['A-b', 'c \u00e4']])).toEqual([['A-b', 'c \u00e4']]);
    const refused = [
      null,
      'a',
      {},
      [['a']],
      [['a', 1]],
      [['a', 'b', 'c']],
      [['a b', 'c']],
      [['', 'c']],
      [['a', 'b\r\nc: d']],
      [['a', 'b\n']],
      [['a', '\u20ac']],
      Array.from({ length: 257 }, () => ['a', 'b']),
    ];
    expect(refused.filter((fields) => readFields(fields) !== undefined)).toEqual([]);
  });
});
