// Which names a certificate of a port for devices may have.
import { expect, it } from 'vitest';
import { deviceNames } from '../../../../central/agents/devices/names.ts';

const CENTRAL = ['central.bank', '*.central.bank', '10.0.0.1', '2001:db8::1'];

it('are host names and addresses, in one form and each once', () => {
  expect(deviceNames(['Hub.branch', 'hub.branch', '10.1.2.3', '2001:DB8:0::2', 'a.b.central.bank'], CENTRAL)).toEqual([
    'hub.branch',
    '10.1.2.3',
    '2001:db8::2',
    'a.b.central.bank',
  ]);
});

it.each(['*.branch', 'hub_1', '-hub', 'hub.', '300.1.1.1', 'fe80::1%eth0', 'a b', '[::1]', 'hub:8989', 'h\0b'])(
  'are not %j',
  (name) => {
    expect(() => deviceNames([name], [])).toThrow(expect.objectContaining({ code: 'device_name_bad' }));
  },
);

it('are at least one', () => {
  expect(() => deviceNames([], [])).toThrow(expect.objectContaining({ code: 'device_name_bad' }));
});

it.each(['central.bank', 'CENTRAL.bank', 'any.central.bank', '10.0.0.1', '2001:db8:0:0::1'])(
  'are never a name of Central, such as %s',
  (name) => {
    expect(() => deviceNames(['hub', name], CENTRAL)).toThrow(expect.objectContaining({ code: 'device_name_taken' }));
  },
);
