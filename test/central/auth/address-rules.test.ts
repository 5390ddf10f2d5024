import { describe, expect, it } from 'vitest';
import {
  addressBlock,
  isLoopback,
  isUnknown,
  listenerRefusal,
  originOf,
  transportRefusal,
} from '../../../central/auth/address-rules.ts';
import { AddressAccess, AddressSet } from '../../../central/parameters/address-access.ts';
import { defaultValues } from '../../../central/parameters/definitions.ts';

describe('isLoopback', () => {
  it('knows 127.0.0.0/8, ::1 and their mapped forms, and nothing else', () => {
    for (const address of ['127.0.0.1', '127.1.2.3', '::1', '::ffff:127.0.0.1', '::FFFF:127.9.9.9'])
      expect(isLoopback(address)).toBe(true);
    for (const address of [
      '128.0.0.1',
      '192.0.2.1',
      '::ffff:192.0.2.1',
      '::',
      'fe80::1%eth0',
      '',
      'localhost',
      '127.0.0.1.example',
    ])
      expect(isLoopback(address)).toBe(false);
  });
});

describe('addressBlock', () => {
  it('is an IPv4 address itself, mapped or not, and the /64 of an IPv6 address, however it is written', () => {
    for (const address of ['192.0.2.9', '::ffff:192.0.2.9']) expect(addressBlock(address)).toBe('192.0.2.9');
    for (const address of ['2001:db8::1', '2001:0db8:0:0:1:2:3:4', '2001:DB8::ffff', '2001:db8:0:0:ffff::%eth0'])
      expect(addressBlock(address)).toBe('2001:db8:0:0::/64');
    expect(addressBlock('2001:db8:0:1::1')).toBe('2001:db8:0:1::/64');
    expect(addressBlock('64:ff9b::192.0.2.1')).toBe('64:ff9b:0:0::/64');
    expect(addressBlock('::1')).toBe('0:0:0:0::/64');
    expect(addressBlock('')).toBe('');
  });
});

describe('originOf', () => {
  const proxies = new AddressSet(['10.0.0.0/8', '2001:db8::1']);

  it('never believes forwarding headers of a peer that is not a named proxy', () => {
    expect(
      originOf('::ffff:192.0.2.9', 'ws', { 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'https' }, proxies),
    ).toEqual({ address: '192.0.2.9', peer: '192.0.2.9', proxied: false, scheme: 'ws' });
  });

  it('takes the last entry of X-Forwarded-For from a named proxy, which that proxy added itself', () => {
    expect(
      originOf('10.1.1.1', 'ws', { 'x-forwarded-for': '127.0.0.1, 192.0.2.9', 'x-forwarded-proto': 'https' }, proxies),
    ).toEqual({ address: '192.0.2.9', peer: '10.1.1.1', proxied: true, scheme: 'wss' });
  });

  it('counts a session through a proxy as secure only if the proxy says https', () => {
    expect(originOf('10.1.1.1', 'ws', { 'x-forwarded-proto': 'http' }, proxies).scheme).toBe('ws');
    expect(originOf('10.1.1.1', 'ws', {}, proxies).scheme).toBe('ws');
    expect(originOf('2001:db8::1', 'wss', { 'x-forwarded-proto': 'http' }, proxies).scheme).toBe('ws');
  });

  it('without a bare address in X-Forwarded-For the origin is unknown, remote, and encrypted only if the proxy says so', () => {
    const here = new AddressSet(['127.0.0.1', '::1']);
    const unreadable = [
      undefined,
      '',
      ' ',
      ',',
      '127.0.0.1,',
      'unknown',
      '_hidden',
      '127.0.0.1:5555',
      '[::1]',
      '[::1]:443',
      '"127.0.0.1"',
      'localhost',
      '127.1',
      '0x7f.0.0.1',
      '127.0.0.1 192.0.2.1',
      'for=127.0.0.1',
      '::1]',
      '127.0.0.1;',
    ];
    for (const text of unreadable) {
      for (const listener of ['ws', 'wss'] as const) {
        const headers = {
          ...(text === undefined ? {} : { 'x-forwarded-for': text }),
          forwarded: 'for=127.0.0.1;proto=https',
        };
        const origin = originOf('127.0.0.1', listener, headers, here);
        expect(origin).toEqual({
          address: 'unknown (behind 127.0.0.1)',
          peer: '127.0.0.1',
          proxied: true,
          scheme: 'ws',
        });
        expect([isLoopback(origin.address), isUnknown(origin.address)]).toEqual([false, true]);
        expect(originOf('127.0.0.1', listener, { ...headers, 'x-forwarded-proto': 'https' }, here).scheme).toBe('wss');
        expect(
          (
            transportRefusal({ 'websocket.enabled': false, 'websocket.secure.enabled': true }, listener, origin) as {
              code?: string;
            }
          ).code,
        ).toBe('ws_disabled');
      }
    }
    expect(originOf('::1', 'ws', {}, here).address).not.toBe(originOf('127.0.0.1', 'ws', {}, here).address);
  });

  it('takes no X-Forwarded-Proto for secure that does not say https or wss', () => {
    for (const proto of ['', 'https,', 'http', 'ssl', 'https;q=1', 'on', 'https http', '"https"', 'https, http']) {
      for (const listener of ['ws', 'wss'] as const)
        expect(
          originOf('10.1.1.1', listener, { 'x-forwarded-for': '192.0.2.9', 'x-forwarded-proto': proto }, proxies)
            .scheme,
        ).toBe('ws');
    }
  });

  it('takes "loopback" that a proxy on another host forwards for that host, not for this one', () => {
    expect(isUnknown(originOf('10.1.1.1', 'ws', { 'x-forwarded-for': '127.0.0.1' }, proxies).address)).toBe(true);
    expect(isUnknown(originOf('10.1.1.1', 'ws', {}, proxies, '::1').address)).toBe(true);
    expect(originOf('127.0.0.1', 'ws', { 'x-forwarded-for': '127.0.0.1' }, new AddressSet(['127.0.0.1'])).address).toBe(
      '127.0.0.1',
    );
  });

  it('an address that the PROXY protocol announced is the peer: headers count only if it is a named proxy, too', () => {
    const headers = { 'x-forwarded-for': '198.51.100.7', 'x-forwarded-proto': 'https' };
    expect(originOf('10.1.1.1', 'ws', headers, proxies, '192.0.2.9')).toEqual({
      address: '192.0.2.9',
      peer: '10.1.1.1',
      proxied: true,
      scheme: 'ws',
    });
    expect(originOf('10.1.1.1', 'wss', headers, proxies, '192.0.2.9')).toMatchObject({
      address: '192.0.2.9',
      scheme: 'wss',
    });
    expect(originOf('10.1.1.1', 'ws', headers, proxies, '10.2.2.2')).toMatchObject({
      address: '198.51.100.7',
      scheme: 'wss',
    });
    expect(originOf('10.1.1.1', 'ws', {}, proxies, '10.2.2.2')).toMatchObject({
      address: 'unknown (behind 10.2.2.2)',
      scheme: 'ws',
    });
    // Only a named proxy announces anything.
    expect(originOf('192.0.2.1', 'ws', headers, proxies, '192.0.2.9').address).toBe('192.0.2.1');
    // Between the two proxies the line is open although the last one is here.
    const both = new AddressSet(['10.0.0.0/8', '127.0.0.1']);
    expect(originOf('127.0.0.1', 'ws', headers, both, '10.2.2.2').peer).toBe('10.2.2.2');
  });
});

