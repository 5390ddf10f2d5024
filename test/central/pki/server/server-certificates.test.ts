// Central's certificate by hand: files of openssl and keytool in every format, each fault named, swaps on a live TLS
// listener, and the rollback when agents do not come.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { describe, expect, onTestFinished, test } from 'vitest';
import { probeTls } from '../../../../agent/connection/tls-probe.ts';
import { CENTRAL, type Actor } from '../../../../central/audit.ts';
import { createTlsServer, swapCredentials } from '../../../../central/listeners/tls.ts';
import type { Changes } from '../../../../central/change/changes.ts';
import type { OnlineAgent } from '../../../../central/change/agents.ts';
import { trustBundle } from '../../../../central/pki/trust/trust-bundle.ts';
import { openAuthority } from '../../../../central/pki/authority/authority.ts';
import { defaultValues } from '../../../../central/parameters/definitions.ts';
import { liveCertificate } from '../../../../central/pki/server/live-certificate.ts';
import { thumbprintOf } from '../../../../central/pki/x509/certificate.ts';
import { ServerCertificates, type SwapRequest } from '../../../../central/pki/server/server-certificates.ts';
import { serverFaults } from '../../../../central/pki/server/validate.ts';
import { openServerIdentity, type ServerCertificateSpec } from '../../../../central/pki/server/server-identity.ts';
import { pinOfCredentials } from '../../../../central/pki/server/slots.ts';
import { pinOf } from '../../../../shared/wire/enrollment.ts';
import { makeChanges, memoryStore } from '../../fakes.ts';
import { keytool, makeBank, sameBank, type Bank } from './bank.ts';
import { openssl } from '../folder.ts';

const ADMIN: Actor = { who: 'ann', from: '10.0.0.1' };

async function setUp(wish: Partial<ServerCertificateSpec> = {}) {
  let offset = 0;
  const store = memoryStore();
  const clock = () => Date.now() + offset;
  const authority = await openAuthority({ keyMaterial: store.keyMaterial, central: 'central.test', now: clock });
  const open = async () => await openServerIdentity({ keyMaterial: store.keyMaterial, authority, now: clock });
  const identity = await open();
  const spec: ServerCertificateSpec = {
    names: ['central.test', 'host.local'],
    advertised: ['central.test'],
    subjectAlternativeNames: [],
    distinguishedName: '',
    lifetimeDays: 365,
    ...wish,
  };
  const first = await identity.fitting(spec);
  await identity.adopt(first, CENTRAL);
  const tls = createTlsServer(first, 5_000);
  tls.on('secureConnection', (socket) => socket.on('error', () => undefined).end('hello'));
  const tcp = createTcpServer((socket) => tls.emit('connection', socket));
  await once(tcp.listen(0, '127.0.0.1'), 'listening');
  onTestFinished(() => void tcp.close());
  const online: OnlineAgent[] = [];
  const timers: { at: number; run: () => void }[] = [];
  const asked: number[] = [];
  const trust = { certificates: store.certificates, authority };
  const changes = makeChanges(clock, (ms, run) => {
    const timer = { at: clock() + ms, run };
    timers.push(timer);
    return () => void timers.splice(timers.indexOf(timer), 1);
  });
  const certificates = new ServerCertificates({
    identity,
    authority,
    trust,
    agents: { online: async () => online },
    spec: () => spec,
    show: (credentials) => swapCredentials(tls, credentials),
    requestReconnect: (seconds) => void asked.push(seconds),
    look: () => identity.follow(),
    promote: async (generation, actor) => void (await authority.promote(generation, actor)),
    changes,
    log: { info() {} },
    now: clock,
  });
  /** What a client sees that connects now. */
  const shown = async (): Promise<{ thumbprint: string; length: number }> => {
    const { chain } = await probeTls(
      { secure: true, host: '127.0.0.1', port: (tcp.address() as AddressInfo).port },
      { timeoutMs: 10_000 },
    );
    return { thumbprint: chain[0] === undefined ? '' : thumbprintOf(chain[0]), length: chain.length };
  };
  const pass = async (ms: number): Promise<void> => {
    offset += ms;
    for (const { at, run } of timers) if (at <= clock()) run();
    await new Promise(setImmediate);
    await changes.runExclusive(async () => undefined);
  };
  return {
    store,
    authority,
    identity,
    open,
    certificates,
    changes,
    first,
    shown,
    online,
    asked,
    pass,
    timers,
    bundle: trustBundle(authority, identity),
    setNow: (at: number) => (offset = at - Date.now()),
  };
}

