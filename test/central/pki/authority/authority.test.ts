// The authority: made once, kept in generations, exported and imported so that openssl and keytool read it too.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { CENTRAL } from '../../../../central/audit.ts';
import { AuthorityService } from '../../../../central/pki/authority/service.ts';
import { openAuthority, type Authority } from '../../../../central/pki/authority/authority.ts';
import { chainPem, privateKeyPem, thumbprintOf } from '../../../../central/pki/x509/certificate.ts';
import { makeKeyPair } from '../../../../central/pki/x509/key-algorithms.ts';
import { openSigningCertificate, openSigningKey } from '../../../../central/pki/authority/signing-key.ts';
import { validityOf } from '../../../../shared/x509/validity.ts';
import { readPublicKey, signTranscript, verifyTranscript } from '../../../../shared/wire/proof.ts';
import { makeChanges, memoryStore, type MemoryStore } from '../../fakes.ts';
import { keytool, sameBank } from '../server/bank.ts';
import { openssl, temporaryFolder } from '../folder.ts';

const PASSWORD = 'a password for the test';

function setUp() {
  const store = memoryStore();
  const options = { keyMaterial: store.keyMaterial, central: 'central.test', now: Date.now };
  return { store, options, open: async () => await openAuthority(options) };
}

function service(store: MemoryStore, authority: Authority, origin: 'issued' | 'imported' = 'issued') {
  const replaced: string[] = [];
  const identity = { current: () => ({ origin }) as never };
  const built = new AuthorityService({
    authority,
    identity,
    trust: { certificates: store.certificates, authority },
    audit: store.audit,
    look: () => authority.follow(),
    onReplaced: async () => void replaced.push(authority.current().id),
    changes: makeChanges(),
    now: Date.now,
  });
  return { service: built, replaced };
}

describe('the authority', () => {
  test('is made once and loaded ever after', async () => {
    const { store, open } = setUp();
    const [first, second] = [await open(), await open()];
    expect(second.pem).toBe(first.pem);
    expect(second.pin).toBe(first.pin);
    expect(store.audit.entries.map(({ action }) => action)).toEqual(['ca.create']);
    expect(first.generations()).toMatchObject([{ role: 'current', origin: 'issued' }]);
  });

  test('has the pin that openssl computes of the public key of its root', async () => {
    const folder = temporaryFolder();
    const authority = await setUp().open();
    openssl(
      'x509',
      '-in',
      folder.write('root.pem', authority.pem),
      '-noout',
      '-pubkey',
      '-out',
      folder.path('pub.pem'),
    );
    openssl('pkey', '-pubin', '-in', folder.path('pub.pem'), '-outform', 'DER', '-out', folder.path('pub.der'));
    expect(authority.pin).toBe(`sha256:${openssl('dgst', '-sha256', '-r', folder.path('pub.der')).slice(0, 64)}`);
  });

  test('lives as long as the parameter says', async () => {
    const { options } = setUp();
    const { certificate } = await openAuthority({ ...options, lifetimeDays: () => 100 });
    expect((validityOf(certificate).to.getTime() - Date.now()) / 86_400_000).toBeCloseTo(100, 1);
  });

  test('half of an authority is damage, never a reason to make a new one', async () => {
    for (const gone of ['.key', 'authority.generations']) {
      const { store, open } = setUp();
      await open();
      const name = (await store.keyMaterial.names()).find((one) => one.endsWith(gone)) ?? '';
      store.keyMaterial.entries.delete(name);
      await expect(open()).rejects.toMatchObject({
        code: 'key_material_damaged',
        parameters: { name, found: 'it is missing' },
      });
    }
    for (const nonsense of ['x', '{}', '{"generations":[{}],"firstRoot":"a"}', '{"generations":[],"firstRoot":"a"}']) {
      const { store, open } = setUp();
      await open();
      store.keyMaterial.entries.set('authority.generations', nonsense);
      await expect(open()).rejects.toMatchObject({ code: 'key_material_damaged' });
    }
  });

  test('with a key that is not the key of the root is refused', async () => {
    const { store, open } = setUp();
    const { id } = (await open()).current();
    store.keyMaterial.entries.set(`authority.${id}.key`, privateKeyPem((await makeKeyPair()).privateKey));
    await expect(open()).rejects.toMatchObject({ code: 'key_material_damaged' });
  });

  test('as the first version kept it becomes the first generation, and nothing is left over', async () => {
    const { store, open } = setUp();
    const made = await setUp().open();
    store.keyMaterial.entries
      .set('authority.certificate', made.certificate.toString())
      .set('authority.key', privateKeyPem(made.current().key));
    const authority = await open();
    expect(authority.pin).toBe(made.pin);
    expect(authority.firstRoot).toBe(thumbprintOf(made.certificate));
    expect(await store.keyMaterial.names()).toEqual([
      `authority.${authority.current().id}.key`,
      'authority.generations',
    ]);
    expect((await open()).pin).toBe(made.pin);
    store.keyMaterial.entries.delete('authority.generations');
    await expect(open()).rejects.toMatchObject({ code: 'key_material_damaged' });
    const half = setUp();
    half.store.keyMaterial.entries.set('authority.key', 'x');
    await expect(half.open()).rejects.toMatchObject({
      code: 'key_material_damaged',
      parameters: { name: 'authority.certificate', found: 'it is missing' },
    });
  });
});

