// Stores and certificates as the field has them (test/fixtures/field-files): each class of odd files opens, or is named
// as what it is.
import { generateKeyPairSync } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CodedError } from '../../../shared/errors.ts';
import { der, integer, octets, oid, sequence, TAG } from '../../../shared/asn1/writer.ts';
import { MAX_CERTIFICATES, parseCertificate, subjectLine, type StoreEntry } from '../../../shared/keystore/material.ts';
import { writeJks } from '../../../shared/keystore/jks.ts';
import { openStore } from '../../../shared/keystore/open.ts';
import { writePkcs12 } from '../../../shared/keystore/pkcs12.ts';
import { workBudget } from '../../../shared/keystore/pkcs12/derivation.ts';
import { openKey } from '../../../shared/keystore/private-key.ts';
import { pemOf } from '../../../shared/x509/pem.ts';
import { hasUnreadableDate } from '../../../shared/x509/validity.ts';
import { fixture, lacks, run, temporaryFolder } from './peers.ts';

const FOLDER = join(import.meta.dirname, '../../fixtures/field-files');
const field = (name: string): Buffer => readFileSync(join(FOLDER, name));
const EC = fixture('root-ec.cer');
const PEM = fixture('root-ec.crt').toString();
const BASE64 = EC.toString('base64');
const BEGIN = '-----BEGIN CERTIFICATE-----';
const END = '-----END CERTIFICATE-----';

function open(bytes: Buffer | string, password?: string) {
  return openStore({ bytes: Buffer.from(bytes as string), file: 'f', password });
}

async function faultOf(bytes: Buffer | string, password?: string): Promise<CodedError> {
  try {
    await open(bytes, password);
  } catch (error) {
    if (error instanceof CodedError) return error;
    throw error;
  }
  throw new Error('the store opened');
}

function trusted(alias: string, certificate = EC): StoreEntry {
  return { kind: 'trusted', alias, created: new Date(0), certificates: [certificate] };
}

describe('certificates without a name', () => {
  test.each([
    ['es.pem', '(no name), valid for DNS:central, DNS:localhost, IP Address:127.0.0.1'],
    ['empty-name.pem', '(no name)'],
  ])('%s is called by what it has', async (name, expected) => {
    const [entry] = (await open(field(name))).entries;
    const certificate = parseCertificate(entry?.certificates[0] ?? Buffer.alloc(0));
    expect(certificate?.subject).toBe('');
    expect(subjectLine(certificate)).toBe(expected);
  });

  test('a key without a name for its issuer has a chain of its own certificate', async () => {
    const [entry] = (await open(field('empty-name.pem'))).entries;
    const der = entry?.certificates[0] ?? Buffer.alloc(0);
    const key = sequence(sequence(oid('1.2.3')), octets(Buffer.from('key')));
    const unreadable = Buffer.from('3003020100', 'hex');
    const bytes = await writePkcs12(
      [
        { kind: 'key', alias: 'k', created: new Date(), certificates: [der], protection: 'pkcs8', key },
        trusted('odd', unreadable),
      ],
      'changeit',
    );
    expect((await open(bytes)).entries[0]).toMatchObject({ kind: 'key', certificates: [der] });
  });
});

describe('an authority and its server with one distinguished name', () => {
  test.each(['samedn-srv.pem', 'samedn-srv.der', 'samedn-chain.pem', 'samedn-v3-chain.pem', 'samedn.jks'])(
    '%s was not changed by anybody',
    async (name) => {
      expect((await open(field(name))).entries.length).toBeGreaterThan(0);
    },
  );

  test('a wrong password of such a store is a wrong password', async () => {
    expect((await faultOf(field('samedn.jks'), 'wrong-password')).code).toBe('keystore_password_wrong');
  });

  test('a root that claims its own signature and does not fit it is still found', async () => {
    expect((await faultOf(fixture('tampered.jks'))).code).toBe('keystore_tampered');
  });
});

