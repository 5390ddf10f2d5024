import { createHash, createPrivateKey } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { readJks, unlockJksKey, writeJks } from '../../../shared/keystore/jks.ts';
import { thumbprint, type TrustedEntry } from '../../../shared/keystore/material.ts';
import { KEYSTORES, fixture, lacks, run, temporaryFolder } from './peers.ts';
import { importCertificate } from '../../tool-arguments.ts';

describe('readJks', () => {
  test('reads trusted certificates with alias and date', async () => {
    const { entries } = await readJks({
      bytes: fixture('truststore.jks'),
      file: 'truststore.jks',
      password: 'changeit',
    });
    expect(entries.map(({ kind, alias, certificates: [der] }) => [kind, alias, thumbprint(der).slice(0, 8)])).toEqual([
      ['trusted', 'examplebank', '56:51:0A'],
      ['trusted', 'examplebank-ec', 'D5:89:CD'],
    ]);
    expect(entries[0]?.created?.toISOString()).toMatch(/^2026-11-22T/);
  });

  test('tries changeit when no password is known', async () => {
    expect((await readJks({ bytes: fixture('truststore.jks'), file: 'f' })).entries).toHaveLength(2);
  });

  test('reads a private key entry, and unlockJksKey opens its key', async () => {
    const { entries } = await readJks({ bytes: fixture('keystore.jks'), file: 'f', password: 'changeit' });
    expect(entries).toEqual([expect.objectContaining({ kind: 'key', alias: 'orchestra', protection: 'jks' })]);
    const [entry] = entries;
    if (entry?.kind !== 'key') throw new Error('no key');
    const key = createPrivateKey({ key: unlockJksKey(entry.key, 'changeit'), format: 'der', type: 'pkcs8' });
    expect(key.type).toBe('private');
    expect(() => unlockJksKey(entry.key, 'wrong!')).toThrow(
      expect.objectContaining({ code: 'keystore_key_password_wrong' }),
    );
    expect(() => unlockJksKey(Buffer.from('3003020100', 'hex'), 'changeit')).toThrow(
      expect.objectContaining({ code: 'keystore_key_unsupported' }),
    );
  });

  test('reads version 1, which says no certificate types', async () => {
    const entry: TrustedEntry = {
      kind: 'trusted',
      alias: 'old',
      created: new Date(0),
      certificates: [fixture('root-ec.cer')],
    };
    const modern = writeJks([entry], 'changeit');
    // The same store as version 1: the type "X.509" before the certificate is not there. Its digest is made by writeJks
    // over other bytes, so the test makes one of its own.
    const data = modern.subarray(0, -20);
    const typeAt = data.indexOf(Buffer.from('\0\x05X.509', 'latin1'));
    const old = Buffer.concat([data.subarray(0, typeAt), data.subarray(typeAt + 7)]);
    old.writeUInt32BE(1, 4);
    const sealed = seal(old, 'changeit');
    expect((await readJks({ bytes: sealed, file: 'f' })).entries).toEqual([entry]);
  });

  test('accepts no bit of the file changed', async () => {
    const bytes = fixture('truststore-password-s3cret.jks');
    for (let bit = 0; bit < bytes.length * 8; bit += 7) {
      const changed = Buffer.from(bytes);
      changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
      await expect(readJks({ bytes: changed, file: 'f', password: 's3cret' })).rejects.toThrow(
        expect.objectContaining({ name: 'CodedError' }),
      );
    }
  });

  test('does not allocate what a forged length announces', async () => {
    const forged = seal(
      Buffer.from('feedfeed00000002000000010000000200016100000000000000000005582e3530397fffffff', 'hex'),
      'changeit',
    );
    await expect(readJks({ bytes: forged, file: 'f' })).rejects.toThrow(
      expect.objectContaining({ code: 'keystore_damaged' }),
    );
    const many = seal(Buffer.from('feedfeed000000027fffffff', 'hex'), 'changeit');
    await expect(readJks({ bytes: many, file: 'f' })).rejects.toThrow(
      expect.objectContaining({ code: 'keystore_too_large', message: expect.stringContaining('2147483647 entries') }),
    );
  });
});

describe('writeJks', () => {
  const entries: TrustedEntry[] = [
    {
      kind: 'trusted',
      alias: 'Example Bank',
      created: new Date('2024-02-29T12:00:00Z'),
      certificates: [fixture('root-ec.cer')],
    },
    { kind: 'trusted', alias: 'köln-\u{1F512}\0', created: new Date(0), certificates: [fixture('root-ec.cer')] },
  ];

  test('writes what readJks reads, aliases in lower case', async () => {
    const { entries: read } = await readJks({
      bytes: writeJks(entries, 'pässwörd €'),
      file: 'f',
      password: 'pässwörd €',
    });
    expect(read).toEqual(entries.map((entry) => ({ ...entry, alias: entry.alias.toLowerCase() })));
  });

  test('writes a store that keytool made back to the same bytes', async () => {
    const bytes = fixture('keystore.jks');
    expect(writeJks((await readJks({ bytes, file: 'f' })).entries, 'changeit').equals(bytes)).toBe(true);
  });

  test.skipIf(lacks('keytool'))('is listed by keytool as trustedCertEntry, with the same fingerprints', async () => {
    await using folder = await temporaryFolder();
    await writeFile(folder.path('t.jks'), writeJks(entries, 'changeit'));
    const listed = await run('keytool', [
      '-list',
      '-keystore',
      folder.path('t.jks'),
      '-storetype',
      'JKS',
      '-storepass',
      'changeit',
    ]);
    expect(listed.match(/trustedCertEntry/g)).toHaveLength(2);
    expect(listed).toContain('example bank, Feb 29, 2024');
    expect(listed).toContain(thumbprint(fixture('root-ec.cer')));
  });
});

test.skipIf(lacks('keytool'))('keytool makes JKS stores that are read, with any password', async () => {
  await using folder = await temporaryFolder();
  const path = folder.path('made.jks');
  const password = 'S3cret with space';
  await run('keytool', [
    ...importCertificate({ file: `${KEYSTORES}root-rsa.crt`, store: path, type: 'JKS', alias: 'RootOne', password }),
  ]);
  await run('keytool', [
    '-genkeypair',
    '-keystore',
    path,
    '-storetype',
    'JKS',
    '-storepass',
    password,
    '-keypass',
    'another1',
    '-alias',
    'server',
    '-keyalg',
    'RSA',
    '-dname',
    'CN=server.example.test',
  ]);
  const { entries } = await readJks({ bytes: await readFile(path), file: path, password });
  expect(entries.map(({ kind, alias }) => `${kind} ${alias}`).toSorted()).toEqual(['key server', 'trusted rootone']);
  const key = entries.find((entry) => entry.kind === 'key');
  expect(
    createPrivateKey({ key: unlockJksKey(key?.key ?? Buffer.alloc(0), 'another1'), format: 'der', type: 'pkcs8' })
      .asymmetricKeyType,
  ).toBe('rsa');
});

/** The digest of JavaKeyStore, made independently of the code under test. */
function seal(data: Buffer, password: string): Buffer {
  const utf16 = Buffer.from(password.replaceAll(/./g, '\0$&'), 'latin1');
  return Buffer.concat([data, createHash('sha1').update(utf16).update('Mighty Aphrodite').update(data).digest()]);
}