describe('transportRefusal', () => {
  const off = { 'websocket.enabled': false, 'websocket.secure.enabled': true };
  const code = (...rest: Parameters<typeof transportRefusal>): unknown =>
    (transportRefusal(...rest) as { code?: string } | undefined)?.code;
  const direct = (address: string) => ({ address, peer: address, scheme: 'ws' as const });

  it('lets loopback use the ws listener while unencrypted is off, and no one else', () => {
    expect(code(off, 'ws', direct('127.0.0.1'))).toBeUndefined();
    expect(code(off, 'ws', direct('192.0.2.1'))).toBe('ws_disabled');
    expect(code({ ...off, 'websocket.enabled': true }, 'ws', direct('192.0.2.1'))).toBeUndefined();
  });

  it('sees through a forwarder on this host: what it brings unencrypted from elsewhere may not stay', () => {
    expect(code(off, 'ws', { address: '192.0.2.1', peer: '127.0.0.1', scheme: 'ws' })).toBe('ws_disabled');
    expect(code(off, 'ws', { address: '192.0.2.1', peer: '127.0.0.1', scheme: 'wss' })).toBeUndefined();
    expect(code(off, 'ws', { address: '192.0.2.1', peer: '10.0.0.1', scheme: 'wss' })).toBe('ws_disabled');
  });

  it('refuses the wss listener once it is switched off', () => {
    expect(code({ ...off, 'websocket.secure.enabled': false }, 'wss', { ...direct('192.0.2.1'), scheme: 'wss' })).toBe(
      'wss_disabled',
    );
  });
});

describe('listenerRefusal', () => {
  const on = { 'websocket.enabled': true, 'websocket.secure.enabled': true };
  const rules = new AddressAccess(() => ({
    ...defaultValues(),
    'access.wss.allow': ['192.0.2.0/24'],
    'access.ws.deny': ['198.51.100.0/24'],
  }));
  const code = (listener: 'ws' | 'wss', address: string, peer = address): unknown =>
    (listenerRefusal(on, rules, listener, { address, peer, scheme: listener }) as { code?: string } | undefined)?.code;

  it('applies the rules of the listener to the origin of the agent, not to the proxy', () => {
    expect(code('wss', '192.0.2.7')).toBeUndefined();
    expect(code('wss', '203.0.113.7')).toBe('address_denied');
    expect(code('ws', '203.0.113.7')).toBeUndefined();
    expect(code('ws', '198.51.100.7', '127.0.0.1')).toBe('address_denied');
    expect(code('wss', '192.0.2.7', '203.0.113.1')).toBeUndefined();
    expect(code('wss', 'unknown (behind 192.0.2.7)', '192.0.2.7')).toBe('address_denied');
  });

  it('always admits this host, and no proxy on another host that claims to be it', () => {
    expect(code('wss', '127.0.0.1')).toBeUndefined();
    expect(code('wss', '::1', '127.0.0.1')).toBeUndefined();
    expect(code('wss', '127.0.0.1', '203.0.113.1')).toBe('address_denied');
  });

  it('says first that the transport is off', () => {
    const off = { ...on, 'websocket.secure.enabled': false };
    const origin = { address: '203.0.113.7', peer: '203.0.113.7', scheme: 'wss' } as const;
    expect(listenerRefusal(off, rules, 'wss', origin)).toMatchObject({ code: 'wss_disabled' });
  });
});