describe('PEM', () => {
  const windows = PEM.replaceAll('\n', '\r\n');
  test.each([
    ['an end mark of DOS behind it', field('ctrlz.pem')],
    ['zeros behind it', `${PEM}\0\0\0`],
    ['zeros before it', `\0\0${PEM}`],
    ['control characters in the text before it', field('bundle-text-ctl.pem')],
    ['an end mark of DOS before the mark', `\x1a${PEM}`],
    ['line breaks written as \\n', field('escaped-nl.pem')],
    ['line breaks written as \\r\\n in JSON', JSON.stringify({ ca: windows })],
    ['line breaks written twice over', JSON.stringify(JSON.stringify({ ca: PEM }))],
    ['an environment variable', `CA="${PEM.trim()}"`],
    ['blanks instead of line breaks', PEM.trim().replaceAll('\n', ' ')],
    ['one line without anything between', `${BEGIN}${BASE64}${END}`],
    ['base64 in one line', `${BEGIN}\n${BASE64}\n${END}`],
    [
      'invisible blanks',
      PEM.replaceAll(/(.{30})/g, '$1\u200b')
        .replaceAll('\u200b-', '-')
        .replace(/--\u200b?/g, '--'),
    ],
    ['UTF-16 without a mark', Buffer.from(PEM, 'utf16le')],
    ['UTF-16 in the other order', Buffer.from(`\ufeff${PEM}`, 'utf16le').swap16()],
    ['TRUSTED CERTIFICATE', field('trusted.pem')],
    ['TRUSTED CERTIFICATE for servers', field('trusted-servers.pem')],
  ])('with %s is read', async (_, bytes) => {
    expect((await open(bytes)).entries).toHaveLength(1);
  });

  test('two files joined without a line break hold both, and the owner hears of it', async () => {
    for (const text of [field('glued.pem').toString(), `${PEM.trim()}${PEM}`, `${PEM.trim()} ${PEM}`]) {
      const { entries, warnings } = await open(text);
      expect(entries).toHaveLength(2);
      expect(warnings).toEqual([
        expect.stringContaining('END and BEGIN are on one line: put a line break between them'),
      ]);
    }
  });

  test('one line is read, and the owner hears that keytool and openssl do not read it', async () => {
    expect((await open(PEM.trim().replaceAll('\n', ' '))).warnings).toEqual([
      'f line 1: a block is on one line: put BEGIN, the base64 and END on lines of their own (keytool and openssl do not read it so).',
    ]);
    expect((await open(field('escaped-nl.pem'))).warnings[0]).toContain('line breaks are written as \\n');
    expect((await open(PEM)).warnings).toEqual([]);
  });

  test('the marks of OpenSSL count: trusted for clients only, or rejected for servers, is not trusted', async () => {
    for (const name of ['trusted-clients.pem', 'rejected-servers.pem']) {
      expect((await faultOf(field(name))).message).toContain('is not to be trusted for servers');
      expect((await open(Buffer.concat([field(name), field('trusted.pem')]))).entries).toHaveLength(1);
    }
    expect((await open(field('trusted-servers.pem'))).entries[0]?.alias).toBe('bank root');
  });

  test.each([
    ['letters that are not base64', PEM.replace('MII', '*II'), 'is not base64'],
    ['bytes that are not a certificate', pemOf('CERTIFICATE', Buffer.from('certainly not')), 'is not a certificate'],
    ['a request', pemOf('CERTIFICATE', field('csr.der')), 'a certificate request'],
    ['no END', PEM.slice(0, 300), 'meets "BEGIN CERTIFICATE"'],
    ['an END of another kind', PEM.replace('END CERTIFICATE', 'END X'), 'meets "END X"'],
    ['a PKCS#7 in it', pemOf('PKCS7', field('samedn-chain.p7b')), 'PKCS#7'],
  ])('a block with %s is left out and named, and the others are used', async (_, odd, found) => {
    const { entries, warnings, leftOut } = await open(`${odd}\n${fixture('root-rsa.crt').toString()}`);
    expect(entries).toHaveLength(1);
    expect(warnings.join()).toContain(found);
    expect(leftOut).toHaveLength(1);
  });
});