const agent = (name: string, since: number): OnlineAgent => ({
  agentId: name,
  name,
  listener: 'wss',
  transport: 'wss',
  address: '10.0.0.9',
  loopback: false,
  since,
});

async function faults(work: Promise<unknown>): Promise<string[]> {
  const error: unknown = await work.catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ code: 'server_certificate_unfit', status: 422 });
  return (error as { errors: { fault: string }[] }).errors.map(({ fault }) => fault).toSorted();
}

const pem = (bank: Bank, name = 'central'): Buffer => {
  const { key, certificate } = bank.issue(name);
  return Buffer.from(key + certificate + bank.intermediate.certificate + bank.root.certificate);
};

describe('a request for another authority', () => {
  test.each(['ec', 'rsa'] as const)(
    'with a key of kind %s: openssl reads it, and its answer is installed live, chain complete',
    async (kind) => {
      const bank = sameBank();
      const { certificates, shown, store, first } = await setUp({
        subjectAlternativeNames: ['10.9.8.7'],
        distinguishedName: 'CN=central.test, O=Bank, C=CH',
      });
      const csr = await certificates.request(kind, { ...ADMIN, ticket: 'T-7' });
      const text = openssl('req', '-in', bank.folder.write('central.csr', csr), '-noout', '-text', '-verify');
      expect(text).toMatch(/Subject: CN = central\.test, O = Bank, C = CH/);
      expect(text).toContain('DNS:central.test, IP Address:10.9.8.7');
      expect(text).toContain(kind === 'rsa' ? 'Public-Key: (3072 bit)' : 'NIST CURVE: P-256');
      expect(store.keyMaterial.entries.get('server.request.key')).toContain('PRIVATE KEY');
      const answer = bank.sign(csr);
      const report = await certificates.install(
        { name: 'answer.crt', bytes: Buffer.from(bank.root.certificate + answer + bank.intermediate.certificate) },
        {},
        ADMIN,
      );
      expect(report.notices).toEqual([{ code: 'chain_reordered', detail: 'The chain was put into order.' }]);
      expect(await shown()).toEqual({ thumbprint: thumbprintOf(new X509Certificate(answer)), length: 3 });
      expect(certificates.slots()).toMatchObject({
        current: { origin: 'signed' },
        previous: { thumbprint: first.thumbprint },
        request: undefined,
      });
      expect(store.keyMaterial.entries.has('server.request.key')).toBe(false);
      expect(store.audit.entries.map(({ action, who }) => `${action} ${who}`)).toContain(
        'server-certificate.install ann',
      );
    },
  );

  test('the answer of a Windows authority comes as PKCS#7', async () => {
    const bank = sameBank();
    const { certificates, shown } = await setUp();
    const answer = bank.sign(await certificates.request('ec', ADMIN));
    const file = bank.folder.path('answer.p7b');
    openssl(
      'crl2pkcs7',
      '-nocrl',
      '-certfile',
      bank.folder.write('all.pem', answer + bank.intermediate.certificate + bank.root.certificate),
      '-outform',
      'DER',
      '-out',
      file,
    );
    await certificates.install({ name: 'answer.p7b', bytes: readFileSync(file) }, {}, ADMIN);
    expect((await shown()).thumbprint).toBe(thumbprintOf(new X509Certificate(answer)));
  });

  test('the request lives over a restart; only the newest one is answered', async () => {
    const bank = sameBank();
    const { certificates, open } = await setUp();
    const all = bank.intermediate.certificate + bank.root.certificate;
    await expect(certificates.install({ name: 'a', bytes: Buffer.from(all) }, {}, ADMIN)).rejects.toMatchObject({
      code: 'certificate_not_requested',
      message: expect.stringContaining('there is none'),
    });
    const old = bank.sign(await certificates.request('ec', ADMIN));
    await certificates.request('ec', ADMIN);
    expect((await open()).slots.request?.csr).toBe(certificates.slots().request?.csr);
    await expect(certificates.install({ name: 'a', bytes: Buffer.from(old + all) }, {}, ADMIN)).rejects.toMatchObject({
      code: 'certificate_not_requested',
    });
    await expect(certificates.install({ name: 'a', bytes: Buffer.from('nothing') }, {}, ADMIN)).rejects.toMatchObject({
      code: 'keystore_is_text',
      status: 422,
    });
  });
});

