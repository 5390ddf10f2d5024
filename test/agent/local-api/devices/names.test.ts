// What the certificate of the port for devices is for when no names are configured.
import { expect, it } from 'vitest';
import { wantedNames } from '../../../../agent/local-api/devices/names.ts';

const address = (text: string, internal = false) => ({ address: text, internal }) as never;
const host = (name: string) => ({
  hostname: () => name,
  networkInterfaces: () => ({
    lo: [address('127.0.0.1', true)],
    eth0: [address('10.1.2.3'), address('fe80::1'), address('2001:db8::3')],
  }),
});

it('are the configured ones alone', () => {
  expect(wantedNames(['hub.branch'], '', host('pc'))).toEqual(['hub.branch']);
});

it('are the host name and the addresses, without loopback and link-local ones', () => {
  expect(wantedNames([], '', host('PC-1'))).toEqual(['pc-1', '10.1.2.3', '2001:db8::3']);
});

it('are the host name and the one address on which it listens', () => {
  expect(wantedNames([], '10.1.2.3', host('pc-1'))).toEqual(['pc-1', '10.1.2.3']);
});

it.each(['localhost', 'my_pc', ''])('do not have %j, which no certificate may have', (name) => {
  expect(wantedNames([], '10.1.2.3', host(name))).toEqual(['10.1.2.3']);
});