describe('DER', () => {
  test.each([
    ['a line feed behind it', Buffer.concat([EC, Buffer.from('\n')]), 1],
    ['zeros and an end mark behind it', Buffer.concat([EC, Buffer.from('\r\n\0\x1a')]), 1],
    ['two in a row', Buffer.concat([EC, EC]), 2],
    ['two in a row with a line feed', Buffer.concat([EC, EC, Buffer.from('\n')]), 2],
    ['a path of certificates (PkiPath)', sequence(EC, EC), 2],
    ['a path of one', sequence(EC), 1],
  ])('%s is read', async (_, bytes, count) => {
    const { entries } = await open(bytes);
    expect(entries.map(({ certificates: [one] }) => one)).toEqual(Array.from({ length: count }, () => EC));
  });

  const bcfks = sequence(
    sequence(sequence(oid('1.2.840.113549.1.5.13'), sequence()), octets(Buffer.from('content'))),
    sequence(sequence(oid('1.2.3')), sequence(oid('1.2.3')), octets(Buffer.from('mac'))),
  );
  test.each([
    ['csr.der', field('csr.der'), 'a certificate request'],
    ['crl.der', field('crl.der'), 'a revocation list'],
    ['pub.der', field('pub.der'), 'a public key'],
    ['key.der', field('key.der'), 'a private key alone'],
    ['sec1-key.der', field('sec1-key.der'), 'a private key alone'],
    ['pkcs1-key.der', field('pkcs1-key.der'), 'a private key alone'],
    ['encrypted-key.der', field('encrypted-key.der'), 'an encrypted private key'],
    ['BCFKS', bcfks, 'BouncyCastle FIPS (BCFKS)'],
    ['base64 without marks', BASE64, 'base64 without the lines BEGIN and END'],
    [
      'base64 in lines without marks',
      BASE64.replaceAll(/(.{64})/g, '$1\r\n'),
      'base64 without the lines BEGIN and END',
    ],
  ])('%s is named as what it is', async (_, bytes, found) => {
    const fault = await faultOf(bytes);
    expect(fault).toMatchObject({ code: 'keystore_other_kind', message: expect.stringContaining(found) });
    expect(fault.hint).not.toBe('');
  });

  test('other bytes behind it are still damage', async () => {
    expect((await faultOf(Buffer.concat([EC, Buffer.from('x')]))).code).toBe('keystore_damaged');
  });
});

