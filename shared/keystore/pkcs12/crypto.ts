// The ciphers of PKCS#12: PBES2 of RFC 8018, and the older PKCS#12 schemes with 3DES and RC2 (RFC 7292 appendix C).
// Keys are derived in derivation.ts, the MAC is in mac.ts.
import { createCipheriv, createDecipheriv, pbkdf2, randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import { membersOf, octetsOf, oidOf, smallIntegerOf, type Asn1Element } from '../../asn1/reader.ts';
import type { Asn1Limits } from '../../asn1/structure.ts';
import { der, integer, octets, oid, sequence, TAG } from '../../asn1/writer.ts';
import { BadData } from '../java-data.ts';
import {
  boundedSalt,
  derivedKey,
  deriveKey,
  PBKDF2,
  UnknownAlgorithm,
  type Budget,
  type Password,
} from './derivation.ts';

/** The content does not decrypt: the password is another one, or the bytes were changed. */
export class CannotDecrypt extends Error {}

/** A list of 10,000 bags has some 200,000 elements. */
export const PKCS12_LIMITS: Asn1Limits = {
  maxBytes: 4 * 1024 * 1024,
  maxDepth: 32,
  maxElements: 250_000,
  form: 'ber',
  octets: false,
};

/** What keytool writes since JDK 17. */
export const WRITE_ITERATIONS = 10_000;

const CIPHERS: Readonly<Record<string, { name: string; keyBytes: number; ivBytes: number }>> = {
  '2.16.840.1.101.3.4.1.2': { name: 'aes-128-cbc', keyBytes: 16, ivBytes: 16 },
  '2.16.840.1.101.3.4.1.22': { name: 'aes-192-cbc', keyBytes: 24, ivBytes: 16 },
  '2.16.840.1.101.3.4.1.42': { name: 'aes-256-cbc', keyBytes: 32, ivBytes: 16 },
  // Camellia (RFC 3657) and ARIA, which openssl can be asked for.
  '1.2.392.200011.61.1.1.1.2': { name: 'camellia-128-cbc', keyBytes: 16, ivBytes: 16 },
  '1.2.392.200011.61.1.1.1.3': { name: 'camellia-192-cbc', keyBytes: 24, ivBytes: 16 },
  '1.2.392.200011.61.1.1.1.4': { name: 'camellia-256-cbc', keyBytes: 32, ivBytes: 16 },
  '1.2.410.200046.1.1.2': { name: 'aria-128-cbc', keyBytes: 16, ivBytes: 16 },
  '1.2.410.200046.1.1.7': { name: 'aria-192-cbc', keyBytes: 24, ivBytes: 16 },
  '1.2.410.200046.1.1.12': { name: 'aria-256-cbc', keyBytes: 32, ivBytes: 16 },
  '1.2.840.113549.3.7': { name: 'des-ede3-cbc', keyBytes: 24, ivBytes: 8 },
};
/** RFC 7292 appendix C. */
const OLD_SCHEMES: Readonly<Record<string, { rc2Bits?: number; keyBytes: 5 | 16 | 24 }>> = {
  '1.2.840.113549.1.12.1.3': { keyBytes: 24 },
  // 3DES with two keys.
  '1.2.840.113549.1.12.1.4': { keyBytes: 16 },
  '1.2.840.113549.1.12.1.5': { rc2Bits: 128, keyBytes: 16 },
  '1.2.840.113549.1.12.1.6': { rc2Bits: 40, keyBytes: 5 },
};
/** RC4, which is in OpenSSL's legacy provider only; Java has it. */
const RC4_SCHEMES = new Set(['1.2.840.113549.1.12.1.1', '1.2.840.113549.1.12.1.2']);
const PBES2 = '1.2.840.113549.1.5.13';

/** Decrypts `content` as `algorithm` (an AlgorithmIdentifier) says. Throws CannotDecrypt, UnknownAlgorithm, BadData. */
export async function decrypt(
  algorithm: Asn1Element | undefined,
  content: Buffer,
  password: Password,
  budget: Budget,
): Promise<Buffer> {
  const [id, parameters] = membersOf(algorithm, 'the encryption algorithm');
  const oid = oidOf(id, 'the encryption algorithm');
  if (oid === PBES2) return await decryptPbes2(parameters, content, password, budget);
  const scheme = OLD_SCHEMES[oid];
  if (scheme === undefined)
    throw new UnknownAlgorithm(`the encryption algorithm ${oid}`, RC4_SCHEMES.has(oid) ? 'keytool' : 'openssl');
  const [saltNode, count] = membersOf(parameters, 'the encryption parameters');
  const iterations = smallIntegerOf(count, 'the iteration count');
  const salt = boundedSalt(saltNode);
  const key = await deriveKey('sha1', password, salt, 1, iterations, scheme.keyBytes, budget);
  const iv = await deriveKey('sha1', password, salt, 2, iterations, 8, budget);
  if (scheme.rc2Bits === undefined)
    return decipher(scheme.keyBytes === 24 ? 'des-ede3-cbc' : 'des-ede-cbc', key, iv, content);
  const { decryptRc2 } = await import('./rc2.ts');
  const plain = content.length % 8 === 0 ? decryptRc2(key, scheme.rc2Bits, iv, content) : undefined;
  if (plain === undefined) throw new CannotDecrypt('the padding does not fit');
  return plain;
}

/**
 * Encrypts with PBES2, PBKDF2-HMAC-SHA256 and AES-256-CBC: what JDK 17 and OpenSSL 3 write and JDK 8u301 and later
 * read.
 */
export async function encrypt(content: Buffer, password: string): Promise<{ algorithm: Buffer; content: Buffer }> {
  const salt = randomBytes(20);
  const iv = randomBytes(16);
  const key = await promisify(pbkdf2)(Buffer.from(password, 'utf8'), salt, WRITE_ITERATIONS, 32, 'sha256');
  const cipher = createCipheriv('aes-256-cbc', key, iv);
  const prf = sequence(oid('1.2.840.113549.2.9'), der(TAG.null));
  const kdf = sequence(oid(PBKDF2), sequence(octets(salt), integer(WRITE_ITERATIONS), integer(32), prf));
  const scheme = sequence(oid('2.16.840.1.101.3.4.1.42'), octets(iv));
  return {
    algorithm: sequence(oid(PBES2), sequence(kdf, scheme)),
    content: Buffer.concat([cipher.update(content), cipher.final()]),
  };
}

async function decryptPbes2(
  parameters: Asn1Element | undefined,
  content: Buffer,
  password: Password,
  budget: Budget,
): Promise<Buffer> {
  const [kdf, scheme] = membersOf(parameters, 'the PBES2 parameters');
  const [schemeId, ivNode] = membersOf(scheme, 'the cipher');
  const schemeOid = oidOf(schemeId, 'the cipher');
  const cipher = CIPHERS[schemeOid];
  if (cipher === undefined) throw new UnknownAlgorithm(`the cipher ${schemeOid}`);
  const iv = octetsOf(ivNode, 'the initialization vector');
  if (iv.length !== cipher.ivBytes)
    throw new BadData(`the initialization vector has ${iv.length} bytes; allowed are ${cipher.ivBytes}`);
  const key = await derivedKey(kdf, password, cipher.keyBytes, budget);
  return decipher(cipher.name, key, iv, content);
}

function decipher(name: string, key: Buffer, iv: Buffer, content: Buffer): Buffer {
  const cipher = createDecipheriv(name, key, iv);
  try {
    return Buffer.concat([cipher.update(content), cipher.final()]);
  } catch (error) {
    throw new CannotDecrypt('the padding does not fit', { cause: error });
  }
}
