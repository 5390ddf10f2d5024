// Each refusal of a store is a test named after it; all go through openStore, as the agent and the commands do.
import { describe, expect, test } from 'vitest';
import { CodedError } from '../../../shared/errors.ts';
import { writeJks } from '../../../shared/keystore/jks.ts';
import { encodeStore, openStore } from '../../../shared/keystore/open.ts';
import { MAX_STORE_BYTES } from '../../../shared/keystore/material.ts';
import { fixture } from './peers.ts';

async function faultOf(bytes: Buffer, password?: string): Promise<CodedError> {
  try {
    await openStore({ bytes, file: 'truststore.jks', password });
  } catch (error) {
    if (error instanceof CodedError) return error;
    throw error;
  }
  throw new Error('the store opened');
}

describe('openStore tells the format by the content', () => {
  test.each([
    ['truststore.jks', 'jks', 2],
    ['truststore-pkcs12.jks', 'pkcs12', 2],
    ['keystore-legacy-rc2.p12', 'pkcs12', 1],
    ['root-rsa.crt', 'pem', 1],
    ['root-ec.cer', 'der', 1],
  ])('%s is %s', async (name, format, count) => {
    const store = await openStore({ bytes: fixture(name), file: name });
    expect([store.format, store.entries.length]).toEqual([format, count]);
  });

  test('a wrong declared type is a warning, a right one in any case is none', async () => {
    const warned = await openStore({
      bytes: fixture('truststore-pkcs12.jks'),
      file: 'truststore.jks',
      declaredType: 'JKS',
    });
    expect(warned.warnings).toEqual(['truststore.jks is declared as JKS, but is PKCS#12: the content counts.']);
    expect(
      (await openStore({ bytes: fixture('truststore-pkcs12.jks'), file: 'f', declaredType: 'pkcs12' })).warnings,
    ).toEqual([]);
  });
});

describe('openStore refuses', () => {
  test('a wrong password', async () => {
    const fault = await faultOf(fixture('truststore.jks'), 'wrong-password');
    expect(fault.code).toBe('keystore_password_wrong');
    expect(`${fault.message} ${fault.hint}`).not.toContain('wrong-password');
  });

  test('a missing password where changeit does not fit', async () => {
    expect(await faultOf(fixture('truststore-password-s3cret.jks'))).toMatchObject({
      code: 'keystore_password_missing',
      message: expect.stringContaining('changeit'),
    });
  });

  test('a truncated file', async () => {
    expect(await faultOf(fixture('truncated.jks'), 'changeit')).toMatchObject({
      code: 'keystore_truncated',
      message:
        'truststore.jks (JKS) is truncated: the certificate of entry 1 of 2 should be 865 bytes at offset 48, but 232 are left.',
    });
  });

  test('a file truncated anywhere, JKS as PKCS#12', async () => {
    for (const name of ['truststore.jks', 'truststore-pkcs12.jks']) {
      const whole = fixture(name);
      for (let length = 8; length < whole.length; length += 13)
        expect((await faultOf(whole.subarray(0, length), 'changeit')).code).toBe('keystore_truncated');
    }
  });

  test('a tampered file, although the digest alone could not tell it from a wrong password', async () => {
    expect(await faultOf(fixture('tampered.jks'), 'changeit')).toMatchObject({
      code: 'keystore_tampered',
      message: expect.stringContaining('"examplebank" does not fit its own signature'),
    });
    const appended = Buffer.concat([fixture('truststore.jks'), Buffer.from('x')]);
    expect((await faultOf(appended, 'changeit')).code).toBe('keystore_tampered');
  });

  test('JCEKS, with the keytool line that converts it', async () => {
    expect(await faultOf(fixture('truststore.jceks'))).toMatchObject({
      code: 'keystore_jceks',
      hint: expect.stringContaining('keytool -importkeystore -srckeystore "truststore.jks" -srcstoretype JCEKS'),
    });
  });

  test('BKS', async () => {
    expect((await faultOf(Buffer.from(`0000000200000014${'ab'.repeat(40)}`, 'hex'))).code).toBe('keystore_bks');
  });

  test('PKCS#7, with the openssl line that converts it', async () => {
    expect(await faultOf(Buffer.from('300b06092a864886f70d010702', 'hex'))).toMatchObject({
      code: 'keystore_pkcs7',
      hint: expect.stringContaining('openssl pkcs7 -inform der'),
    });
    expect((await faultOf(Buffer.from('-----BEGIN PKCS7-----\nAAAA\n-----END PKCS7-----\n'))).code).toBe(
      'keystore_pkcs7',
    );
  });

  test('a text file named .jks', async () => {
    expect(await faultOf(Buffer.from('Bitte hier den Truststore ablegen.\r\n'))).toMatchObject({
      code: 'keystore_is_text',
      message: 'truststore.jks is not a key or trust store but a text file.',
    });
    expect((await faultOf(Buffer.from('<!DOCTYPE html><title>Login'))).message).toContain('an HTML page');
  });

  test('an empty file', async () => {
    expect((await faultOf(Buffer.alloc(0))).code).toBe('keystore_file_empty');
  });

  test('anything else, with its first bytes', async () => {
    expect(await faultOf(Buffer.from('504b030414000000', 'hex'))).toMatchObject({
      code: 'keystore_format_unknown',
      message: expect.stringContaining('504b030414000000'),
    });
  });

  test('more than sixteen mebibytes', async () => {
    expect((await faultOf(Buffer.alloc(MAX_STORE_BYTES + 1))).code).toBe('keystore_too_large');
  });
});

test('encodeStore writes an empty store of both kinds that openStore reads', async () => {
  for (const format of ['jks', 'pkcs12'] as const) {
    expect(await openStore({ bytes: await encodeStore(format, [], 'changeit'), file: 'f' })).toMatchObject({
      format,
      entries: [],
    });
  }
  expect(writeJks([], 'changeit')).toHaveLength(32);
});
