// Private keys at rest: encrypted in the store, decrypted with the right key only, and never overwritten by a start
// with a wrong one.
import { randomBytes } from 'node:crypto';
import { chmodSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CENTRAL, auditEntry } from '../../../../central/audit.ts';
import { decrypt, encrypt, keyEncryptionKey } from '../../../../central/pki/keys/envelope.ts';
import type { KeySources } from '../../../../central/pki/keys/key-encryption-key.ts';
import { openKeyMaterial } from '../../../../central/pki/keys/key-material.ts';
import { privateKeyPem } from '../../../../central/pki/x509/certificate.ts';
import { makeKeyPair } from '../../../../central/pki/x509/key-algorithms.ts';
import { openSqliteStore } from '../../../../central/store/sqlite/sqlite-store.ts';
import { keyMaterialOf, memoryStore, putKeyMaterial, type MemoryStore } from '../../fakes.ts';
import { openssl, temporaryFolder } from '../folder.ts';

const act = auditEntry(CENTRAL, 'ca.create', {}, 0);

interface Line {
  readonly level: string;
  readonly facts: object;
  readonly text: string;
}

function setUp(store: MemoryStore = memoryStore()) {
  const folder = temporaryFolder();
  const lines: Line[] = [];
  const log = {
    info: (facts: object, text: string) => void lines.push({ level: 'info', facts, text }),
    warn: (facts: object, text: string) => void lines.push({ level: 'warn', facts, text }),
  };
  const none: KeySources = {
    dataFolder: folder.path('.'),
    file: undefined,
    previousFile: undefined,
    environment: undefined,
    credentialsFolder: undefined,
  };
  const open = async (sources: Partial<KeySources> = {}, shared: Partial<Parameters<typeof openKeyMaterial>[0]> = {}) =>
    await openKeyMaterial({ store: store.keyMaterial, sources: { ...none, ...sources }, log, now: () => 7, ...shared });
  return { folder, store, lines, open, raw: store.keyMaterial.entries };
}