describe('an imported certificate', () => {
  const inStore = (bank: Bank, file: string, ...flags: string[]): Buffer => {
    const { files } = bank.issue('central');
    const chain = bank.folder.write('chain.pem', bank.intermediate.certificate + bank.root.certificate);
    openssl(
      'pkcs12',
      '-export',
      ...flags,
      '-in',
      files.certificate,
      '-inkey',
      files.key,
      '-certfile',
      chain,
      '-name',
      'orchestra',
      '-passout',
      'pass:geheim',
      '-out',
      bank.folder.path(file),
    );
    return readFileSync(bank.folder.path(file));
  };
  const viaKeytool = (bank: Bank, type: string, ...more: string[]): Buffer => {
    inStore(bank, 'from.p12');
    keytool(
      '-importkeystore',
      '-noprompt',
      '-srckeystore',
      bank.folder.path('from.p12'),
      '-srcstoretype',
      'PKCS12',
      '-srcstorepass',
      'geheim',
      '-destkeystore',
      bank.folder.path('to'),
      '-deststoretype',
      type,
      '-deststorepass',
      'geheim',
      ...more,
    );
    return readFileSync(bank.folder.path('to'));
  };
  const encryptedKey = (bank: Bank, ...how: string[]): Buffer => {
    const { files, certificate } = bank.issue('central');
    openssl(...how, '-in', files.key, '-out', bank.folder.path('locked.key'), '-passout', 'pass:geheim');
    return Buffer.concat([
      readFileSync(bank.folder.path('locked.key')),
      Buffer.from(certificate + bank.intermediate.certificate + bank.root.certificate),
    ]);
  };

  test.each<readonly [string, (bank: Bank) => Buffer]>([
    ['PEM with an open key', (bank) => pem(bank)],
    ['PEM with a key of PKCS#8 and PBES2', (bank) => encryptedKey(bank, 'pkcs8', '-topk8')],
    ['PEM with a key of PKCS#8 and scrypt', (bank) => encryptedKey(bank, 'pkcs8', '-topk8', '-scrypt')],
    ['PEM with a key of PKCS#8 and old 3DES', (bank) => encryptedKey(bank, 'pkcs8', '-topk8', '-v1', 'PBE-SHA1-3DES')],
    ['PEM with a key as OpenSSL 0.9 wrote it', (bank) => encryptedKey(bank, 'ec', '-aes128')],
    ['PKCS#12 of openssl', (bank) => inStore(bank, 'a.p12')],
    ['PKCS#12 of openssl -legacy (RC2, 3DES)', (bank) => inStore(bank, 'a.p12', '-legacy')],
    ['PKCS#12 of keytool', (bank) => viaKeytool(bank, 'PKCS12')],
    ['JKS of keytool', (bank) => viaKeytool(bank, 'JKS')],
  ])('from %s is read, checked and shown at once', async (_what, make) => {
    const bank = sameBank();
    const bytes = make(bank);
    const { certificates, shown } = await setUp();
    const before = await shown();
    const request = { name: 'file', bytes, password: 'geheim' };
    expect(await certificates.import(request, { dryRun: true }, ADMIN)).toMatchObject({
      dryRun: true,
      notices: [],
      cutOff: [],
    });
    expect(await shown()).toEqual(before);
    const report = await certificates.import(request, {}, ADMIN);
    expect(report).toMatchObject({
      dryRun: false,
      notices: [],
      certificate: { origin: 'imported', names: ['central.test'] },
    });
    expect(await shown()).toEqual({ thumbprint: report.certificate.thumbprint, length: 3 });
  });

  test('with its key in a second file, one of two keys by its alias, and wrong passwords', async () => {
    const bank = sameBank();
    const { certificates, shown } = await setUp();
    const { key, certificate } = bank.issue('central');
    const chain = Buffer.from(certificate + bank.intermediate.certificate + bank.root.certificate);
    await expect(certificates.import({ name: 'chain.pem', bytes: chain }, {}, ADMIN)).rejects.toMatchObject({
      code: 'private_key_missing',
    });
    await certificates.import({ name: 'chain.pem', bytes: chain, keyBytes: Buffer.from(key) }, {}, ADMIN);
    expect((await shown()).thumbprint).toBe(thumbprintOf(new X509Certificate(certificate)));

    inStore(bank, 'from.p12');
    const two = bank.folder.path('two.jks');
    for (const alias of ['one', 'orchestra'])
      keytool(
        '-importkeystore',
        '-noprompt',
        '-srckeystore',
        bank.folder.path('from.p12'),
        '-srcstorepass',
        'geheim',
        '-srcalias',
        'orchestra',
        '-destalias',
        alias,
        '-destkeystore',
        two,
        '-deststoretype',
        'JKS',
        '-deststorepass',
        'geheim',
      );
    const jks = { name: 'two.jks', bytes: readFileSync(two), password: 'geheim' };
    await expect(certificates.import(jks, {}, ADMIN)).rejects.toMatchObject({
      code: 'private_key_ambiguous',
      message: expect.stringContaining('orchestra'),
    });
    await expect(certificates.import({ ...jks, alias: 'three' }, {}, ADMIN)).rejects.toMatchObject({
      code: 'private_key_alias_unknown',
    });
    await certificates.import({ ...jks, alias: 'ORCHESTRA' }, {}, ADMIN);
    await expect(certificates.import({ ...jks, password: 'falsch' }, {}, ADMIN)).rejects.toMatchObject({
      code: 'keystore_password_wrong',
      status: 422,
    });
    const locked = encryptedKey(bank, 'pkcs8', '-topk8');
    await expect(
      certificates.import({ name: 'x', bytes: locked, password: 'falsch' }, {}, ADMIN),
    ).rejects.toMatchObject({ code: 'keystore_key_password_wrong', status: 422 });
    await expect(certificates.import({ name: 'x', bytes: locked }, {}, ADMIN)).rejects.toMatchObject({
      code: 'private_key_password_missing',
    });
  });

  test('is completed from what Central has, and what does not belong to it is left out', async () => {
    const bank = sameBank();
    const { certificates, shown } = await setUp();
    await certificates.import({ name: 'a', bytes: pem(bank) }, {}, ADMIN);
    const { key, certificate } = bank.issue('second');
    const report = await certificates.import(
      { name: 'b', bytes: Buffer.from(key + certificate + makeBank().root.certificate) },
      {},
      ADMIN,
    );
    expect(report.notices.map(({ code, detail }) => `${code}: ${detail}`)).toEqual([
      'chain_completed: "CN=intermediate, O=Example Bank" was missing from the file and was added from what Central has.',
      'chain_completed: "CN=Example Bank Root, O=Example Bank" was missing from the file and was added from what Central has.',
      'certificate_unused: "CN=Example Bank Root, O=Example Bank" does not belong to the chain and was left out.',
    ]);
    expect((await shown()).length).toBe(3);
  });

  test('with faults is refused with all of them at once, and the one in use stays', async () => {
    const bank = sameBank();
    const { certificates, shown, setNow } = await setUp();
    const before = await shown();
    const take = (...parts: string[]) =>
      certificates.import({ name: 'x', bytes: Buffer.from(parts.join('')) }, { force: true }, ADMIN);
    const above = bank.intermediate.certificate + bank.root.certificate;
    const fine = bank.issue('fine');
    expect(await faults(take(makeBank().root.key, fine.certificate, above))).toEqual(['key_mismatch']);
    expect(await faults(take(fine.key, fine.certificate))).toEqual(['chain_incomplete']);
    expect(await faults(take(fine.key, fine.certificate, bank.intermediate.certificate))).toEqual(['chain_incomplete']);
    const client = bank.issue('client', {
      extensions: [
        'basicConstraints=critical,CA:FALSE',
        'keyUsage=critical,keyEncipherment',
        'extendedKeyUsage=clientAuth',
        'subjectAltName=DNS:other.test',
      ],
    });
    expect(await faults(take(client.key, client.certificate, above))).toEqual(['names_missing', 'usage', 'usage']);
    const weak = bank.issue('weak', { key: ['RSA', '-pkeyopt', 'rsa_keygen_bits:1024'], digest: 'sha1' });
    expect(await faults(take(weak.key, weak.certificate, above))).toEqual(['key_weak', 'signature_weak']);
    const curve = bank.issue('curve', { key: ['ec', '-pkeyopt', 'ec_paramgen_curve:secp224r1'] });
    expect(await faults(take(curve.key, curve.certificate, above))).toEqual(['key_weak']);
    const bare = bank.issue('bare', { extensions: ['basicConstraints=CA:FALSE'] });
    expect(await faults(take(bare.key, bare.certificate, above))).toEqual(['names_missing']);
    const misused = bank.issue('misused', { by: fine });
    expect(await faults(take(misused.key, misused.certificate, fine.certificate, above))).toEqual(
      expect.arrayContaining(['issuer_no_authority']),
    );
    expect(await faults(take(bank.root.key, bank.root.certificate))).toEqual(['names_missing', 'usage', 'usage']);
    setNow(Date.now() - 86_400_000);
    expect(await faults(take(fine.key, fine.certificate, above))).toEqual([
      'not_yet_valid',
      'not_yet_valid',
      'not_yet_valid',
    ]);
    setNow(Date.now() + 400 * 86_400_000);
    expect(await faults(take(fine.key, fine.certificate, above))).toEqual(['expired', 'expired']);
    expect(await shown()).toEqual(before);
  });

  test('whose key is RSA of more than 4096 bits is refused: each TLS handshake would compute with it', () => {
    const { key, certificate } = sameBank().issue('slow');
    const leaf = new X509Certificate(certificate);
    // To make such a key takes longer than all other tests here.
    const publicKey = { asymmetricKeyType: 'rsa', asymmetricKeyDetails: { modulusLength: 8192 } };
    Object.defineProperty(leaf, 'publicKey', { value: publicKey });
    const built = { chain: [leaf] as const, complete: true };
    const faults = serverFaults({ key: createPrivateKey(key), built, names: [], now: Date.now() });
    expect(faults).toEqual([{ fault: 'key_slow', text: expect.stringContaining('RSA 8192') }]);
  });

  test('stays whatever the parameters wish, unless they wish a name that it has not; when it ends, one of our own takes its place', async () => {
    const bank = sameBank();
    const { certificates, identity, setNow } = await setUp();
    const spec: ServerCertificateSpec = {
      names: ['central.test'],
      subjectAlternativeNames: [],
      distinguishedName: 'CN=another',
      lifetimeDays: 30,
    };
    const { certificate } = await certificates.import({ name: 'a', bytes: pem(bank) }, {}, ADMIN);
    expect((await identity.stage(spec)).thumbprint).toBe(certificate.thumbprint);
    expect(await faults(identity.stage({ ...spec, subjectAlternativeNames: ['new.test'] }))).toEqual(['names_missing']);
    expect((await identity.fitting({ ...spec, subjectAlternativeNames: ['new.test'] })).thumbprint).toBe(
      certificate.thumbprint,
    );
    setNow(certificate.notAfter + 1);
    expect(await identity.fitting(spec)).toMatchObject({ origin: 'issued' });
  });
});

