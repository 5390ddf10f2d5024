// Private keys from files that a stranger made: what they cost to read is bounded, whatever numbers they hold.
import { createCipheriv, generateKeyPairSync, pbkdf2Sync, randomBytes } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { der, integer, octets, oid, sequence, TAG } from '../../../shared/asn1/writer.ts';
import type { CodedError } from '../../../shared/errors.ts';
import { readKeyAndCertificates } from '../../../shared/keystore/key-file.ts';
import { pemOf } from '../../../shared/x509/pem.ts';

const read = (bytes: Buffer, password?: string) =>
  readKeyAndCertificates({ bytes, file: 'x', keyBytes: bytes, password });
const pem = (label: string, bytes: Buffer): Buffer => Buffer.from(pemOf(label, bytes));

/** EncryptedPrivateKeyInfo with PBES2. */
function encryptedKey(kdf: Buffer, cipher: string): Buffer {
  const scheme = sequence(oid(cipher), octets(Buffer.alloc(16)));
  return sequence(sequence(oid('1.2.840.113549.1.5.13'), sequence(kdf, scheme)), octets(Buffer.alloc(64)));
}
const AES = '2.16.840.1.101.3.4.1.42';
const SM4 = '1.2.156.10197.1.104.2';

function pbkdf2Of(iterations: number): Buffer {
  const prf = sequence(oid('1.2.840.113549.2.9'), der(TAG.null));
  return sequence(oid('1.2.840.113549.1.5.12'), sequence(octets(randomBytes(16)), integer(iterations), prf));
}
function scryptOf(N: number, r: number, p: number): Buffer {
  const numbers = [N, r, p].map((number) => integer(number));
  return sequence(oid('1.3.6.1.4.1.11591.4.11'), sequence(octets(randomBytes(16)), ...numbers));
}

/** CPU time of this process, in milliseconds. */
async function cpuOf(act: () => Promise<unknown>): Promise<number> {
  const before = process.cpuUsage();
  await act();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

describe('a private key that asks for much work', () => {
  it.each([
    ['a cipher that is unknown here, and 3 million iterations', encryptedKey(pbkdf2Of(3_000_000), SM4)],
    ['2^31 - 1 iterations', encryptedKey(pbkdf2Of(2 ** 31 - 1), AES)],
    ['scrypt with p = 2,000', encryptedKey(scryptOf(2 ** 14, 8, 2_000), AES)],
  ])('is refused before it is done: %s', async (_what, key) => {
    for (const bytes of [key, pem('ENCRYPTED PRIVATE KEY', key)]) {
      const cpu = await cpuOf(
        async () =>
          await expect(read(bytes, 'changeit')).rejects.toMatchObject({
            code: expect.stringMatching(/^keystore_key_/),
          }),
      );
      expect(cpu).toBeLessThan(500);
    }
  });

  it('is refused by its algorithm, of which OpenSSL would compute the public key: DSA with numbers of 5 kB', async () => {
    const number = (): Buffer =>
      der(TAG.integer, Buffer.concat([Buffer.of(0x7f), randomBytes(5_000), Buffer.of(0xff)]));
    const parameters = sequence(number(), number(), number());
    const inner = octets(number());
    const key = sequence(integer(0), sequence(oid('1.2.840.10040.4.1'), parameters), inner);
    const password = 'changeit';
    const salt = randomBytes(16);
    const cipher = createCipheriv('aes-256-cbc', pbkdf2Sync(password, salt, 1_000, 32, 'sha256'), Buffer.alloc(16));
    const prf = sequence(oid('1.2.840.113549.2.9'), der(TAG.null));
    const kdf = sequence(oid('1.2.840.113549.1.5.12'), sequence(octets(salt), integer(1_000), prf));
    const scheme = sequence(oid(AES), octets(Buffer.alloc(16)));
    const sealed = Buffer.concat([cipher.update(key), cipher.final()]);
    const encrypted = sequence(sequence(oid('1.2.840.113549.1.5.13'), sequence(kdf, scheme)), octets(sealed));
    for (const bytes of [key, pem('PRIVATE KEY', key), encrypted]) {
      const cpu = await cpuOf(
        async () => await expect(read(bytes, password)).rejects.toMatchObject({ code: 'private_key_unreadable' }),
      );
      expect(cpu).toBeLessThan(500);
    }
  });

  it('is read when it is RSA or EC, in PKCS#8 and in the older forms', async () => {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
    for (const bytes of [
      privateKey.export({ format: 'der', type: 'pkcs8' }),
      privateKey.export({ format: 'der', type: 'sec1' }),
      rsa.export({ format: 'der', type: 'pkcs1' }),
      Buffer.from(rsa.export({ format: 'pem', type: 'pkcs8' })),
    ])
      expect(
        await read(bytes).then(
          () => 'read',
          (error: unknown) => (error as CodedError).code,
        ),
      ).not.toMatch(/^private_key/);
  });
});