describe('private keys in the store', () => {
  test('are encrypted when they are written and decrypted when they are read; certificates stay as they are', async () => {
    const { open, raw } = setUp();
    const material = await open();
    await putKeyMaterial(
      material,
      [
        { name: 'server.key', value: 'secret' },
        { name: 'server.chain', value: 'public' },
      ],
      act,
    );
    expect(raw.get('server.key')).toMatch(/^qgk1:[0-9a-f]{16}:/);
    expect(raw.get('server.key')).not.toContain('secret');
    expect(raw.get('server.chain')).toBe('public');
    expect([
      await keyMaterialOf(material, 'server.key'),
      await keyMaterialOf(material, 'server.chain'),
      await keyMaterialOf(material, 'none.key'),
    ]).toEqual(['secret', 'public', undefined]);
    await putKeyMaterial(material, [{ name: 'server.key', value: null }], act);
    expect(await material.names()).toEqual(['server.chain']);
    expect(await keyMaterialOf(await open(), 'server.chain')).toBe('public');
  });

  test('from before are encrypted at the next start, with one audit entry', async () => {
    const { open, raw, store, lines } = setUp();
    raw.set('authority.key', 'old key').set('authority.certificate', 'old certificate');
    const material = await open();
    expect(raw.get('authority.key')).toMatch(/^qgk1:/);
    expect(raw.get('authority.certificate')).toBe('old certificate');
    expect(await keyMaterialOf(material, 'authority.key')).toBe('old key');
    await open();
    expect(store.audit.entries.map(({ action, detail }) => [action, JSON.parse(detail)])).toEqual([
      ['key-material.encrypt', { names: ['authority.key'], key: expect.stringMatching(/^[0-9a-f]{16}$/) }],
    ]);
    expect(lines.map(({ text }) => text)).toEqual([
      expect.stringContaining('was made'),
      'private keys in the store were encrypted',
    ]);
  });

  test('leave no trace of what they were in the files of the store', async () => {
    const folder = temporaryFolder();
    const pem = privateKeyPem((await makeKeyPair()).privateKey);
    const secrets = pem.split('\n').filter((line) => line.length === 64);
    const files = () =>
      readdirSync(folder.path('data'))
        .map((name) => readFileSync(join(folder.path('data'), name)).toString('latin1'))
        .join();
    const start = async () =>
      await openSqliteStore({ folder: folder.path('data'), deduplicationMs: 1, onFailure: () => undefined });
    const before = await start();
    await putKeyMaterial(before.keyMaterial, [{ name: 'authority.key', value: pem }], act);
    await before.stop();
    for (const secret of secrets) expect(files()).toContain(secret);
    const after = await start();
    const sources = {
      dataFolder: folder.path('data'),
      file: undefined,
      previousFile: undefined,
      environment: undefined,
      credentialsFolder: undefined,
    };
    const material = await openKeyMaterial({
      store: after.keyMaterial,
      sources,
      log: { info() {}, warn() {} },
      now: Date.now,
    });
    expect(await keyMaterialOf(material, 'authority.key')).toBe(pem);
    await after.stop();
    for (const secret of secrets) expect(files()).not.toContain(secret);
    expect(files()).not.toContain('PRIVATE KEY');
  });

  test('do not open under another name, nor when they were changed', async () => {
    const { open, raw } = setUp();
    const material = await open();
    await putKeyMaterial(
      material,
      [
        { name: 'a.key', value: 'one' },
        { name: 'b.key', value: 'two' },
      ],
      act,
    );
    const encrypted = raw.get('a.key') ?? '';
    raw.set('b.key', encrypted);
    await expect(keyMaterialOf(material, 'b.key')).rejects.toMatchObject({ code: 'key_material_damaged' });
    await expect(open()).rejects.toMatchObject({ code: 'key_material_damaged', parameters: { name: 'b.key' } });
    const at = encrypted.length - 5;
    raw.set('b.key', encrypt(keyEncryptionKey(randomBytes(32), 'x'), 'b.key', 'two'));
    raw.set('a.key', encrypted.slice(0, at) + (encrypted[at] === 'A' ? 'B' : 'A') + encrypted.slice(at + 1));
    await expect(keyMaterialOf(material, 'a.key')).rejects.toMatchObject({ code: 'key_material_damaged' });
    raw.set('a.key', 'qgk1:nonsense');
    await expect(keyMaterialOf(material, 'a.key')).rejects.toMatchObject({ code: 'key_material_damaged' });
  });

  test('are encrypted differently each time', () => {
    const key = keyEncryptionKey(randomBytes(32), 'x');
    const [one, other] = [encrypt(key, 'n', 'text'), encrypt(key, 'n', 'text')];
    expect(one).not.toBe(other);
    expect([
      decrypt(key, 'n', one),
      decrypt(key, 'n', other),
      decrypt(key, 'm', one),
      decrypt(key, 'n', 'text'),
    ]).toEqual(['text', 'text', undefined, undefined]);
  });
});