describe('generations', () => {
  test('no one trusts one that is prepared; next is trusted before it signs; previous is trusted on; retired is not, and may come back', async () => {
    const { store, open } = setUp();
    const authority = await open();
    const first = authority.current().id;
    const next = await authority.prepare(await authority.makeRoot(), CENTRAL);
    await expect(authority.prepare(await authority.makeRoot(), CENTRAL)).rejects.toMatchObject({
      code: 'authority_next_there',
    });
    expect(authority.roots().map(thumbprintOf)).toEqual([first]);
    await authority.assign({ [next.id]: 'next' }, 'ca.rotation.publish', CENTRAL);
    await expect(authority.prepare(await authority.makeRoot(), CENTRAL)).rejects.toMatchObject({
      code: 'authority_next_there',
    });
    expect(authority.generations().map(({ id, role }) => [id, role])).toEqual([
      [first, 'current'],
      [next.id, 'next'],
    ]);
    expect(authority.roots().map(thumbprintOf)).toEqual([first, next.id]);

    const { publicKey } = await makeKeyPair();
    const early = await authority.issueAgent({ id: 'a', name: 'a', publicKey, lifetimeDays: 1 });
    await authority.promote(next.id, { ...CENTRAL, comment: 'switch' });
    const late = await authority.issueAgent({ id: 'a', name: 'a', publicKey, lifetimeDays: 1 });
    expect([authority.chainOf(early).map(thumbprintOf)[1], authority.chainOf(late).map(thumbprintOf)[1]]).toEqual([
      first,
      next.id,
    ]);
    await expect(authority.assign({ [next.id]: 'retired' }, 'ca.rotation.retire', CENTRAL)).rejects.toThrow(
      'one generation signs',
    );
    await expect(authority.forget(next.id, CENTRAL)).rejects.toMatchObject({
      code: 'authority_in_use',
      parameters: { role: 'current' },
    });

    await authority.promote(first, CENTRAL);
    expect((await open()).generations().map(({ id, role }) => [id, role])).toEqual([
      [first, 'current'],
      [next.id, 'previous'],
    ]);
    await authority.assign({ [next.id]: 'retired' }, 'ca.rotation.retire', CENTRAL);
    expect(authority.roots().map(thumbprintOf)).toEqual([first]);
    expect((await open()).all().map(({ role }) => role)).toEqual(['current', 'retired']);
    expect(authority.chainOf(late)).toHaveLength(1);
    await authority.assign({ [next.id]: 'previous' }, 'ca.rotation.rollback', CENTRAL);
    expect(authority.chainOf(late)).toHaveLength(2);
    await authority.assign({ [next.id]: 'retired' }, 'ca.rotation.retire', CENTRAL);
    await authority.forget(next.id, CENTRAL);
    expect(await store.keyMaterial.names()).toEqual([`authority.${first}.key`, 'authority.generations']);
    await expect(authority.promote(next.id, CENTRAL)).rejects.toMatchObject({ code: 'authority_unknown' });
    const switched = ['rotation.switch', 'rotation.switch'];
    const steps = [
      'create',
      'rotation.prepare',
      'rotation.publish',
      ...switched,
      'rotation.retire',
      'rotation.rollback',
    ];
    const actions = [...steps, 'rotation.retire', 'delete-key'].map((action) => `ca.${action}`);
    expect(store.audit.entries.map(({ action }) => action)).toEqual(actions);
  });

  test('the next to be prepared takes the keys of retired ones with it', async () => {
    const { store, open } = setUp();
    const authority = await open();
    const old = await authority.prepare(await authority.makeRoot(), CENTRAL);
    await authority.assign({ [old.id]: 'retired' }, 'ca.rotation.retire', CENTRAL);
    const { id } = await authority.prepare(await authority.makeRoot(), CENTRAL);
    expect((await open()).all().map((generation) => generation.id)).toEqual([authority.current().id, id]);
    expect(await store.keyMaterial.names()).not.toContain(`authority.${old.id}.key`);
    expect(store.audit.entries.at(-1)?.detail).toContain(`"forgotten":["${old.id}"]`);
  });

  test('who trusts only the old root or only the new one verifies what is shown, in OpenSSL, until the old one is retired', async () => {
    const { open } = setUp();
    const folder = temporaryFolder();
    const authority = await open();
    const [old, { id }] = [authority.current(), await authority.prepare(await authority.makeRoot(), CENTRAL)];
    expect(await authority.certify(id, CENTRAL)).toBe(true);
    await authority.promote(id, CENTRAL);
    const { publicKey } = await makeKeyPair();
    const leaf = await authority.issueServer({
      subject: 'CN=central.test',
      names: ['central.test'],
      publicKey,
      lifetimeDays: 30,
    });
    const files = {
      old: folder.write('old.pem', old.chain[0].toString()),
      new: folder.write('new.pem', authority.certificate.toString()),
      leaf: folder.write('leaf.pem', leaf.toString()),
    };
    const verify = (trusted: string): string => {
      const sent = folder.write('sent.pem', chainPem(authority.shownChainOf(leaf).slice(1)));
      return openssl('verify', '-no-CApath', '-no-CAstore', '-CAfile', trusted, '-untrusted', sent, files.leaf);
    };
    expect(authority.shownChainOf(leaf).map(thumbprintOf)).toEqual([thumbprintOf(leaf), expect.any(String), old.id]);
    for (const trusted of [files.old, files.new]) expect(verify(trusted)).toContain('OK');
    expect((await open()).shownChainOf(leaf)).toHaveLength(3);
    await authority.assign({ [old.id]: 'retired' }, 'ca.rotation.retire', CENTRAL);
    expect(authority.shownChainOf(leaf).map(thumbprintOf)).toEqual([thumbprintOf(leaf), id]);
    expect(verify(files.new)).toContain('OK');
    expect(() => verify(files.old)).toThrow('verification failed');
  });

  test('no cross-certificate where it could not stand: for an intermediate, or by one that may sign no authority', async () => {
    const { open } = setUp();
    const authority = await open();
    const bank = sameBank();
    const material = {
      key: createPrivateKey(bank.intermediate.key),
      chain: [new X509Certificate(bank.intermediate.certificate), new X509Certificate(bank.root.certificate)],
      origin: 'imported',
    } as const;
    const { id } = await authority.prepare(material, CENTRAL);
    expect(await authority.certify(id, CENTRAL)).toBe(false);
    await authority.promote(id, CENTRAL);
    const next = await authority.prepare(await authority.makeRoot(), CENTRAL);
    expect(await authority.certify(next.id, CENTRAL)).toBe(false); // its path length is 0
  });
});

