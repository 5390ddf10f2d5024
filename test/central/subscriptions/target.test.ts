// Where Central sends events: a subscription does not reach into its network.
import { describe, expect, test } from 'vitest';
import { sendBatch } from '../../../central/subscriptions/sender.ts';
import {
  assertAuthorities,
  guardedLookup,
  isAllowedTarget,
  readTarget,
} from '../../../central/subscriptions/target.ts';
import { start, startReceiver } from './scene.ts';

const PRIVATE = [
  '0.0.0.0',
  '10.1.2.3',
  '100.64.0.1',
  '127.0.0.1',
  '127.9.9.9',
  '169.254.169.254',
  '172.16.0.1',
  '172.31.255.255',
  '192.0.0.8',
  '192.168.1.1',
  '198.18.0.1',
  '224.0.0.1',
  '255.255.255.255',
  '::',
  '::1',
  '::ffff:10.0.0.1',
  '::ffff:127.0.0.1',
  '64:ff9b::a00:1',
  '100::1',
  '2001::1',
  '2001:db8::1',
  '2002:a00:1::1',
  'fc00::1',
  'fd12:3456::1',
  'fe80::1',
  'ff02::1',
];
const PUBLIC = ['1.1.1.1', '8.8.8.8', '172.32.0.1', '192.169.0.1', '2606:4700::1111', '2a00:1450:4001::1'];

describe('an address', () => {
  test.each(PRIVATE)('%s is refused unless it is allowed', (address) => {
    expect(isAllowedTarget(address, [], false)).toBe(false);
    const own = address.replace('::ffff:', '');
    expect(isAllowedTarget(address, [own], false)).toBe(true);
  });

  test.each(PUBLIC)('%s is public', (address) => {
    expect(isAllowedTarget(address, [], false)).toBe(true);
    // Not without TLS.
    expect(isAllowedTarget(address, [address], true)).toBe(false);
  });

  test('of this host may be used without TLS where it is allowed', () => {
    expect(isAllowedTarget('127.0.0.1', ['127.0.0.0/8'], true)).toBe(true);
    expect(isAllowedTarget('::1', ['::1'], true)).toBe(true);
    expect(isAllowedTarget('10.0.0.1', ['10.0.0.0/8'], true)).toBe(false);
    expect(isAllowedTarget('127.0.0.1', [], true)).toBe(false);
  });
});

describe('a target', () => {
  test.each([
    'https://tickets.example.com/hook?x=1',
    'https://[2606:4700::1111]:8443/',
    'https://1.1.1.1/',
    'HTTPS://Tickets.Example.COM',
  ])('%s is taken', (url) => {
    expect(readTarget(url, []).protocol).toBe('https:');
  });

  test.each([
    ['not a url', 'it is not a URL'],
    ['ftp://example.com/', 'the scheme is ftp:'],
    ['file:///etc/passwd', 'the scheme is file:'],
    ['http://example.com/', 'http is for receivers on this host only'],
    ['https://user:secret@example.com/', 'a user name or a password'],
    ['https://example.com/#x', 'a fragment'],
    ['https://127.0.0.1/', 'the address 127.0.0.1 is not allowed'],
    // Other forms of the same address.
    ['https://2130706433/', 'the address 127.0.0.1 is not allowed'],
    ['https://0x7f.1/', 'the address 127.0.0.1 is not allowed'],
    ['https://[::ffff:127.0.0.1]/', 'is not allowed'],
    ['https://169.254.169.254/latest/meta-data/', 'is not allowed'],
    [`https://example.com/${'x'.repeat(2100)}`, 'characters, at most 2048'],
  ])('%s is refused', (url, found) => {
    expect(() => readTarget(url, [])).toThrow(
      expect.objectContaining({ code: 'subscription_target_invalid', status: 422 }),
    );
    expect(() => readTarget(url, [])).toThrow(found);
  });
});

test('authorities are certificates in PEM', () => {
  for (const pem of ['', 'x', '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'])
    expect(() => assertAuthorities(pem)).toThrow(expect.objectContaining({ code: 'subscription_ca_invalid' }));
});

describe('a name', () => {
  const resolve = (host: string, allowed: readonly string[]): Promise<unknown> =>
    new Promise((done) =>
      guardedLookup(() => allowed, false)(host, { all: true }, (error, found) => done(error ?? found)),
    );

  test('that leads to an address of this network is refused when it is looked up', async () => {
    expect(await resolve('localhost', [])).toMatchObject({ code: 'webhook_address_denied' });
    expect(await resolve('localhost', ['127.0.0.1'])).toEqual([{ address: '127.0.0.1', family: 4 }]);
  });

  test('gets no connection, and one that was taken before a rule changed gets none either', async () => {
    const receiver = await startReceiver();
    const scene = await start();
    await scene.create(receiver.url);
    scene.parameters.allowed = [];
    await scene.append('a1', [{ id: '1' }]);
    const send = async (target: string) =>
      await sendBatch({
        subscription: { target, ca: null },
        body: '[]',
        headers: {},
        allowed: () => [],
        signal: new AbortController().signal,
      });
    for (const target of [receiver.url, receiver.url.replace('localhost', '127.0.0.1')])
      expect((await send(target)).failure).toMatchObject({ code: 'webhook_address_denied' });
    expect(receiver.requests).toEqual([]);
  });
});
