// Our reading and writing against the lists that keytool (JDK 17) and openssl make of the same file: every entry with
// its kind, its alias, the fingerprints of its whole chain in order, and the private key itself. And what each file of
// the fixtures comes to.
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readdirSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { CodedError } from '../../../shared/errors.ts';
import { thumbprint, type KeyEntry, type Store, type StoreEntry } from '../../../shared/keystore/material.ts';
import { encodeStore, openStore } from '../../../shared/keystore/open.ts';
import { openKey, protectKey } from '../../../shared/keystore/private-key.ts';
import { fixture, KEYSTORES, lacks, run, temporaryFolder } from './peers.ts';
import { importCertificate } from '../../tool-arguments.ts';

const PASSWORD = 's3cret-Pass';

/** One entry as a line: kind, alias, and the fingerprints of its certificates in order. Java has no case in aliases. */
type Line = string;

function ours(entries: readonly StoreEntry[]): Line[] {
  return entries
    .map(({ kind, alias, certificates }) =>
      [kind, alias.toLowerCase(), ...certificates.map((der) => thumbprint(der))].join(' '),
    )
    .toSorted();
}

/** What `keytool -list -v` says of a file. */
async function keytoolList(path: string, type: string): Promise<Line[]> {
  const listed = await run('keytool', ['-list', '-v', '-keystore', path, '-storetype', type, '-storepass', PASSWORD]);
  return listed
    .split(/^Alias name: /m)
    .slice(1)
    .map((entry) => {
      const kind = /^Entry type: PrivateKeyEntry/m.test(entry)
        ? 'key'
        : /^Entry type: trustedCertEntry/m.test(entry)
          ? 'trusted'
          : 'unknown';
      return [
        kind,
        entry.split('\n', 1)[0]?.trim().toLowerCase(),
        ...Array.from(entry.matchAll(/^\s*SHA256: ([0-9A-F:]+)$/gm), ([, found]) => found),
      ].join(' ');
    })
    .toSorted();
}

/** What `openssl pkcs12` shows: fingerprints of all certificates, friendly names, and the private key as DER in hex. */
async function opensslShow(
  path: string,
  ...more: string[]
): Promise<{ certificates: string[]; names: string[]; key: string | undefined }> {
  const shown = await run('openssl', ['pkcs12', '-in', path, '-passin', `pass:${PASSWORD}`, '-noenc', ...more]);
  const blocks = (label: string): string[] =>
    shown.match(new RegExp(`-----BEGIN ${label}-----[^]*?-----END ${label}-----`, 'g')) ?? [];
  const [key] = blocks('PRIVATE KEY');
  return {
    certificates: blocks('CERTIFICATE')
      .map((pem) => thumbprint(new X509Certificate(pem).raw))
      .toSorted(),
    names: [...new Set(Array.from(shown.matchAll(/^ {4}friendlyName: (.*)$/gm), ([, name]) => name ?? ''))].toSorted(),
    key: key === undefined ? undefined : derOf(key),
  };
}

function derOf(pem: string): string {
  return createPrivateKey(pem).export({ format: 'der', type: 'pkcs8' }).toString('hex');
}

async function keyOf(entry: KeyEntry, password = PASSWORD): Promise<string> {
  return createPrivateKey({ key: await openKey(entry, password), format: 'der', type: 'pkcs8' })
    .export({ format: 'der', type: 'pkcs8' })
    .toString('hex');
}

function keyEntry({ entries }: Store): KeyEntry {
  const found = entries.find((entry) => entry.kind === 'key');
  if (found === undefined) throw new Error('there is no key');
  return found;
}

const CENTRAL_KEY = derOf(fixture('central.key').toString());
const LEAF = thumbprint(new X509Certificate(fixture('central.crt')).raw);
const EC_ROOT = thumbprint(new X509Certificate(fixture('root-ec.crt')).raw);
const RSA_ROOT = thumbprint(new X509Certificate(fixture('root-rsa.crt')).raw);
const KEY_LINE = `key orchestra ${LEAF} ${EC_ROOT}`;

