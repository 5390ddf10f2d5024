import { describe, expect, it } from 'vitest';
import { readProxyHeader } from '../../../../central/listeners/accept/proxy-header.ts';

const SIGNATURE = '0d0a0d0a000d0a515549540a';
const header = (rest: string): Buffer => Buffer.from(SIGNATURE + rest, 'hex');
const TCP4 = header('2111000cc00002097f00000104d223be');
const TCP6 = header('2121002420010db80000000000000000000000010000000000000000000000000000000104d223be');

describe('a PROXY protocol header of version 2', () => {
  it('names the source of a connection over TCP and IPv4 or IPv6, extensions are skipped', () => {
    expect(readProxyHeader(TCP4)).toEqual({ kind: 'present', bytes: 28, source: '192.0.2.9' });
    expect(readProxyHeader(Buffer.concat([TCP4, Buffer.from('GET / HTTP/1.1')]))).toEqual({
      kind: 'present',
      bytes: 28,
      source: '192.0.2.9',
    });
    expect(readProxyHeader(TCP6)).toEqual({ kind: 'present', bytes: 52, source: '2001:db8::1' });
    expect(readProxyHeader(header('21110010c00002097f00000104d223be04000100'))).toEqual({
      kind: 'present',
      bytes: 32,
      source: '192.0.2.9',
    });
  });

  it('of a balancer that speaks for itself (LOCAL) names no source', () => {
    expect(readProxyHeader(header('20000000'))).toEqual({ kind: 'present', bytes: 16 });
    expect(readProxyHeader(header('2011000c7f0000017f00000104d223be'))).toEqual({ kind: 'present', bytes: 28 });
  });

  it('may come in pieces of any size', () => {
    for (const whole of [TCP4, TCP6])
      for (let length = 1; length < whole.length; length += 1)
        // From its signature on it can be nothing else.
        expect(readProxyHeader(whole.subarray(0, length))).toEqual({ kind: 'incomplete', isHeader: length >= 12 });
    expect(readProxyHeader(Buffer.from('PROX'))).toEqual({ kind: 'incomplete', isHeader: false });
  });

  it.each([
    ['another version', '3111000c'],
    ['version 1 in binary', '1111000c'],
    ['an unknown command', '2211000c'],
    ['UDP', '2112000c'],
    ['a Unix socket', '213100d8'],
    ['no family', '21000000'],
    ['too few bytes for IPv4', '2111000b'],
    ['too few bytes for IPv6', '21210023'],
    ['a header of 64 KiB', '2111ffff'],
    ['LOCAL of 64 KiB', '2000ffff'],
  ])('with %s is malformed, and that is known before its addresses have come', (_title, fixed) => {
    expect(readProxyHeader(header(fixed)).kind).toBe('malformed');
  });

  it('is not mistaken for HTTP, TLS or version 1, nor these for it', () => {
    for (const text of [
      'GET / HTTP/1.1\r\n',
      'POST /enroll',
      'PUT /',
      'PROPFIND / HTTP/1.1',
      '\r\nGET /',
      '\u0016\u0003\u0001',
    ])
      expect(readProxyHeader(Buffer.from(text, 'latin1'))).toEqual({ kind: 'absent' });
    for (const text of ['PROXY TCP4 192.0.2.9 192.0.2.1 1234 443\r\n', 'PROXY UNKNOWN\r\n', 'PROXY '])
      expect(readProxyHeader(Buffer.from(text, 'latin1'))).toEqual({ kind: 'version1' });
    expect(readProxyHeader(Buffer.alloc(0))).toEqual({ kind: 'absent' });
  });
});