describe('what agents trust', () => {
  test('decides: a certificate that they would refuse is refused here, with their names, unless forced', async () => {
    const bank = sameBank();
    const { certificates, store, authority, shown, first } = await setUp();
    const bankRoot = thumbprintOf(new X509Certificate(bank.root.certificate));
    const add = (id: string, trusted: string[] | null, transport: 'ws' | 'wss' | null = 'wss') =>
      store.certificates.agents.set(id, { id, name: id, transport, trusted, offlineSince: null });
    add('a-both', [authority.current().id, bankRoot]);
    add('b-ours', [authority.current().id]);
    add('c-unknown', null, null);
    add('d-plain', null, 'ws');
    const file = { name: 'a', bytes: pem(bank) };
    await expect(certificates.import(file, {}, ADMIN)).rejects.toMatchObject({
      code: 'would_cut_off_agents',
      status: 409,
      message: expect.stringContaining('2 agents: b-ours, c-unknown'),
    });
    expect((await shown()).thumbprint).toBe(first.thumbprint);
    const report = await certificates.import(file, { force: true }, ADMIN);
    expect(report.cutOff.map(({ name }) => name)).toEqual(['b-ours', 'c-unknown']);
    expect((await shown()).thumbprint).toBe(report.certificate.thumbprint);
    // The rollback is validated in the same way.
    await certificates.restore({}, ADMIN);
    expect((await shown()).thumbprint).toBe(first.thumbprint);
    await expect(certificates.restore({}, ADMIN)).rejects.toMatchObject({ code: 'would_cut_off_agents' });
  });

  test('grows by staging: the root is in the bundle before anything is shown, and activating waits for the agents', async () => {
    const bank = sameBank();
    const { certificates, store, authority, shown, first, bundle } = await setUp();
    const bankRoot = thumbprintOf(new X509Certificate(bank.root.certificate));
    store.certificates.agents.set('a', {
      id: 'a',
      name: 'a',
      transport: 'wss',
      trusted: [authority.current().id],
      offlineSince: null,
    });
    expect(bundle.thumbprints()).toEqual([authority.current().id]);
    await expect(certificates.activate({}, ADMIN)).rejects.toMatchObject({ code: 'certificate_nothing_staged' });
    expect(await certificates.import({ name: 'a', bytes: pem(bank) }, { stage: true }, ADMIN)).toMatchObject({
      staged: true,
      cutOff: [{ name: 'a' }],
    });
    expect((await shown()).thumbprint).toBe(first.thumbprint);
    expect(bundle.thumbprints()).toEqual([authority.current().id, bankRoot]);
    await expect(certificates.activate({}, ADMIN)).rejects.toMatchObject({ code: 'would_cut_off_agents' });
    await store.certificates.recordTrust('a', bundle.thumbprints());
    const { certificate } = await certificates.activate({}, ADMIN);
    expect((await shown()).thumbprint).toBe(certificate.thumbprint);
    expect(certificates.slots().staged).toBeUndefined();
    // Who enrolls now looks for the root that is shown now.
    expect(bundle.thumbprints()).toEqual([bankRoot, authority.current().id]);
    expect(pinOfCredentials(certificate)).toBe(
      pinOf(new X509Certificate(bank.root.certificate).publicKey.export({ type: 'spki', format: 'der' })),
    );
    await certificates.generate({ stage: true }, ADMIN);
    await certificates.discard(ADMIN);
    expect(certificates.slots().staged).toBeUndefined();
  });
});