describe('an exported authority', () => {
  test('opens in openssl and keytool with its password, entry and key, and in no other way', async () => {
    const { store, open } = setUp();
    const folder = temporaryFolder();
    const authority = await open();
    const { file } = await service(store, authority).service.export({ password: PASSWORD }, CENTRAL);
    const path = folder.path('root.p12');
    writeFileSync(path, file);
    expect(keytool('-list', '-keystore', path, '-storepass', PASSWORD)).toMatch(
      /contains 1 entry[\s\S]*queuegate-authority, .*PrivateKeyEntry/,
    );
    const listed = keytool('-list', '-v', '-keystore', path, '-storepass', PASSWORD);
    expect(listed).toContain(authority.certificate.fingerprint256);
    const key = openssl('pkcs12', '-in', path, '-passin', `pass:${PASSWORD}`, '-nocerts', '-noenc');
    expect(createPrivateKey(key).equals(authority.current().key)).toBe(true);
    expect(() => openssl('pkcs12', '-in', path, '-passin', 'pass:changeit', '-noenc')).toThrow(/mac verify/i);
    expect(store.audit.entries.at(-1)).toMatchObject({
      action: 'ca.export',
      detail: expect.stringContaining(authority.current().id),
    });
    expect(JSON.stringify(store.audit.entries)).not.toContain(PASSWORD);
  });

  test('needs a password worth the name', async () => {
    const { store, open } = setUp();
    const { service: exporting } = service(store, await open());
    for (const password of ['', 'changeit', 'elevenchars'])
      await expect(exporting.export({ password }, CENTRAL)).rejects.toMatchObject({
        code: 'export_password_weak',
        status: 422,
      });
    await expect(exporting.export({ password: PASSWORD, thumbprint: 'f'.repeat(64) }, CENTRAL)).rejects.toMatchObject({
      code: 'authority_unknown',
    });
    expect(store.audit.entries.map(({ action }) => action)).toEqual(['ca.create']);
  });

  test('makes a second Central that signs with the same root; what that one signed before stays trusted', async () => {
    const [one, other] = [setUp(), setUp()];
    const [from, to] = [await one.open(), await other.open()];
    const { file } = await service(one.store, from).service.export({ password: PASSWORD }, CENTRAL);
    const { service: importing, replaced } = service(other.store, to);
    await expect(
      importing.import({ name: 'root.p12', bytes: file, password: 'wrong' }, {}, CENTRAL),
    ).rejects.toMatchObject({ code: 'keystore_password_wrong', status: 422 });
    const before = to.current().id;
    expect(
      await importing.import({ name: 'root.p12', bytes: file, password: PASSWORD }, { dryRun: true }, CENTRAL),
    ).toMatchObject({ dryRun: true, cutOff: [] });
    expect(to.current().id).toBe(before);
    expect(await importing.import({ name: 'root.p12', bytes: file, password: PASSWORD }, {}, CENTRAL)).toMatchObject({
      dryRun: false,
      cutOff: [],
      notices: [],
    });
    expect(to.pin).toBe(from.pin);
    expect(replaced).toEqual([from.current().id]);
    expect(to.generations().map(({ id, role, origin }) => [id, role, origin])).toEqual([
      [from.current().id, 'current', 'imported'],
      [before, 'previous', 'issued'],
    ]);
    expect((await other.open()).pin).toBe(from.pin);
    await expect(
      importing.import({ name: 'root.p12', bytes: file, password: PASSWORD }, {}, CENTRAL),
    ).rejects.toMatchObject({ code: 'authority_known' });
  });
});

