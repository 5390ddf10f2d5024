// What the doctor says about the port for devices, without a running agent; with one: test/flow/device-ports.test.ts.
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { examineDevicePort } from '../../../agent/doctor/device-port.ts';
import type { StepReport } from '../../../agent/doctor/step.ts';
import { openAuthority, type Authority } from '../../../central/pki/authority/authority.ts';
import { chainPem, privateKeyPem } from '../../../central/pki/x509/certificate.ts';
import { memoryStore } from '../../central/fakes.ts';

let authority: Authority;
let folder: string;
let taken: ReturnType<typeof createServer>;
beforeAll(async () => {
  authority = await openAuthority({ keyMaterial: memoryStore().keyMaterial, central: 'c', now: Date.now });
  folder = await mkdtemp(join(tmpdir(), 'queuegate-doctor-'));
  taken = createServer().listen(0, '127.0.0.1');
  await once(taken, 'listening');
});
afterAll(async () => {
  taken.close();
  await rm(folder, { recursive: true });
});

async function writeCertificate(...names: string[]): Promise<void> {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const certificate = await authority.issueServer({ subject: 'CN=x', names, publicKey, lifetimeDays: 1 });
  await writeFile(join(folder, 'device-port.pem'), `${privateKeyPem(privateKey)}\n${chainPem([certificate])}`);
}

interface Setting {
  readonly port?: number;
  readonly address?: string;
  readonly names?: readonly string[];
  readonly clientCa?: string;
  readonly certificates?: readonly string[];
  readonly daysLater?: number;
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

async function examine(setting: Setting = {}): Promise<StepReport & { ok: boolean; text: string }> {
  const { port = await freePort(), address = '127.0.0.1', names = ['hub.test'], clientCa, daysLater = 0 } = setting;
  const consumer = { name: 'tills', types: ['t'], group: undefined, certificates: setting.certificates ?? [] };
  const conf = {
    dataFolder: folder,
    consumers: [consumer],
    localApi: {
      port: 0,
      socket: '',
      group: undefined,
      consumersFolder: '',
      tlsPort: port,
      tlsAddress: address,
      tlsNames: names,
      tlsClientCa: clientCa,
    },
  };
  const known: Readonly<Record<string, readonly string[]>> = { 'hub.test': ['127.0.0.1'], 'far.test': ['192.0.2.1'] };
  const walk = examineDevicePort(conf, {
    timeoutMs: 1_000,
    now: () => new Date(Date.now() + daysLater * 86_400_000),
    lookup: async (name) => known[name] ?? Promise.reject(new Error('ENOTFOUND')),
  });
  const first = await walk.next();
  if (first.done === true) throw new Error('no report');
  const last = await walk.next();
  return { ...first.value, ok: last.value === true, text: first.value.found.join('\n') };
}

it('is free, has a certificate for its names, and is at their addresses', async () => {
  await writeCertificate('hub.test');
  const port = await freePort();
  const found = await examine({ port });
  expect(found).toMatchObject({ step: 'device port', outcome: 'ok', ok: true });
  expect(found.text).toMatch(
    new RegExp(`^port ${port} at 127.0.0.1: free; the agent opens it when it runs\ncertificate for hub.test until 20`),
  );
});

it('warns of a certificate that is missing, damaged or for other names, and of names at other addresses', async () => {
  await writeCertificate('hub.test');
  const found = await examine({ names: ['hub.test', 'far.test', 'lost.test', '192.0.2.7'] });
  expect(found).toMatchObject({ outcome: 'warning', ok: true });
  expect(found.text).toMatch('warning: the certificate is not for far.test, lost.test, 192.0.2.7');
  expect(found.text).toMatch('warning: far.test is at 192.0.2.1: the port listens at 127.0.0.1');
  expect(found.text).toMatch('warning: the name lost.test cannot be resolved here');
  expect(found.text).toMatch('warning: 192.0.2.7 is at 192.0.2.7: the port listens at');
  await writeFile(join(folder, 'device-port.pem'), 'x');
  expect((await examine()).text).toMatch('warning: its certificate cannot be read');
  await rm(join(folder, 'device-port.pem'));
  expect((await examine()).text).toMatch('warning: there is no certificate yet');
});

it('finds a port that is taken, an address of another host, a certificate that has expired', async () => {
  await writeCertificate('hub.test');
  const { port } = taken.address() as AddressInfo;
  expect(await examine({ port })).toMatchObject({ outcome: 'fault', ok: false, fault: { code: 'device_port_taken' } });
  expect(await examine({ address: '192.0.2.1' })).toMatchObject({ fault: { code: 'device_port_refused' } });
  expect(await examine({ daysLater: 2 })).toMatchObject({ ok: false, fault: { code: 'device_certificate_expired' } });
});

it('says whose client certificates are accepted, and why none is', async () => {
  await writeCertificate('hub.test');
  const clientCa = join(folder, 'ca.pem');
  expect(await examine({ clientCa })).toMatchObject({ outcome: 'fault', ok: false });
  await writeFile(clientCa, 'x');
  expect(await examine({ clientCa })).toMatchObject({ fault: { code: 'device_client_ca_bad' } });
  await writeFile(clientCa, authority.pem);
  expect((await examine({ clientCa })).text).toMatch('warning: no client certificate is accepted');
  const { text, outcome } = await examine({ clientCa, certificates: ['till-1.test'] });
  expect([text, outcome]).toEqual([expect.stringMatching(/of one authority in .*\nconsumers with .*: tills$/), 'ok']);
});
