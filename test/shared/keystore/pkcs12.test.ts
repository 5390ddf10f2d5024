import { createPrivateKey } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { thumbprint, type StoreEntry, type TrustedEntry } from '../../../shared/keystore/material.ts';
import { MAX_PKCS12_BYTES, readPkcs12, writePkcs12 } from '../../../shared/keystore/pkcs12.ts';
import { KEYSTORES, fixture, lacks, run, temporaryFolder } from './peers.ts';
import { importCertificate } from '../../tool-arguments.ts';

const EC_ROOT = fixture('root-ec.cer');

function outline(entries: readonly StoreEntry[]): string[] {
  return entries.map(
    ({ kind, alias, certificates }) =>
      `${kind} ${alias} ${certificates.map((der) => thumbprint(der).slice(0, 8)).join(' ')}`,
  );
}

describe('readPkcs12', () => {
  test('reads the trusted entries that keytool wrote, RSA and EC', async () => {
    const { entries, warnings } = await readPkcs12({
      bytes: fixture('truststore-pkcs12.jks'),
      file: 'f',
      password: 'changeit',
    });
    expect(outline(entries).toSorted()).toEqual(['trusted examplebank 56:51:0A', 'trusted examplebank-ec D5:89:CD']);
    expect(warnings).toEqual([]);
  });

  test.each(['keystore-modern.p12', 'keystore-legacy-rc2.p12'])(
    'reads %s: a key and its chain, nothing trusted',
    async (name) => {
      const { entries } = await readPkcs12({ bytes: fixture(name), file: name });
      expect(entries.map(({ kind, certificates }) => [kind, certificates.length])).toEqual([['key', 2]]);
      const [key] = entries;
      if (key?.kind !== 'key') throw new Error('no key');
      expect(
        createPrivateKey({ key: key.key, format: 'der', type: 'pkcs8', passphrase: 'changeit' }).asymmetricKeyType,
      ).toBe('ec');
    },
  );

  test('refuses a wrong password', async () => {
    await expect(
      readPkcs12({ bytes: fixture('truststore-pkcs12.jks'), file: 'f', password: 'wrong' }),
    ).rejects.toMatchObject({ code: 'keystore_password_wrong' });
    await expect(
      readPkcs12({ bytes: fixture('keystore-legacy-rc2.p12'), file: 'f', password: 'wrong' }),
    ).rejects.toMatchObject({ code: 'keystore_password_wrong' });
  });

  test('tells a missing password from a wrong one', async () => {
    const bytes = await writePkcs12([], 'other');
    await expect(readPkcs12({ bytes, file: 'f' })).rejects.toMatchObject({ code: 'keystore_password_missing' });
  });

  test.each(['truststore-pkcs12.jks', 'keystore-legacy-rc2.p12'])(
    'tells tampering from a wrong password: a changed MAC in %s',
    async (name) => {
      const bytes = fixture(name);
      bytes[bytes.length - 30] = (bytes[bytes.length - 30] as number) ^ 1;
      await expect(readPkcs12({ bytes, file: 'f', password: 'changeit' })).rejects.toMatchObject({
        code: 'keystore_tampered',
      });
    },
  );

  test('tells tampering from a wrong password: a changed byte in the contents', async () => {
    const bytes = fixture('truststore-pkcs12.jks');
    bytes[900] = (bytes[900] as number) ^ 1;
    await expect(readPkcs12({ bytes, file: 'f', password: 'changeit' })).rejects.toMatchObject({
      code: 'keystore_tampered',
    });
  });

  test('refuses an iteration count that would keep it busy for minutes', async () => {
    const bytes = fixture('truststore-pkcs12.jks');
    // The file ends in INTEGER 10000 (02 02 27 10), inside three SEQUENCEs whose lengths grow by one.
    const forged = Buffer.concat([bytes.subarray(0, -4), Buffer.from('02047fffffff', 'hex')]);
    forged.writeUInt16BE(bytes.readUInt16BE(2) + 2, 2);
    forged[1752] = (bytes[1752] as number) + 2;
    await expect(readPkcs12({ bytes: forged, file: 'f', password: 'changeit' })).rejects.toMatchObject({
      code: 'keystore_damaged',
      message: expect.stringContaining('2147483647 iterations'),
    });
  });

  test('refuses more than two mebibytes before it parses them', async () => {
    await expect(readPkcs12({ bytes: Buffer.alloc(MAX_PKCS12_BYTES + 1), file: 'f' })).rejects.toMatchObject({
      code: 'keystore_too_large',
    });
  });
});

