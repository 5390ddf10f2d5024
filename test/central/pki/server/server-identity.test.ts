import { connect, createServer } from 'node:tls';
import { once } from 'node:events';
import { expect, test } from 'vitest';
import { CENTRAL } from '../../../../central/audit.ts';
import { openAuthority } from '../../../../central/pki/authority/authority.ts';
import { openServerIdentity, type ServerCertificateSpec } from '../../../../central/pki/server/server-identity.ts';
import { memoryStore } from '../../fakes.ts';
import { openssl, temporaryFolder } from '../folder.ts';

const spec: ServerCertificateSpec = {
  names: ['central.test'],
  subjectAlternativeNames: ['Gate.Bank.Example', '10.0.0.9', 'FD00:0:0::1'],
  distinguishedName: '',
  lifetimeDays: 365,
};

async function setUp(now: () => number = Date.now) {
  const store = memoryStore();
  const authority = await openAuthority({ keyMaterial: store.keyMaterial, central: 'central.test', now });
  const open = async () => await openServerIdentity({ keyMaterial: store.keyMaterial, authority, now });
  return { store, authority, identity: await open(), open };
}

test('the first certificate covers every name of its specification and this host, and a TLS client accepts it', async () => {
  const { authority, identity } = await setUp();
  const staged = await identity.stage(spec);
  expect(staged.names).toEqual([
    'central.test',
    'gate.bank.example',
    '10.0.0.9',
    'fd00::1',
    'localhost',
    '127.0.0.1',
    '::1',
  ]);
  const server = createServer({ key: staged.key, cert: staged.chain }, (socket) => socket.end('hello'));
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as { port: number };
  for (const servername of ['gate.bank.example', 'localhost']) {
    const socket = connect({ port, host: '127.0.0.1', servername, ca: authority.pem, minVersion: 'TLSv1.3' });
    await once(socket, 'secureConnect');
    expect(socket.authorized).toBe(true);
    // The root travels along, so that an enrolling agent finds the pinned key.
    expect(socket.getPeerX509Certificate()?.issuerCertificate?.fingerprint256).toBe(
      authority.certificate.fingerprint256,
    );
    socket.destroy();
  }
  const wrong = connect({ port, host: '127.0.0.1', servername: 'other.example', ca: authority.pem });
  const [error] = await once(wrong, 'error');
  expect(error).toMatchObject({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' });
  server.close();
});

test('openssl verifies the chain as it is sent', async () => {
  const folder = temporaryFolder();
  const { authority, identity } = await setUp();
  const staged = await identity.stage(spec);
  const ca = folder.write('root.pem', authority.pem);
  const pem = folder.write('chain.pem', staged.chain);
  expect(
    openssl(
      'verify',
      '-x509_strict',
      '-purpose',
      'sslserver',
      '-verify_hostname',
      'gate.bank.example',
      '-CAfile',
      ca,
      '-untrusted',
      pem,
      pem,
    ),
  ).toContain('OK');
});

test('staging writes nothing; adopting keeps the one before', async () => {
  const { store, identity, open } = await setUp();
  const first = await identity.stage(spec);
  expect(identity.current()).toBeUndefined();
  expect(store.keyMaterial.entries.has('server.key')).toBe(false);
  await identity.adopt(first, CENTRAL);
  const second = await identity.stage({ ...spec, distinguishedName: 'CN=gate, O=Bank' });
  await identity.adopt(second, CENTRAL);
  expect(store.keyMaterial.entries.get('server.previous.key')).toBe(first.key);
  expect(store.keyMaterial.entries.get('server.key')).toBe(second.key);
  const reopened = await open();
  expect(reopened.current()?.thumbprint).toBe(second.thumbprint);
});

test('the names of Central are those of the certificate that it shows and of the one before', async () => {
  const { identity } = await setUp();
  expect(identity.names()).toEqual([]);
  const named = (name: string): typeof spec => ({ ...spec, subjectAlternativeNames: [name] });
  await identity.adopt(await identity.stage(named('old.bank.example')), CENTRAL);
  await identity.adopt(await identity.stage(named('new.bank.example')), CENTRAL);
  expect(identity.names()).toEqual(expect.arrayContaining(['old.bank.example', 'new.bank.example']));
});

test('a certificate that fits is kept over a restart', async () => {
  const { identity, open } = await setUp();
  const first = await identity.stage(spec);
  await identity.adopt(first, CENTRAL);
  expect((await (await open()).stage(spec)).thumbprint).toBe(first.thumbprint);
});

test('going back to the old names brings the old certificate back', async () => {
  const { identity } = await setUp();
  const first = await identity.stage(spec);
  await identity.adopt(first, CENTRAL);
  await identity.adopt(await identity.stage({ ...spec, subjectAlternativeNames: [] }), CENTRAL);
  expect((await identity.stage(spec)).thumbprint).toBe(first.thumbprint);
});

test('a new name, a name taken away, another distinguished name and another authority each make a new certificate', async () => {
  const { identity, authority } = await setUp();
  const first = await identity.stage(spec);
  await identity.adopt(first, CENTRAL);
  for (const changed of [
    { names: ['central.test', 'new.test'] },
    { subjectAlternativeNames: ['10.0.0.9'] },
    { distinguishedName: 'CN=x' },
  ]) {
    expect((await identity.stage({ ...spec, ...changed })).thumbprint).not.toBe(first.thumbprint);
  }
  await authority.replace(await authority.makeRoot(), CENTRAL);
  const second = await identity.stage(spec);
  expect(second.thumbprint).not.toBe(first.thumbprint);
  expect(second.chain).toContain(authority.certificate.toString());
});

test('it is reissued when a third of its life is left', async () => {
  let now = Date.now();
  const { identity } = await setUp(() => now);
  const first = await identity.stage({ ...spec, lifetimeDays: 90 });
  await identity.adopt(first, CENTRAL);
  now += 59 * 86_400_000;
  expect((await identity.stage({ ...spec, lifetimeDays: 90 })).thumbprint).toBe(first.thumbprint);
  now += 2 * 86_400_000;
  expect((await identity.stage({ ...spec, lifetimeDays: 90 })).thumbprint).not.toBe(first.thumbprint);
});

test('a damaged key in the store is reported, and nothing is made in its place', async () => {
  const { store, identity, open } = await setUp();
  await identity.adopt(await identity.stage(spec), CENTRAL);
  store.keyMaterial.entries.set('server.key', 'nonsense');
  await expect(open()).rejects.toMatchObject({ code: 'key_material_damaged' });
  store.keyMaterial.entries.delete('server.key');
  await expect(open()).rejects.toMatchObject({ code: 'key_material_damaged' });
});
