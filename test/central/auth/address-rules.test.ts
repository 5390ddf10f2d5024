import { describe, expect, it } from 'vitest';
import { addressBlock, AddressSet, isLoopback, originOf, transportRefusal } from '../../../central/auth/address-rules.ts';

describe('isLoopback', () => {
  it('knows 127.0.0.0/8, ::1 and their mapped forms, and nothing else', () => {
    for (const address of ['127.0.0.1', '127.1.2.3', '::1', '::ffff:127.0.0.1', '::FFFF:127.9.9.9']) expect(isLoopback(address)).toBe(true);
    for (const address of ['128.0.0.1', '192.0.2.1', '::ffff:192.0.2.1', '::', 'fe80::1%eth0', '', 'localhost', '127.0.0.1.example']) expect(isLoopback(address)).toBe(false);
  });
});

describe('addressBlock', () => {
  it('is an IPv4 address itself, mapped or not, and the /64 of an IPv6 address, however it is written', () => {
    for (const address of ['192.0.2.9', '::ffff:192.0.2.9']) expect(addressBlock(address)).toBe('192.0.2.9');
    for (const address of ['2001:db8::1', '2001:0db8:0:0:1:2:3:4', '2001:DB8::ffff', '2001:db8:0:0:ffff::%eth0']) expect(addressBlock(address)).toBe('2001:db8:0:0::/64');
    expect(addressBlock('2001:db8:0:1::1')).toBe('2001:db8:0:1::/64');
    expect(addressBlock('64:ff9b::192.0.2.1')).toBe('64:ff9b:0:0::/64');
    expect(addressBlock('::1')).toBe('0:0:0:0::/64');
    expect(addressBlock('')).toBe('');
  });
});

describe('originOf', () => {
  const proxies = new AddressSet(['10.0.0.0/8', '2001:db8::1']);

  it('never believes forwarding headers of somebody who is no named proxy', () => {
    expect(originOf('::ffff:192.0.2.9', 'plain', { 'x-forwarded-for': '127.0.0.1', 'x-forwarded-proto': 'https' }, proxies)).toEqual({ address: '192.0.2.9', peer: '192.0.2.9', proxied: false, scheme: 'ws' });
  });

  it('takes the last entry of X-Forwarded-For from a named proxy, which that proxy added itself', () => {
    expect(originOf('10.1.1.1', 'plain', { 'x-forwarded-for': '127.0.0.1, 192.0.2.9', 'x-forwarded-proto': 'https' }, proxies)).toEqual({ address: '192.0.2.9', peer: '10.1.1.1', proxied: true, scheme: 'wss' });
  });

  it('counts a session through a proxy as secure only if the proxy says https', () => {
    expect(originOf('10.1.1.1', 'plain', { 'x-forwarded-proto': 'http' }, proxies).scheme).toBe('ws');
    expect(originOf('10.1.1.1', 'plain', {}, proxies).scheme).toBe('ws');
    expect(originOf('2001:db8::1', 'secure', { 'x-forwarded-proto': 'http' }, proxies).scheme).toBe('ws');
  });

  it('keeps the proxy\'s own address when it forwards none that is one', () => {
    expect(originOf('10.1.1.1', 'plain', { 'x-forwarded-for': 'unknown' }, proxies).address).toBe('10.1.1.1');
  });
});

describe('transportRefusal', () => {
  const off = { 'websocket.enabled': false, 'websocket.secure.enabled': true };
  const code = (...rest: Parameters<typeof transportRefusal>): unknown => (transportRefusal(...rest) as { code?: string } | undefined)?.code;
  const direct = (address: string) => ({ address, peer: address, scheme: 'ws' as const });

  it('lets loopback use the plain listener while unencrypted is off, and nobody else', () => {
    expect(code(off, 'plain', direct('127.0.0.1'))).toBeUndefined();
    expect(code(off, 'plain', direct('192.0.2.1'))).toBe('unencrypted_off');
    expect(code({ ...off, 'websocket.enabled': true }, 'plain', direct('192.0.2.1'))).toBeUndefined();
  });

  it('sees through a forwarder on this host: what it brings unencrypted from elsewhere may not stay', () => {
    expect(code(off, 'plain', { address: '192.0.2.1', peer: '127.0.0.1', scheme: 'ws' })).toBe('unencrypted_off');
    expect(code(off, 'plain', { address: '192.0.2.1', peer: '127.0.0.1', scheme: 'wss' })).toBeUndefined();
    expect(code(off, 'plain', { address: '192.0.2.1', peer: '10.0.0.1', scheme: 'wss' })).toBe('unencrypted_off');
  });

  it('refuses the secure listener once it is switched off', () => {
    expect(code({ ...off, 'websocket.secure.enabled': false }, 'secure', { ...direct('192.0.2.1'), scheme: 'wss' })).toBe('secure_off');
  });
});