describe("an authority of the bank's own", () => {
  test('as an intermediate in PEM signs server, agent and signing certificates that openssl verifies up to the root', async () => {
    const bank = sameBank();
    const { store, open } = setUp();
    const authority = await open();
    const pem = bank.intermediate.key + bank.root.certificate + bank.intermediate.certificate;
    const report = await service(store, authority).service.import(
      { name: 'bank.pem', bytes: Buffer.from(pem) },
      {},
      CENTRAL,
    );
    expect(report.notices).toEqual([{ code: 'chain_reordered', detail: 'The chain was put into order.' }]);
    const { publicKey } = await makeKeyPair();
    const issued = {
      sslserver: await authority.issueServer({
        subject: 'CN=central.test',
        names: ['central.test'],
        publicKey,
        lifetimeDays: 30,
      }),
      sslclient: await authority.issueAgent({ id: 'a', name: 'a', publicKey, lifetimeDays: 30 }),
    };
    const untrusted = bank.folder.write('untrusted.pem', bank.intermediate.certificate);
    for (const [purpose, certificate] of Object.entries(issued)) {
      const file = bank.folder.write('leaf.pem', chainPem([certificate]));
      expect(
        openssl(
          'verify',
          '-x509_strict',
          '-purpose',
          purpose,
          '-CAfile',
          bank.root.files.certificate,
          '-untrusted',
          untrusted,
          file,
        ),
      ).toContain('OK');
      expect(authority.chainOf(certificate).map(({ raw }) => raw)).toEqual([
        certificate.raw,
        new X509Certificate(bank.intermediate.certificate).raw,
        new X509Certificate(bank.root.certificate).raw,
      ]);
    }
    expect(authority.pin).not.toBe('');
    expect(authority.roots().map(thumbprintOf)).toContain(thumbprintOf(new X509Certificate(bank.root.certificate)));
  });

  test.each([
    ['RSA in a PKCS#12 of openssl -legacy (RC2 and 3DES)', ['-legacy'], ['RSA', '-pkeyopt', 'rsa_keygen_bits:2048']],
    ['P-384 in a PKCS#12 of openssl', [], ['ec', '-pkeyopt', 'ec_paramgen_curve:P-384']],
  ])('%s signs too', async (_what, flags, key) => {
    const bank = sameBank();
    const ca = bank.issue('issuing', {
      by: bank.root,
      key,
      extensions: ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,keyCertSign'],
    });
    const path = bank.folder.path('ca.p12');
    openssl(
      'pkcs12',
      '-export',
      ...flags,
      '-in',
      ca.files.certificate,
      '-inkey',
      ca.files.key,
      '-certfile',
      bank.root.files.certificate,
      '-passout',
      'pass:geheim',
      '-out',
      path,
    );
    const { store, open } = setUp();
    const authority = await open();
    await service(store, authority).service.import(
      { name: 'ca.p12', bytes: readFileSync(path), password: 'geheim' },
      {},
      CENTRAL,
    );
    const leaf = await authority.issueServer({
      subject: 'CN=x',
      names: ['x.test'],
      publicKey: (await makeKeyPair()).publicKey,
      lifetimeDays: 30,
    });
    const file = bank.folder.write('leaf.pem', chainPem([leaf]));
    expect(
      openssl(
        'verify',
        '-purpose',
        'sslserver',
        '-CAfile',
        bank.root.files.certificate,
        '-untrusted',
        ca.files.certificate,
        file,
      ),
    ).toContain('OK');
  });

  test('from a JKS that keytool made, with a password of the key of its own', async () => {
    const folder = temporaryFolder();
    const path = folder.path('ca.jks');
    keytool(
      '-genkeypair',
      '-alias',
      'root',
      '-keyalg',
      'RSA',
      '-keysize',
      '2048',
      '-dname',
      'CN=JKS Root',
      '-ext',
      'bc:c',
      '-ext',
      'ku:c=keyCertSign',
      '-validity',
      '900',
      '-storetype',
      'JKS',
      '-keystore',
      path,
      '-storepass',
      'storepass',
      '-keypass',
      'keypass1',
    );
    const { store, open } = setUp();
    const authority = await open();
    const { service: importing } = service(store, authority);
    await expect(
      importing.import({ name: 'ca.jks', bytes: readFileSync(path), password: 'storepass' }, {}, CENTRAL),
    ).rejects.toMatchObject({ code: 'keystore_key_password_wrong', status: 422 });
    await importing.import(
      { name: 'ca.jks', bytes: readFileSync(path), password: 'storepass', keyPassword: 'keypass1' },
      {},
      CENTRAL,
    );
    expect(authority.certificate.subject).toBe('CN=JKS Root');
  });

  test('with faults is refused with all of them, and nothing changes', async () => {
    const bank = sameBank();
    const { store, open } = setUp();
    const authority = await open();
    const before = authority.pem;
    const { service: importing } = service(store, authority);
    const faultsOf = async (...pem: string[]): Promise<string[]> => {
      const error: unknown = await importing
        .import({ name: 'x.pem', bytes: Buffer.from(pem.join('')) }, {}, CENTRAL)
        .catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 'authority_unfit', status: 422 });
      return (error as { errors: { fault: string }[] }).errors.map(({ fault }) => fault);
    };
    const server = bank.issue('server');
    expect(
      await faultsOf(server.key, server.certificate, bank.intermediate.certificate, bank.root.certificate),
    ).toEqual(['issuer_no_authority']);
    expect(await faultsOf(bank.intermediate.key, bank.intermediate.certificate)).toEqual(['chain_incomplete']);
    expect(await faultsOf(bank.root.key, bank.intermediate.certificate)).toEqual(['key_mismatch']);
    const deep = bank.issue('deep', {
      extensions: ['basicConstraints=critical,CA:TRUE', 'keyUsage=critical,cRLSign'],
      digest: 'sha1',
      key: ['RSA', '-pkeyopt', 'rsa_keygen_bits:1024'],
    });
    expect(
      (await faultsOf(deep.key, deep.certificate, bank.intermediate.certificate, bank.root.certificate)).toSorted(),
    ).toEqual(['issuer_no_authority', 'key_weak', 'path_too_long', 'signature_weak']);
    await expect(
      importing.import({ name: 'x.pem', bytes: Buffer.from(bank.root.certificate) }, {}, CENTRAL),
    ).rejects.toMatchObject({ code: 'private_key_missing', status: 422 });
    await expect(importing.import({ name: 'x', bytes: Buffer.from('hello') }, {}, CENTRAL)).rejects.toMatchObject({
      code: 'keystore_is_text',
      status: 422,
    });
    expect(authority.pem).toBe(before);
    expect(store.audit.entries).toHaveLength(1);
  });

  test('that would cut agents off is refused with their names, unless forced, or unless the certificate is from elsewhere', async () => {
    const bank = sameBank();
    const { store, open } = setUp();
    const authority = await open();
    const bytes = Buffer.from(bank.root.key + bank.root.certificate);
    const bankRoot = thumbprintOf(new X509Certificate(bank.root.certificate));
    const add = (id: string, trusted: string[] | null, transport: 'ws' | 'wss' | null = 'wss') =>
      store.certificates.agents.set(id, { id, name: id, transport, trusted, offlineSince: null });
    add('knows-both', [authority.current().id, bankRoot]);
    add('on-plain', [authority.current().id], 'ws');
    const { service: importing } = service(store, authority);
    expect((await importing.import({ name: 'r', bytes }, { dryRun: true }, CENTRAL)).cutOff).toEqual([]);
    add('old', null);
    add('knows-ours', [authority.current().id], null);
    expect((await importing.import({ name: 'r', bytes }, { dryRun: true }, CENTRAL)).cutOff).toEqual([
      expect.objectContaining({ id: 'knows-ours', name: 'knows-ours', reason: 'root-not-trusted' }),
      expect.objectContaining({ id: 'old', name: 'old', reason: 'root-not-trusted' }),
    ]);
    await expect(importing.import({ name: 'r', bytes }, {}, CENTRAL)).rejects.toMatchObject({
      code: 'would_cut_off_agents',
      message: expect.stringContaining('2 agents: knows-ours, old'),
    });
    expect(
      (await service(store, authority, 'imported').service.import({ name: 'r', bytes }, { dryRun: true }, CENTRAL))
        .cutOff,
    ).toEqual([]);
    expect(await importing.import({ name: 'r', bytes }, { force: true }, { ...CENTRAL, ticket: 'T-1' })).toMatchObject({
      cutOff: [{ id: 'knows-ours' }, { id: 'old' }],
    });
    expect(authority.current().id).toBe(bankRoot);
    expect(store.audit.entries.at(-1)).toMatchObject({ action: 'ca.import', ticket: 'T-1' });
  });
});