describe('a swap to be confirmed', () => {
  const idOf = (changes: Changes): string => changes.pending('server-certificate')?.id ?? 'none';
  const terms: SwapRequest = { confirm: { withinSeconds: 60, share: 0.9 } };
  const over = (connectedAt: number): Actor => ({ ...ADMIN, via: { listener: 'https', connectedAt } });

  test('asks agents to come back, and stays only once enough of them came back over it', async () => {
    const { certificates, changes, online, asked, pass, shown, store } = await setUp();
    const start = Date.now();
    online.push(agent('a', start - 1000), agent('b', start - 1000));
    const report = await certificates.generate(terms, ADMIN);
    expect(report.change).toMatchObject({ requiredShare: 0.9, agentCount: 2, returnedCount: 0, owner: { who: 'ann' } });
    expect(asked).toEqual([20]);
    await pass(1000);
    // They never left: that proves nothing about the new one.
    await expect(changes.confirm(idOf(changes), {}, over(Date.now() + 1e6))).rejects.toMatchObject({
      code: 'share_not_met',
      message: expect.stringContaining('a, b'),
    });
    online.splice(0, 2, agent('a', Date.now() + 500_000), agent('b', Date.now() + 500_000));
    await expect(changes.confirm(idOf(changes), {}, ADMIN)).rejects.toMatchObject({
      code: 'confirm_over_new_connection',
    });
    await changes.confirm(idOf(changes), {}, { ...over(Date.now() + 1e6), ticket: 'T-3' });
    expect(changes.pending('server-certificate')).toBeNull();
    expect(store.audit.entries.at(-1)).toMatchObject({ action: 'changes.confirm', ticket: 'T-3' });
    await pass(120_000);
    expect((await shown()).thumbprint).toBe(report.certificate.thumbprint);
  });

  test('is rolled back at the deadline, by an administrator, and by the next start', async () => {
    const { certificates, changes, first, pass, shown, open, store } = await setUp();
    const { certificate } = await certificates.generate(terms, ADMIN);
    expect((await shown()).thumbprint).toBe(certificate.thumbprint);
    await expect(certificates.generate({}, ADMIN)).rejects.toMatchObject({ code: 'change_pending' });
    await pass(60_000);
    expect((await shown()).thumbprint).toBe(first.thumbprint);
    expect(changes.pending('server-certificate')).toBeNull();
    await certificates.generate(terms, ADMIN);
    await changes.rollBack(idOf(changes), ADMIN);
    expect((await shown()).thumbprint).toBe(first.thumbprint);
    await expect(changes.rollBack('0', ADMIN)).rejects.toMatchObject({ code: 'change_unknown' });
    await certificates.generate(terms, ADMIN);
    const reopened = await open();
    expect(reopened.current()?.thumbprint).toBe(first.thumbprint);
    expect(reopened.slots.pending).toBeUndefined();
    expect(store.audit.entries.filter(({ action }) => action === 'changes.rollback').map(({ who }) => who)).toEqual([
      'central',
      'ann',
      'central',
    ]);
  });

  test('lets no change of the parameters and no renewal come between', async () => {
    const { certificates, changes, identity } = await setUp();
    const live = liveCertificate({
      identity,
      changes,
      advertised: ['central.test'],
      hostName: 'host.local',
      isShared: false,
      show: () => undefined,
    });
    const values = { ...defaultValues(), 'certificate.subjectAlternativeNames': ['new.test'] };
    await certificates.generate(terms, ADMIN);
    await expect(live.stage(values)).rejects.toMatchObject({ code: 'change_pending' });
    expect(await live.renew(values)).toBe(false);
    await changes.rollBack(idOf(changes), ADMIN);
    expect((await live.stage(values)).names).toContain('new.test');
    expect(await live.renew(values)).toBe(true);
    expect(identity.current()?.names).toContain('new.test');
  });

  test('is never rolled back to a certificate that has expired meanwhile', async () => {
    const { certificates, changes, identity, first, setNow, pass, shown } = await setUp({ lifetimeDays: 1 });
    setNow(first.notAfter - 10_000);
    const { certificate } = await certificates.generate(terms, ADMIN);
    await pass(60_000);
    expect(changes.pending('server-certificate')).toBeNull();
    expect(identity.current()?.thumbprint).toBe(certificate.thumbprint);
    expect((await shown()).thumbprint).toBe(certificate.thumbprint);
  });
});