describe('PKCS#12', () => {
  test('with the NULL password opens with the empty one, and without any', async () => {
    expect((await open(field('mac-null.p12'), '')).entries).toHaveLength(1);
    expect((await open(field('mac-null.p12'))).entries).toHaveLength(1);
    expect((await faultOf(field('mac-null.p12'), 'changeit')).code).toBe('keystore_password_wrong');
  });

  test('with scrypt (RFC 7914) opens, and with another password says so', async () => {
    expect((await open(field('scrypt.p12'))).entries).toMatchObject([{ kind: 'trusted', alias: 'root' }]);
    expect((await faultOf(field('scrypt.p12'), 'other-password')).code).toBe('keystore_password_wrong');
  });

  test('opens a key that openssl protected with scrypt', async () => {
    if (lacks('openssl')) return;
    await using folder = await temporaryFolder();
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    await writeFile(folder.path('k.pem'), privateKey.export({ type: 'pkcs8', format: 'pem' }));
    const files = ['-in', folder.path('k.pem'), '-out', folder.path('k.der'), '-outform', 'DER'];
    await run('openssl', ['pkcs8', '-topk8', '-scrypt', ...files, '-passout', 'pass:changeit']);
    const key = await readFile(folder.path('k.der'));
    expect(await openKey({ key, protection: 'pkcs8' }, 'changeit')).toEqual(
      privateKey.export({ type: 'pkcs8', format: 'der' }),
    );
    await expect(openKey({ key, protection: 'pkcs8' }, 'other')).rejects.toMatchObject({
      code: 'keystore_key_password_wrong',
    });
  });

  /**
   * A file without MAC whose one part is encrypted with scrypt: nothing opens it, and how far it comes is the question.
   */
  function scryptStore(...numbers: Buffer[]): Buffer {
    const kdf = sequence(oid('1.3.6.1.4.1.11591.4.11'), sequence(octets(Buffer.alloc(16)), ...numbers));
    const cipher = sequence(oid('2.16.840.1.101.3.4.1.42'), octets(Buffer.alloc(16)));
    const algorithm = sequence(oid('1.2.840.113549.1.5.13'), sequence(kdf, cipher));
    const info = sequence(oid('1.2.840.113549.1.7.1'), algorithm, der(0x80, Buffer.alloc(32)));
    const part = sequence(oid('1.2.840.113549.1.7.6'), der(0xa0, sequence(integer(0), info)));
    return sequence(integer(3), sequence(oid('1.2.840.113549.1.7.1'), der(0xa0, octets(sequence(part)))));
  }
  const huge = der(TAG.integer, Buffer.from('010000000000', 'hex'));

  test.each([
    ['N = 2^20: a gigabyte of memory', [integer(2 ** 20), integer(8), integer(1)]],
    ['N of six bytes', [huge, integer(8), integer(1)]],
    ['r of six bytes', [integer(1024), huge, integer(1)]],
    ['p of six bytes', [integer(2), integer(1), huge]],
    ['little memory, and hours of work', [integer(2), integer(1), integer(2 ** 30)]],
  ])('refuses scrypt above its bounds: %s', async (_, numbers) => {
    const fault = await faultOf(scryptStore(...numbers), 'changeit');
    expect([fault.code, fault.message]).toEqual(['keystore_unsupported', expect.stringContaining('allowed: 128 N r')]);
    expect(fault.hint).toContain('with PBKDF2');
  });

  test.each([
    ['N = 0', [integer(0), integer(8), integer(1)]],
    ['N = 1', [integer(1), integer(8), integer(1)]],
    ['N that is not a power of two', [integer(1000), integer(8), integer(1)]],
    ['r = 0', [integer(1024), integer(0), integer(1)]],
    ['p = 0', [integer(1024), integer(8), integer(0)]],
    ['no p', [integer(1024), integer(8)]],
    ['no numbers', []],
    ['text for N', [octets(Buffer.from('1024')), integer(8), integer(1)]],
  ])('names scrypt that cannot be computed as damage: %s', async (_, numbers) => {
    expect((await faultOf(scryptStore(...numbers), 'changeit')).code).toBe('keystore_damaged');
  });

  test('takes scrypt at its bounds, and the work of all parts together is bounded', async () => {
    expect((await faultOf(scryptStore(integer(65_536), integer(8), integer(1)), 'changeit')).code).toBe(
      'keystore_password_wrong',
    );
    const budget = workBudget();
    expect(() => [1, 2, 3, 4].forEach(() => budget(900_000))).toThrow('more than 3000000 iterations in all');
  });

  test('with an empty password opens without any, and stays so when it is written', async () => {
    const bytes = await writePkcs12([trusted('root')], '');
    expect(await open(bytes)).toMatchObject({ password: '', entries: [{ alias: 'root' }] });
  });

  test('with PBMAC1 opens, and its MAC counts', async () => {
    expect((await open(field('pbmac1.p12'))).entries).toHaveLength(1);
    expect((await faultOf(field('pbmac1.p12'), 'other-password')).code).toBe('keystore_password_wrong');
    const changed = field('pbmac1.p12');
    changed.writeUInt8(changed.readUInt8(300) ^ 1, 300);
    expect(['keystore_tampered', 'keystore_password_missing']).toContain((await faultOf(changed)).code);
  });

  test('refuses PBMAC1 with a key below 20 bytes, which can be found without the password', async () => {
    const bytes = field('pbmac1.p12');
    // The key length of 32 before the pseudorandom function HMAC with SHA-256.
    const place = bytes.indexOf(Buffer.from('020120300c06082a864886f70d0209', 'hex'), bytes.length - 160);
    expect(place).toBeGreaterThan(0);
    bytes.writeUInt8(19, place + 2);
    expect((await faultOf(bytes)).message).toContain('the key of the MAC has 19 bytes; allowed are 20 to 1024');
  });

  test('takes a line break behind it', async () => {
    const bytes = Buffer.concat([fixture('truststore-pkcs12.jks'), Buffer.from('\r\n')]);
    expect((await open(bytes)).entries).toHaveLength(2);
  });

  test('leaves out a bag that cannot be read, and names it', async () => {
    const certificate = sequence(
      oid('1.2.840.113549.1.12.10.1.3'),
      der(0xa0, sequence(oid('1.2.840.113549.1.9.22.1'), der(0xa0, octets(EC)))),
    );
    const odd = sequence(oid('1.2.840.113549.1.12.10.1.3'), octets(Buffer.from('odd')));
    const safe = sequence(sequence(oid('1.2.840.113549.1.7.1'), der(0xa0, octets(sequence(certificate, odd)))));
    const pfx = sequence(integer(3), sequence(oid('1.2.840.113549.1.7.1'), der(0xa0, octets(safe))));
    expect(await open(pfx)).toMatchObject({
      entries: [{ certificates: [EC] }],
      others: ['a bag that cannot be read'],
    });
  });

  test('reads a name in UTF-8, and one that is not a text as none', async () => {
    const bag = (value: Buffer): Buffer =>
      sequence(
        oid('1.2.840.113549.1.12.10.1.3'),
        der(0xa0, sequence(oid('1.2.840.113549.1.9.22.1'), der(0xa0, octets(EC)))),
        der(TAG.set, sequence(oid('1.2.840.113549.1.9.20'), der(TAG.set, value))),
      );
    const bags = sequence(bag(der(TAG.utf8, Buffer.from('K\u00f6ln'))), bag(der(TAG.bmp, Buffer.from('odd'))));
    const safe = sequence(sequence(oid('1.2.840.113549.1.7.1'), der(0xa0, octets(bags))));
    const pfx = sequence(integer(3), sequence(oid('1.2.840.113549.1.7.1'), der(0xa0, octets(safe))));
    expect((await open(pfx)).entries.map(({ alias }) => alias)).toEqual(['K\u00f6ln', 'certificate-2']);
  });

  test.skipIf(lacks('openssl'))('opens what openssl writes with any of its ciphers and digests', async () => {
    await using folder = await temporaryFolder();
    const ciphers = ['aes-128-cbc', 'camellia-256-cbc', 'aria-192-cbc', 'des-ede3-cbc'];
    for (const [place, digest] of ['sha1', 'sha384', 'sha3-256', 'sha512-256'].entries()) {
      const file = folder.path(`${digest}.p12`);
      const words = ['-nokeys', '-certpbe', ciphers[place] ?? '', '-macalg', digest, '-passout', 'pass:geheim'];
      await run('openssl', ['pkcs12', '-export', '-in', join(FOLDER, 'es-ca.pem'), '-out', file, ...words]);
      expect((await open(readFileSync(file), 'geheim')).entries).toHaveLength(1);
    }
  });
});

