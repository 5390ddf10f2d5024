// Bundles as openssl and Windows write them, and what is left of them when something is missing.
import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { CodedError } from '../../../shared/errors.ts';
import { thumbprint } from '../../../shared/keystore/material.ts';
import { readPkcs7 } from '../../../shared/keystore/pkcs7.ts';
import { fixture, KEYSTORES, lacks, run, temporaryFolder } from './peers.ts';

/** A bundle of both roots, DER, as openssl makes it. */
async function bundle(...more: string[]): Promise<Buffer> {
  await using folder = await temporaryFolder();
  const path = folder.path('bundle.p7b');
  await run('openssl', [
    'crl2pkcs7',
    '-nocrl',
    '-certfile',
    `${KEYSTORES}root-ec.crt`,
    '-certfile',
    `${KEYSTORES}root-rsa.crt`,
    '-outform',
    'DER',
    '-out',
    path,
    ...more,
  ]);
  return await readFile(path);
}

function faultOf(bytes: Buffer): CodedError {
  try {
    readPkcs7(bytes, 'f.p7b');
  } catch (error) {
    if (error instanceof CodedError) return error;
    throw error;
  }
  throw new Error('the bundle was read');
}

/** Undefined, or what was thrown without a code. */
function uncoded(bytes: Buffer): unknown {
  try {
    readPkcs7(bytes, 'f');
    return undefined;
  } catch (error) {
    return error instanceof CodedError ? undefined : error;
  }
}

/**
 * The same element with an indefinite length (BER, X.690 section 8.1.3.6), as some Windows versions write the outer
 * ones.
 */
function indefinite(der: Buffer, levels: number): Buffer {
  const lengthBytes = (der[1] as number) < 0x80 ? 0 : (der[1] as number) & 0x7f;
  const content = der.subarray(2 + lengthBytes);
  if (levels === 0) return der;
  const oid = content.subarray(0, 11);
  const rest =
    levels > 1
      ? Buffer.concat([
          content[0] === 0x06 ? oid : Buffer.alloc(0),
          indefinite(content[0] === 0x06 ? content.subarray(11) : content, levels - 1),
        ])
      : content;
  return Buffer.concat([der.subarray(0, 1), Buffer.from([0x80]), rest, Buffer.from([0, 0])]);
}

describe.skipIf(lacks('openssl'))('readPkcs7', () => {
  test('hands out certificates byte by byte, EC and RSA', async () => {
    const found = readPkcs7(await bundle(), 'f') ?? [];
    expect(found.map((der) => thumbprint(der).slice(0, 8)).toSorted()).toEqual(['56:51:0A', 'D5:89:CD']);
    expect(found.some((der) => der.equals(fixture('root-ec.cer')))).toBe(true);
  });

  test('reads BER with indefinite lengths', async () => {
    expect(readPkcs7(indefinite(await bundle(), 2), 'f')).toEqual(readPkcs7(await bundle(), 'f'));
  });

  test('says of other bytes that they are none', () => {
    for (const name of ['root-ec.cer', 'root-ec.crt', 'truststore.jks', 'keystore-modern.p12', 'README.md'])
      expect(readPkcs7(fixture(name), name)).toBeUndefined();
    expect(readPkcs7(Buffer.alloc(0), 'f')).toBeUndefined();
  });

  test('tells where a bundle ends too early, anywhere', async () => {
    const whole = await bundle();
    for (let length = 20; length < whole.length; length += 17)
      expect(['keystore_truncated', 'keystore_damaged']).toContain(faultOf(whole.subarray(0, length)).code);
    expect(faultOf(whole.subarray(0, 700)).code).toBe('keystore_truncated');
  });

  test('refuses a certificate that was changed in it', async () => {
    const bytes = await bundle();
    const at = bytes.indexOf(fixture('root-ec.cer')) + fixture('root-ec.cer').length - 5;
    bytes[at] = (bytes[at] as number) ^ 1;
    expect(faultOf(bytes).code).toBe('keystore_tampered');
  });

  test('refuses a bundle without certificates, a hundred levels, and random changes with a code', async () => {
    expect(
      faultOf(
        Buffer.from(
          '302306092a864886f70d010702a0163014020101310030 0b06092a864886f70d0107013100'.replaceAll(' ', ''),
          'hex',
        ),
      ).code,
    ).toBe('keystore_no_certificate');
    expect(
      faultOf(
        Buffer.concat([
          Buffer.from('308006092a864886f70d010702', 'hex'),
          Buffer.alloc(400, Buffer.from('a080', 'hex')),
        ]),
      ).code,
    ).toBe('keystore_damaged');
    const whole = await bundle();
    for (let at = 0; at < whole.length; at += 3) {
      const bytes = Buffer.from(whole);
      bytes[at] = (bytes[at] as number) ^ 0x55;
      expect(uncoded(bytes)).toBeUndefined();
    }
  });
});
