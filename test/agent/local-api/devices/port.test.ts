// When the port for devices is open, and what keeps it closed.
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:https';
import { createServer as createPlain, type AddressInfo } from 'node:net';
import { connect, type TLSSocket } from 'node:tls';
import { afterEach, beforeAll, expect, it } from 'vitest';
import type { DeviceMaterial } from '../../../../agent/local-api/devices/certificate.ts';
import { DevicePort } from '../../../../agent/local-api/devices/port.ts';
import { openAuthority, type Authority } from '../../../../central/pki/authority/authority.ts';
import { chainPem, privateKeyPem } from '../../../../central/pki/x509/certificate.ts';
import { memoryStore } from '../../../central/fakes.ts';

let authority: Authority;
beforeAll(async () => {
  authority = await openAuthority({ keyMaterial: memoryStore().keyMaterial, central: 'c', now: Date.now });
});

const ends: (() => unknown)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

async function material(name = 'hub'): Promise<DeviceMaterial> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const certificate = await authority.issueServer({ subject: 'CN=x', names: [name], publicKey, lifetimeDays: 1 });
  return { key: privateKeyPem(privateKey), chain: chainPem([certificate]), certificate };
}

async function freePort(): Promise<number> {
  const server = createPlain().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function setUp(port: number, first?: DeviceMaterial) {
  let found = first;
  let settings = { port, address: '127.0.0.1' };
  let now = Date.now();
  let authorities: string | undefined;
  const devices = new DevicePort({
    settings: () => settings,
    certificate: { material: () => found, fault: () => undefined },
    authorities: () => authorities,
    create: (tls) => createServer(tls, (_request, response) => response.end('ok')),
    now: () => now,
  });
  ends.push(() => devices.stop());
  return {
    devices,
    show: (next: DeviceMaterial) => void (found = next),
    use: (next: number, address = '127.0.0.1') => void (settings = { port: next, address }),
    accept: (pem: string | undefined) => void (authorities = pem),
    pass: (ms: number) => void (now += ms),
  };
}

async function dial(port: number, servername = 'hub'): Promise<TLSSocket> {
  const socket = connect({ host: '127.0.0.1', port, servername, ca: authority.pem });
  ends.push(() => socket.destroy());
  await once(socket, 'secureConnect');
  return socket;
}

async function ask(socket: TLSSocket): Promise<string> {
  socket.write('GET / HTTP/1.1\r\nHost: hub\r\n\r\n');
  const [data] = (await once(socket, 'data')) as [Buffer];
  return data.toString().split('\r\n', 1)[0] ?? '';
}

it('is off with port 0, closed without a certificate and with one that has expired, and says why', async () => {
  const port = await freePort();
  const { devices, show, use, pass } = setUp(0);
  await devices.reconcile();
  expect([devices.status(), devices.fault()]).toEqual([null, undefined]);
  use(port);
  await devices.reconcile();
  expect(devices.status()).toEqual({
    port,
    address: '127.0.0.1',
    state: 'closed',
    names: [],
    notAfter: null,
    clientCertificates: false,
    connectionCount: 0,
  });
  expect(devices.fault()).toMatchObject({
    code: 'device_certificate_missing',
    hint: expect.stringContaining('online'),
  });
  show(await material());
  await devices.reconcile();
  expect([devices.status(), devices.fault()]).toMatchObject([{ state: 'open', names: ['hub'] }, undefined]);
  const before = await dial(port);
  pass(2 * 86_400_000);
  await devices.reconcile();
  expect(devices.status()).toMatchObject({ state: 'closed' });
  expect(devices.fault()).toMatchObject({ code: 'device_certificate_expired' });
  await expect(dial(port)).rejects.toThrow('ECONNREFUSED');
  expect(await ask(before)).toBe('HTTP/1.1 200 OK');
});

it('shows another certificate to new connections, and moves, without ending one', async () => {
  const [port, other] = [await freePort(), await freePort()];
  const { devices, show, use } = setUp(port, await material());
  await devices.reconcile();
  const first = await dial(port);
  show(await material('till'));
  await devices.reconcile();
  const second = await dial(port, 'till');
  use(other);
  await devices.reconcile();
  const third = await dial(other, 'till');
  await expect(dial(port, 'till')).rejects.toThrow('ECONNREFUSED');
  expect(await Promise.all([first, second, third].map(ask))).toEqual(
    Array.from({ length: 3 }, () => 'HTTP/1.1 200 OK'),
  );
  use(0);
  const closed = Promise.all([first, second, third].map((one) => once(one, 'close')));
  await devices.reconcile();
  await closed;
});

it('stays where it is while its next port is taken or its next address is not of this host', async () => {
  const port = await freePort();
  const { devices, use } = setUp(port, await material());
  await devices.reconcile();
  const taken = createPlain().listen(0, '127.0.0.1');
  ends.push(() => taken.close());
  await once(taken, 'listening');
  use((taken.address() as AddressInfo).port);
  await devices.reconcile();
  expect(devices.fault()).toMatchObject({ code: 'device_port_taken' });
  expect(devices.status()).toMatchObject({ state: 'closed' });
  expect(await ask(await dial(port))).toBe('HTTP/1.1 200 OK');
  use(await freePort(), '192.0.2.1');
  await devices.reconcile();
  expect(devices.fault()).toMatchObject({ code: 'device_port_refused' });
  use(port);
  await devices.reconcile();
  expect(devices.fault()).toBeUndefined();
});

it('requests certificates of devices while there are authorities for them, without ending a connection', async () => {
  const port = await freePort();
  const { devices, accept } = setUp(port, await material());
  await devices.reconcile();
  const first = await dial(port);
  accept(authority.pem);
  await devices.reconcile();
  expect(devices.status()).toMatchObject({ state: 'open', clientCertificates: true });
  await dial(port);
  expect(await ask(first)).toBe('HTTP/1.1 200 OK');
  accept(undefined);
  await devices.reconcile();
  expect(devices.status()).toMatchObject({ state: 'open', clientCertificates: false });
  expect(await ask(await dial(port))).toBe('HTTP/1.1 200 OK');
});