describe('JKS', () => {
  test('with another password and none configured names where to set it', async () => {
    const request = { bytes: field('housepass.jks'), file: 't.jks' };
    await expect(
      openStore({ ...request, passwordHint: 'truststore.password in agent.local.conf' }),
    ).rejects.toMatchObject({
      code: 'keystore_password_missing',
      hint: expect.stringContaining('truststore.password in agent.local.conf'),
    });
    expect((await openStore({ ...request, password: 'housepass' })).entries).toHaveLength(1);
  });

  test('with the empty password opens without any', async () => {
    expect((await open(writeJks([trusted('root')], ''))).entries).toHaveLength(1);
  });

  test('takes a line break behind it', async () => {
    expect((await open(Buffer.concat([fixture('truststore.jks'), Buffer.from('\r\n')]))).entries).toHaveLength(2);
  });

  test('an entry with a date that is none, or a certificate of another type, does not take the others with it', async () => {
    const written = writeJks([trusted('one'), trusted('two')], '');
    const data = Buffer.from(written.subarray(0, -20));
    data.writeBigUInt64BE(0x7fffffffffffffffn, 12 + 4 + 2 + 3);
    data.write('X.510', data.lastIndexOf('X.509'));
    const { createHash } = await import('node:crypto');
    const digest = createHash('sha1').update('Mighty Aphrodite').update(data).digest();
    expect(await open(Buffer.concat([data, digest]))).toMatchObject({
      entries: [{ alias: 'one', created: undefined }],
      others: ['"two" with a certificate of another type than X.509'],
    });
  });
});

describe('dates that are none', () => {
  test('a certificate with one opens, and is read with the date as unreadable', async () => {
    const [entry] = (await open(field('bad-feb30.pem'))).entries;
    const certificate = parseCertificate(entry?.certificates[0] ?? Buffer.alloc(0));
    expect(certificate && hasUnreadableDate(certificate)).toBe(true);
    expect((await open(field('utc-noseconds.pem'))).entries).toHaveLength(1);
  });
});

describe('the bounds of a store', () => {
  function keys(count: number, chain: number): Buffer {
    const certificates = Array.from({ length: chain }, () => Buffer.from('30', 'hex'));
    const key = Buffer.from('key');
    return writeJks(
      Array.from({ length: count }, (_, place) => ({
        kind: 'key' as const,
        alias: `k${place}`,
        created: new Date(0),
        certificates,
        protection: 'jks' as const,
        key,
      })),
      'changeit',
    );
  }

  test('20,000 certificates in all chains together, whatever their number', async () => {
    expect((await open(keys(200, MAX_CERTIFICATES / 200))).entries).toHaveLength(200);
    expect(await faultOf(keys(201, MAX_CERTIFICATES / 200))).toMatchObject({
      code: 'keystore_too_large',
      message: expect.stringContaining('20000 certificates'),
    });
    expect((await faultOf(keys(1, MAX_CERTIFICATES + 1))).code).toBe('keystore_too_large');
  });

  test('a run of backslashes and of marks costs no more than its length', async () => {
    expect((await faultOf(`${BEGIN}${'\\'.repeat(2_000_000)}${END}`)).code).toBe('keystore_damaged');
    expect((await faultOf(`${BEGIN}\n`.repeat(30_000))).code).toBe('keystore_too_large');
    expect((await faultOf(Buffer.from('3000'.repeat(10_001), 'hex'))).code).toBe('keystore_too_large');
  });

  test('10,000 entries', async () => {
    const many = PEM.repeat(10_001);
    expect((await faultOf(many)).code).toBe('keystore_too_large');
    expect(
      (await faultOf(Buffer.concat(Array.from({ length: 10_001 }, () => Buffer.from('3000', 'hex'))))).code,
    ).not.toBe(undefined);
  });
});