describe('the key that encrypts them', () => {
  test('is made once in the data folder, 0600, and the log says so once', async () => {
    const { folder, open, lines } = setUp();
    await putKeyMaterial(await open(), [{ name: 'a.key', value: 'one' }], act);
    const file = folder.path('key-encryption-key');
    expect(statSync(file).mode & 0o777).toBe(0o600);
    const made = readFileSync(file, 'utf8');
    expect(Buffer.from(made, 'base64')).toHaveLength(32);
    expect(await keyMaterialOf(await open(), 'a.key')).toBe('one');
    expect(readFileSync(file, 'utf8')).toBe(made);
    expect(lines).toEqual([
      { level: 'info', facts: { file }, text: expect.stringContaining('keep a copy of it apart') },
    ]);
    expect(JSON.stringify(lines)).not.toContain(made.trim());
  });

  test.each([
    ['as openssl rand -base64 makes it', () => openssl('rand', '-base64', '32')],
    ['as openssl rand -hex makes it', () => openssl('rand', '-hex', '32')],
    ['as 32 bytes', () => randomBytes(32)],
  ])('comes from a file, %s', async (_how, make) => {
    const { folder, open } = setUp();
    const file = folder.path('kek');
    writeFileSync(file, make(), { mode: 0o600 });
    await putKeyMaterial(await open({ file }), [{ name: 'a.key', value: 'one' }], act);
    expect(await keyMaterialOf(await open({ file }), 'a.key')).toBe('one');
    expect(readdirSync(folder.path('.'))).toEqual(['kek']);
  });

  test('comes from the environment, or from a systemd credential; a file goes before both', async () => {
    const { folder, open } = setUp();
    const [key, other] = [randomBytes(32).toString('base64'), randomBytes(32).toString('base64')];
    mkdirSync(folder.path('credentials'));
    folder.write('credentials/queuegate-key', `${key}\n`);
    chmodSync(folder.write('kek', key), 0o600);
    await putKeyMaterial(await open({ environment: key }), [{ name: 'a.key', value: 'one' }], act);
    expect(await keyMaterialOf(await open({ credentialsFolder: folder.path('credentials') }), 'a.key')).toBe('one');
    expect(await keyMaterialOf(await open({ file: folder.path('kek'), environment: other }), 'a.key')).toBe('one');
    await expect(open({ environment: other, credentialsFolder: folder.path('credentials') })).rejects.toMatchObject({
      code: 'key_encryption_key_wrong',
    });
    // A unit with other credentials only.
    await expect(open({ credentialsFolder: folder.path('.') })).rejects.toMatchObject({
      code: 'key_encryption_key_missing',
    });
  });

  test('missing or wrong: a clear error, and nothing is written', async () => {
    const { folder, open, raw, store } = setUp();
    chmodSync(folder.write('kek', randomBytes(32).toString('hex')), 0o600);
    await putKeyMaterial(await open({ file: folder.path('kek') }), [{ name: 'a.key', value: 'one' }], act);
    raw.set('b.key', 'not yet encrypted');
    const before = [...raw];
    const audited = store.audit.entries.length;
    await expect(open()).rejects.toMatchObject({ code: 'key_encryption_key_missing' });
    expect(readdirSync(folder.path('.'))).toEqual(['kek']);
    await expect(open({ environment: randomBytes(32).toString('hex') })).rejects.toMatchObject({
      code: 'key_encryption_key_wrong',
    });
    await expect(open({ file: folder.path('gone') })).rejects.toMatchObject({ code: 'file_missing' });
    expect([...raw]).toEqual(before);
    expect(store.audit.entries).toHaveLength(audited);
  });

  test('a password is not a key, and its text is in no error', async () => {
    const { open } = setUp();
    for (const environment of ['correct horse battery staple', '0'.repeat(32), 'x'.repeat(63)]) {
      const error: unknown = await open({ environment }).catch((thrown: unknown) => thrown);
      expect(error).toMatchObject({ code: 'key_encryption_key_bad' });
      expect(String(error)).not.toContain(environment);
    }
  });

  test('is changed by naming the old one beside the new one; then the old one opens nothing', async () => {
    const { folder, open, raw } = setUp();
    await putKeyMaterial(
      await open(),
      [
        { name: 'a.key', value: 'one' },
        { name: 'b.key', value: 'two' },
      ],
      act,
    );
    chmodSync(folder.write('new', randomBytes(32).toString('base64')), 0o600);
    const [file, previousFile] = [folder.path('new'), folder.path('key-encryption-key')];
    await expect(open({ file })).rejects.toMatchObject({ code: 'key_encryption_key_wrong' });
    const changed = await open({ file, previousFile });
    expect([await keyMaterialOf(changed, 'a.key'), await keyMaterialOf(changed, 'b.key')]).toEqual(['one', 'two']);
    expect(new Set([...raw.values()].map((value) => value.split(':')[1])).size).toBe(1);
    // Again with both, then without the old one: nothing more to do.
    const encrypted = [...raw.values()];
    await open({ file, previousFile });
    expect([...raw.values()]).toEqual(encrypted);
    await expect(open()).rejects.toMatchObject({ code: 'key_encryption_key_wrong' });
  });

  test('of several Centrals on one store: it is changed at one node after the other, and each reads what the others seal', async () => {
    const { folder, open, raw, store } = setUp();
    const [old, next] = ['old', 'new'].map((name) => {
      chmodSync(folder.write(name, randomBytes(32).toString('base64')), 0o600);
      return folder.path(name);
    }) as [string, string];
    await putKeyMaterial(await open({ file: old }), [{ name: 'a.key', value: 'one' }], act);
    // First each node knows both.
    const patient = await open({ file: old, previousFile: next });
    const changed = await open({ file: next, previousFile: old });
    expect(await keyMaterialOf(patient, 'a.key')).toBe('one');
    await putKeyMaterial(patient, [{ name: 'b.key', value: 'two' }], act);
    expect(await keyMaterialOf(changed, 'b.key')).toBe('two');
    await open({ file: next, previousFile: old });
    expect(new Set([...raw.values()].map((value) => value.split(':')[1])).size).toBe(1);
    expect(await keyMaterialOf(await open({ file: next }), 'b.key')).toBe('two');
    expect(store.audit.entries.filter(({ action }) => action === 'key-material.encrypt')).toHaveLength(2);
  });

  test('made by two first starts at once without a common key: one of them stays, the other is taken back and says whose to copy', async () => {
    const store = memoryStore();
    const [one, other] = [setUp(store), setUp(store)];
    const [ofOne, ofOther] = [
      { others: () => ['node-2'], made: {} },
      { others: () => ['node-1'], made: {} },
    ];
    const material = await one.open({}, ofOne);
    const lost = await other.open({}, ofOther);
    expect(readdirSync(other.folder.path('.'))).toEqual(['key-encryption-key']);
    await putKeyMaterial(material, [{ name: 'authority.key', value: 'one' }], act);
    await expect(lost.load('authority')).rejects.toMatchObject({ code: 'key_encryption_key_elsewhere' });
    // It lost, and looks again.
    await expect(other.open({}, ofOther)).rejects.toMatchObject({
      code: 'key_encryption_key_elsewhere',
      hint: expect.stringContaining('from the host of node-1'),
    });
    expect(readdirSync(other.folder.path('.'))).toEqual([]);
    expect(await keyMaterialOf(await one.open({}, ofOne), 'authority.key')).toBe('one');
    // One that was made by an earlier start is not deleted: it is not known what it has sealed.
    writeFileSync(other.folder.path('key-encryption-key'), randomBytes(32).toString('base64'), { mode: 0o600 });
    await expect(other.open({}, { ...ofOther, made: {} })).rejects.toMatchObject({
      code: 'key_encryption_key_elsewhere',
    });
    expect(readdirSync(other.folder.path('.'))).toEqual(['key-encryption-key']);
    expect(
      await keyMaterialOf(await other.open({ file: one.folder.path('key-encryption-key') }), 'authority.key'),
    ).toBe('one');
  });

  test('that others may read is reported, and used', async () => {
    const { folder, open, lines } = setUp();
    chmodSync(folder.write('kek', randomBytes(32).toString('hex')), 0o644);
    await open({ file: folder.path('kek') });
    expect(lines).toEqual([
      { level: 'warn', facts: { file: folder.path('kek') }, text: expect.stringContaining('chmod 600') },
    ]);
  });
});