/** A key with its chain, as openssl makes it. */
async function opensslMakes(path: string, ...how: string[]): Promise<void> {
  await run('openssl', [
    'pkcs12',
    '-export',
    '-in',
    `${KEYSTORES}central.crt`,
    '-inkey',
    `${KEYSTORES}central.key`,
    '-certfile',
    `${KEYSTORES}root-ec.crt`,
    '-name',
    'Orchestra',
    '-passout',
    `pass:${PASSWORD}`,
    '-out',
    path,
    ...how,
  ]);
}

describe.skipIf(lacks('keytool', 'openssl'))('files of other tools', () => {
  test.each<readonly [string, string, readonly string[]]>([
    ['JKS', 'JKS', []],
    ['PKCS#12', 'PKCS12', []],
    ['PKCS#12 as Java 8 wrote it (RC2, 3DES)', 'PKCS12', ['-J-Dkeystore.pkcs12.legacy']],
  ])(
    'keytool, %s: a key with its chain and a trusted certificate are read as keytool lists them',
    async (_what, type, flags) => {
      await using folder = await temporaryFolder();
      const [from, path] = [folder.path('from.p12'), folder.path('made')];
      await opensslMakes(from);
      await run('keytool', [
        ...flags,
        '-importkeystore',
        '-noprompt',
        '-srckeystore',
        from,
        '-srcstoretype',
        'PKCS12',
        '-srcstorepass',
        PASSWORD,
        '-destkeystore',
        path,
        '-deststoretype',
        type,
        '-deststorepass',
        PASSWORD,
      ]);
      await run('keytool', [
        ...flags,
        ...importCertificate({
          file: `${KEYSTORES}root-rsa.crt`,
          store: path,
          type,
          alias: 'Bank Root',
          password: PASSWORD,
        }),
      ]);
      const store = await openStore({ bytes: await readFile(path), file: path, password: PASSWORD });
      expect(ours(store.entries)).toEqual([KEY_LINE, `trusted bank root ${RSA_ROOT}`]);
      expect(await keytoolList(path, type)).toEqual(ours(store.entries));
      expect(await keyOf(keyEntry(store))).toBe(CENTRAL_KEY);
      expect(store.warnings).toEqual([]);
    },
  );

  test.each<readonly [string, readonly string[], readonly string[]]>([
    ['as it is today', [], []],
    ['-legacy (RC2-40, 3DES)', ['-legacy'], ['-legacy']],
    ['-descert (3DES throughout)', ['-legacy', '-descert'], ['-legacy']],
    ['AES-128 and a MAC of SHA-512', ['-keypbe', 'AES-128-CBC', '-certpbe', 'AES-128-CBC', '-macalg', 'sha512'], []],
    ['with open certificates', ['-certpbe', 'NONE'], []],
  ])('openssl, %s: a key with its chain is read as openssl shows it', async (_what, how, more) => {
    await using folder = await temporaryFolder();
    const path = folder.path('made.p12');
    await opensslMakes(path, ...how);
    const store = await openStore({ bytes: await readFile(path), file: path, password: PASSWORD });
    expect(ours(store.entries)).toEqual([KEY_LINE]);
    expect(await keyOf(keyEntry(store))).toBe(CENTRAL_KEY);
    expect(await opensslShow(path, ...more)).toEqual({
      certificates: [LEAF, EC_ROOT].toSorted(),
      names: ['Orchestra'],
      key: CENTRAL_KEY,
    });
  });
});

