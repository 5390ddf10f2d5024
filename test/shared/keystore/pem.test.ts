import { describe, expect, test } from 'vitest';
import { thumbprint, type TrustedEntry } from '../../../shared/keystore/material.ts';
import { readDerCertificates } from '../../../shared/keystore/der.ts';
import { appendPem, readPem } from '../../../shared/keystore/pem.ts';
import { pemOf } from '../../../shared/x509/pem.ts';
import { KEYSTORES, fixture, lacks, run, temporaryFolder } from './peers.ts';

const EC = fixture('root-ec.crt').toString();
const RSA = fixture('root-rsa.crt').toString();

function read(text: string | Buffer) {
  return readPem({ bytes: Buffer.from(text as string), file: 'bundle.pem' });
}

describe('readPem', () => {
  test('reads several certificates with text between them', async () => {
    const { entries } = await read(`# Roots of the bank\n\n${RSA}\nsubject=/CN=x\n${EC}# end`);
    expect(entries.map(({ kind, alias, certificates: [der] }) => [kind, alias, thumbprint(der).slice(0, 5)])).toEqual([
      ['trusted', 'certificate-1', '56:51'],
      ['trusted', 'certificate-2', 'D5:89'],
    ]);
  });

  test.each([
    ['CRLF', Buffer.from(EC.replaceAll('\n', '\r\n'))],
    ['a byte order mark', Buffer.from(`\uFEFF${EC}`)],
    ['UTF-16 as PowerShell writes it', Buffer.from(`\uFEFF${EC}`, 'utf16le')],
    ['indentation and no final line end', Buffer.from(EC.trim().replaceAll(/^/gm, '  '))],
    ['comments in ISO-8859-1', Buffer.from(`# K\u00f6ln\n${EC}`, 'latin1')],
    ['the old label', Buffer.from(EC.replaceAll(' CERT', ' X509 CERT'))],
  ])('takes %s', async (_, bytes) => {
    expect((await read(bytes)).entries).toHaveLength(1);
  });

  test('names the other things in the file', async () => {
    expect((await read(`${EC}${fixture('central.key').toString()}`)).others).toEqual([
      expect.stringMatching(/PRIVATE KEY$/),
    ]);
  });

  test.each([
    ['a certificate without END', EC.slice(0, 300), 'keystore_truncated'],
    ['END before its BEGIN is closed', EC.replace('END CERTIFICATE', 'END X'), 'keystore_damaged'],
    ['letters that are not base64', EC.replace('MII', '*II'), 'keystore_damaged'],
    [
      'base64 that is not a certificate',
      pemOf('CERTIFICATE', Buffer.from('certainly not a certificate')),
      'keystore_damaged',
    ],
    [
      'two certificates in one block',
      pemOf('CERTIFICATE', Buffer.concat([fixture('root-ec.cer'), fixture('root-ec.cer')])),
      'keystore_damaged',
    ],
    [
      'a root that does not fit its own signature',
      EC.replace(/(.)(=*\n-----END)/, (_, last: string, rest: string) => (last === 'A' ? 'E' : 'A') + rest),
      'keystore_tampered',
    ],
  ])('refuses %s', async (_, text, code) => {
    await expect(read(text)).rejects.toThrow(expect.objectContaining({ code }));
  });
});

test('readDerCertificates takes certificates in DER and refuses what is none', () => {
  expect(readDerCertificates({ bytes: fixture('root-ec.cer'), file: 'f' }).entries).toHaveLength(1);
  expect(() => readDerCertificates({ bytes: Buffer.from('3003020100', 'hex'), file: 'f' })).toThrow(
    expect.objectContaining({ code: 'keystore_damaged' }),
  );
});

describe('appendPem', () => {
  const entry: TrustedEntry = {
    kind: 'trusted',
    alias: 'root two',
    created: undefined,
    certificates: [fixture('root-ec.cer')],
  };

  test('keeps every byte that was there, and readPem finds the alias again', async () => {
    const old = `# Roots of K\u00f6ln\n${RSA.trimEnd()}`;
    const appended = appendPem(Buffer.from(old), [entry]);
    expect(appended.toString().startsWith(`${old}\n`)).toBe(true);
    expect((await read(appended)).entries.map(({ alias }) => alias)).toEqual(['certificate-1', 'root two']);
  });

  test.skipIf(lacks('openssl', 'keytool'))('writes what openssl and keytool read', async () => {
    await using folder = await temporaryFolder();
    const { writeFile } = await import('node:fs/promises');
    await writeFile(folder.path('t.pem'), appendPem(Buffer.alloc(0), [entry]));
    expect(await run('openssl', ['x509', '-in', folder.path('t.pem'), '-noout', '-fingerprint', '-sha256'])).toContain(
      thumbprint(entry.certificates[0]),
    );
    expect(await run('keytool', ['-printcert', '-file', folder.path('t.pem')])).toContain(
      thumbprint(entry.certificates[0]),
    );
    await run('openssl', ['verify', '-CAfile', folder.path('t.pem'), `${KEYSTORES}central.crt`]);
  });

  test.skipIf(lacks('openssl'))('reads the aliases that "openssl pkcs12 -nokeys" writes', async () => {
    const text = await run('openssl', [
      'pkcs12',
      '-in',
      `${KEYSTORES}truststore-pkcs12.jks`,
      '-passin',
      'pass:changeit',
      '-nokeys',
    ]);
    expect((await read(text)).entries.map(({ alias }) => alias).toSorted()).toEqual(['examplebank', 'examplebank-ec']);
  });
});