test('restoring needs one to go back to; taking what is in use is reported', async () => {
  const bank = sameBank();
  const { certificates } = await setUp();
  await expect(certificates.restore({}, ADMIN)).rejects.toMatchObject({ code: 'certificate_no_previous' });
  const bytes = pem(bank);
  await certificates.import({ name: 'a', bytes }, {}, ADMIN);
  await expect(certificates.import({ name: 'a', bytes }, {}, ADMIN)).rejects.toMatchObject({
    code: 'certificate_in_use',
  });
});

test('no audit entry and no report carries a private key or a password', async () => {
  const bank = sameBank();
  const { certificates, store } = await setUp();
  await certificates.request('ec', ADMIN);
  const bytes = Buffer.from(pem(bank));
  await certificates.import({ name: 'a', bytes, password: 'geheimes Wort' }, {}, { ...ADMIN, comment: 'why' });
  const keys = [...store.keyMaterial.entries]
    .filter(([name]) => name.endsWith('.key'))
    .flatMap(([, value]) => value.split('\n').filter((line) => line.length > 40 && !line.startsWith('-')));
  const audited = JSON.stringify(store.audit.entries);
  expect(keys.length).toBeGreaterThan(3);
  for (const secret of [...keys, 'geheimes Wort', 'PRIVATE KEY']) expect(audited).not.toContain(secret);
});