describe.skipIf(lacks('keytool', 'openssl'))('files that we write', () => {
  async function entries(protection: 'jks' | 'pkcs8'): Promise<StoreEntry[]> {
    const created = new Date('2026-01-02T03:04:05Z');
    const certificates = [fixture('central.crt'), fixture('root-ec.crt')].map((pem) => new X509Certificate(pem).raw);
    return [
      {
        kind: 'key',
        alias: 'orchestra',
        created,
        certificates,
        protection,
        key: await protectKey(Buffer.from(CENTRAL_KEY, 'hex'), protection, PASSWORD),
      },
      {
        kind: 'trusted',
        alias: 'bank root',
        created,
        certificates: [new X509Certificate(fixture('root-rsa.crt')).raw],
      },
      { kind: 'trusted', alias: 'zürich 2', created, certificates: [new X509Certificate(fixture('root-ec.crt')).raw] },
    ];
  }

  test.each([
    ['jks', 'JKS', 'jks'],
    ['pkcs12', 'PKCS12', 'pkcs8'],
  ] as const)(
    '%s: keytool lists every entry with kind, alias and chain, and uses the key',
    async (format, type, protection) => {
      await using folder = await temporaryFolder();
      const path = folder.path('ours');
      const written = await entries(protection);
      await writeFile(path, await encodeStore(format, written, PASSWORD));
      // keytool prints "?" for letters that the C locale has not; what it read is what we wrote.
      const plain = (lines: readonly Line[]): Line[] =>
        lines.map((line) => line.replaceAll(/[^\x20-\x7e]+/g, '?')).toSorted();
      expect(plain(await keytoolList(path, type))).toEqual(plain(ours(written)));
      expect(
        await run('keytool', [
          '-certreq',
          '-keystore',
          path,
          '-storetype',
          type,
          '-storepass',
          PASSWORD,
          '-alias',
          'orchestra',
        ]),
      ).toContain('BEGIN NEW CERTIFICATE REQUEST');
      // And through Java into a file that openssl reads: the same key.
      const across = folder.path('across.p12');
      await run('keytool', [
        '-importkeystore',
        '-noprompt',
        '-srckeystore',
        path,
        '-srcstoretype',
        type,
        '-srcstorepass',
        PASSWORD,
        '-srcalias',
        'orchestra',
        '-destkeystore',
        across,
        '-deststoretype',
        'PKCS12',
        '-deststorepass',
        PASSWORD,
      ]);
      expect(await opensslShow(across)).toMatchObject({ certificates: [LEAF, EC_ROOT].toSorted(), key: CENTRAL_KEY });
    },
  );

  test('pkcs12: openssl shows every certificate, its alias and the key, without -legacy', async () => {
    await using folder = await temporaryFolder();
    const path = folder.path('ours.p12');
    await writeFile(path, await encodeStore('pkcs12', await entries('pkcs8'), PASSWORD));
    const { certificates, names, key } = await opensslShow(path);
    expect(certificates).toEqual([LEAF, EC_ROOT, EC_ROOT, RSA_ROOT].toSorted());
    expect(names).toEqual(expect.arrayContaining(['bank root', 'orchestra']));
    expect(names).toHaveLength(3);
    expect(key).toBe(CENTRAL_KEY);
  });
});

describe('the fixtures', () => {
  /** What openStore makes of each without a password: the format and its entries, or the error. */
  const VERDICTS: Readonly<Record<string, string>> = {
    'README.md': 'keystore_is_text',
    'central.crt': 'pem: 1 trusted',
    'central.key': 'pem: 0', // no certificate; loadTruststore says what it is
    'keystore-legacy-rc2.p12': 'pkcs12: 1 key',
    'keystore-modern.p12': 'pkcs12: 1 key',
    'keystore.jks': 'jks: 1 key',
    'root-ec.cer': 'der: 1 trusted',
    'root-ec.crt': 'pem: 1 trusted',
    'root-rsa.crt': 'pem: 1 trusted',
    'tampered.jks': 'keystore_tampered',
    'truncated.jks': 'keystore_truncated',
    'truststore-password-s3cret.jks': 'keystore_password_missing',
    'truststore-pkcs12.jks': 'pkcs12: 2 trusted',
    'truststore.jceks': 'keystore_jceks',
    'truststore.jks': 'jks: 2 trusted',
  };

  async function verdict(name: string, password?: string): Promise<string> {
    try {
      const { format, entries } = await openStore({ bytes: fixture(name), file: name, password });
      return `${format}: ${entries.length} ${[...new Set(entries.map(({ kind }) => kind))].join(', ')}`.trim();
    } catch (error) {
      if (error instanceof CodedError) return error.code;
      throw error;
    }
  }

  test('each opens as what it is, or is refused with an error of its own', async () => {
    const found = Object.fromEntries(
      await Promise.all(readdirSync(KEYSTORES).map(async (name) => [name, await verdict(name)] as const)),
    );
    expect(found).toEqual(VERDICTS);
    const codes = Object.values(VERDICTS).filter((text) => text.startsWith('keystore_'));
    expect(new Set(codes).size).toBe(codes.length);
    expect(await verdict('truststore-password-s3cret.jks', 's3cret')).toBe('jks: 1 trusted');
    expect(await verdict('truststore-password-s3cret.jks', 'changeit')).toBe('keystore_password_wrong');
  });
});