describe('the signing key', () => {
  test('stays the same and signs what the public half verifies', async () => {
    const { keyMaterial } = memoryStore();
    const first = await openSigningKey({ keyMaterial, now: Date.now });
    const second = await openSigningKey({ keyMaterial, now: Date.now });
    expect(second.publicKey).toBe(first.publicKey);
    const publicKey = readPublicKey(first.publicKey);
    if (publicKey === undefined) throw new Error('not readable');
    expect(verifyTranscript('text', signTranscript('text', second.key), publicKey)).toBe(true);
  });

  test('has a certificate that no TLS peer takes, and that is reissued near its end and under another authority', async () => {
    let now = Date.now();
    const { store, options } = setUp();
    const authority = await openAuthority({ ...options, now: () => now });
    const signingKey = await openSigningKey({ keyMaterial: store.keyMaterial, now: () => now });
    const open = async () =>
      await openSigningCertificate({
        keyMaterial: store.keyMaterial,
        authority,
        signingKey,
        central: 'central.test',
        lifetimeDays: () => 90,
        now: () => now,
      });
    const signing = await open();
    const first = thumbprintOf(signing.current());
    expect(thumbprintOf((await open()).current())).toBe(first);
    const folder = temporaryFolder();
    const [ca, pem] = [
      folder.write('root.pem', authority.pem),
      folder.write('signing.pem', chainPem([signing.current()])),
    ];
    expect(openssl('verify', '-x509_strict', '-CAfile', ca, pem)).toContain('OK');
    for (const purpose of ['sslserver', 'sslclient'])
      expect(() => openssl('verify', '-purpose', purpose, '-CAfile', ca, pem)).toThrow(/purpose/);
    const text = openssl('x509', '-in', pem, '-noout', '-text');
    expect(text).toMatch(/Key Usage: critical\s+Digital Signature\s/);
    expect(text).toMatch(/Extended Key Usage:\s+Code Signing\s/);
    expect(await signing.renew()).toBe(false);
    now += 61 * 86_400_000;
    expect(await signing.renew()).toBe(true);
    await authority.replace(await authority.makeRoot(), CENTRAL);
    expect(await signing.renew()).toBe(true);
    expect(signing.chain().map(thumbprintOf)[1]).toBe(authority.current().id);
  });
});

test('serial numbers are random, positive and of full length', async () => {
  const authority = await setUp().open();
  const { publicKey } = await makeKeyPair();
  const serials = await Promise.all(
    Array.from(
      { length: 50 },
      async () => (await authority.issueAgent({ id: 'a', name: 'a', publicKey, lifetimeDays: 1 })).serialNumber,
    ),
  );
  expect(new Set(serials).size).toBe(50);
  for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9A-F]{31}$/);
});