describe('writePkcs12', () => {
  const entries: TrustedEntry[] = [
    { kind: 'trusted', alias: 'root one', created: undefined, certificates: [EC_ROOT] },
    { kind: 'trusted', alias: 'köln', created: undefined, certificates: [EC_ROOT] },
  ];

  test('writes what readPkcs12 reads', async () => {
    expect(
      (await readPkcs12({ bytes: await writePkcs12(entries, 'pässwörd'), file: 'f', password: 'pässwörd' })).entries,
    ).toEqual(entries);
  });

  test('keeps private keys and their chains as they were', async () => {
    const { entries: read } = await readPkcs12({ bytes: fixture('keystore-modern.p12'), file: 'f' });
    const again = await readPkcs12({ bytes: await writePkcs12([...read, ...entries], 'changeit'), file: 'f' });
    expect(again.entries).toEqual([...read, ...entries]);
  });

  test('refuses a key under the protection of JKS', async () => {
    const key: StoreEntry = {
      kind: 'key',
      alias: 'k',
      created: undefined,
      certificates: [EC_ROOT],
      protection: 'jks',
      key: Buffer.alloc(60),
    };
    await expect(writePkcs12([key], 'changeit')).rejects.toMatchObject({ code: 'keystore_cannot_hold' });
  });

  test.skipIf(lacks('keytool', 'openssl'))(
    'is listed by keytool as trustedCertEntry, and read by openssl',
    async () => {
      await using folder = await temporaryFolder();
      const path = folder.path('t.p12');
      await writeFile(path, await writePkcs12(entries, 'changeit'));
      const listed = await run('keytool', [
        '-list',
        '-keystore',
        path,
        '-storetype',
        'PKCS12',
        '-storepass',
        'changeit',
      ]);
      expect(listed.match(/trustedCertEntry/g)).toHaveLength(2);
      expect(listed).toContain(thumbprint(EC_ROOT));
      const shown = await run('openssl', ['pkcs12', '-in', path, '-passin', 'pass:changeit', '-nokeys', '-info']);
      expect(shown).toContain('MAC: sha256, Iteration 10000');
      expect(shown).toContain('PBES2, PBKDF2, AES-256-CBC, Iteration 10000, PRF hmacWithSHA256');
      expect(shown).toContain('friendlyName: root one');
      expect(shown.match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    },
  );

  test.skipIf(lacks('keytool'))('leaves a key that keytool still opens', async () => {
    await using folder = await temporaryFolder();
    const made = folder.path('made.p12');
    await run('keytool', [
      '-genkeypair',
      '-keystore',
      made,
      '-storetype',
      'PKCS12',
      '-storepass',
      'changeit',
      '-alias',
      'server',
      '-keyalg',
      'EC',
      '-dname',
      'CN=server.example.test',
    ]);
    const { entries: read } = await readPkcs12({ bytes: await readFile(made), file: made });
    expect(read.map(({ kind, alias, created }) => [kind, alias, created instanceof Date])).toEqual([
      ['key', 'server', true],
    ]);
    const path = folder.path('again.p12');
    await writeFile(path, await writePkcs12([...read, ...entries], 'changeit'));
    const listed = await run('keytool', ['-list', '-keystore', path, '-storepass', 'changeit']);
    expect(listed).toContain('PrivateKeyEntry');
    expect(listed.match(/trustedCertEntry/g)).toHaveLength(2);
    await run('keytool', ['-certreq', '-keystore', path, '-storepass', 'changeit', '-alias', 'server']);
  });
});

describe('files of real tools', () => {
  test.skipIf(lacks('keytool'))('keytool: a truststore, with modern and with legacy protection', async () => {
    for (const legacy of [[], ['-J-Dkeystore.pkcs12.legacy']]) {
      await using folder = await temporaryFolder();
      const path = folder.path('made.jks');
      await run('keytool', [
        ...legacy,
        ...importCertificate({ file: `${KEYSTORES}root-ec.crt`, store: path, alias: 'Root', password: 's3cret' }),
      ]);
      expect(
        outline((await readPkcs12({ bytes: await readFile(path), file: path, password: 's3cret' })).entries),
      ).toEqual(['trusted Root D5:89:CD']);
    }
  });

  test.skipIf(lacks('openssl'))(
    'openssl: certificates alone count as trusted, with a warning that Java sees none',
    async () => {
      for (const options of [[], ['-legacy'], ['-certpbe', 'NONE'], ['-macalg', 'sha512', '-certpbe', 'AES-128-CBC']]) {
        await using folder = await temporaryFolder();
        const path = folder.path('made.p12');
        await run('openssl', [
          'pkcs12',
          '-export',
          '-nokeys',
          '-in',
          `${KEYSTORES}root-ec.crt`,
          '-caname',
          'x',
          '-name',
          'The Root',
          '-passout',
          'pass:s3cret',
          '-out',
          path,
          ...options,
        ]);
        const bytes = await readFile(path);
        const { entries, warnings } = await readPkcs12({ bytes, file: path, password: 's3cret' });
        expect(outline(entries)).toEqual([expect.stringMatching(/^trusted .* D5:89:CD$/)]);
        expect(warnings).toEqual([expect.stringContaining('Java sees it as empty')]);
        await expect(readPkcs12({ bytes, file: path, password: 'wrong' })).rejects.toMatchObject({
          code: 'keystore_password_wrong',
        });
      }
    },
  );

  test.skipIf(lacks('openssl'))('openssl: without MAC it opens with a warning', async () => {
    await using folder = await temporaryFolder();
    const path = folder.path('made.p12');
    await run('openssl', [
      'pkcs12',
      '-export',
      '-nokeys',
      '-nomac',
      '-in',
      `${KEYSTORES}root-ec.crt`,
      '-passout',
      'pass:s3cret',
      '-out',
      path,
    ]);
    const { entries, warnings } = await readPkcs12({ bytes: await readFile(path), file: path });
    expect(entries).toHaveLength(1);
    expect(warnings[0]).toContain('has no MAC');
  });

  test.skipIf(lacks('keytool', 'openssl'))('openssl -jdktrust: marked as keytool marks it', async ({ skip }) => {
    const help = await run('openssl', ['pkcs12', '-help']);
    if (!help.includes('-jdktrust')) skip('this openssl has no -jdktrust (3.2 and later have it)');
    await using folder = await temporaryFolder();
    const path = folder.path('made.p12');
    await run('openssl', [
      'pkcs12',
      '-export',
      '-nokeys',
      '-jdktrust',
      'anyExtendedKeyUsage',
      '-in',
      `${KEYSTORES}root-ec.crt`,
      '-name',
      'root',
      '-passout',
      'pass:changeit',
      '-out',
      path,
    ]);
    const { entries, warnings } = await readPkcs12({ bytes: await readFile(path), file: path });
    expect(outline(entries)).toEqual(['trusted root D5:89:CD']);
    expect(warnings).toEqual([]);
  });
});
