// The cryptography of PKCS#12: its key derivation (RFC 7292 appendix B), its MAC, and the ciphers of its contents (PBES2 of
// RFC 8018; the older PKCS#12 schemes with 3DES and RC2). Bags and certificates are in pkcs12.ts.
import { createCipheriv, createDecipheriv, createHmac, hash, pbkdf2, randomBytes, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { membersOf, octetsOf, oidOf, smallIntegerOf, type Asn1Element } from '../asn1/reader.ts';
import type { Asn1Limits } from '../asn1/structure.ts';
import { der, integer, octets, oid, sequence, TAG } from '../asn1/writer.ts';
import { BadData } from './java-data.ts';

/** The file asks for an algorithm that is not here; `message` names it. */
export class UnknownAlgorithm extends Error {}
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

/** Of one derivation; OpenSSL takes 2048, Java 10000. A forged count must not become minutes of work. */
const MAX_ITERATIONS = 1_000_000;
/** Of all derivations of a file: about five seconds. */
const MAX_TOTAL_ITERATIONS = 4_000_000;
const MAX_SALT_BYTES = 1024;
/** What keytool writes since JDK 17. */
const WRITE_ITERATIONS = 10_000;

type HashName = 'md5' | 'sha1' | 'sha224' | 'sha256' | 'sha384' | 'sha512';

const HASHES: Readonly<Record<string, HashName>> = {
  '1.2.840.113549.2.5': 'md5',
  '1.3.14.3.2.26': 'sha1',
  '2.16.840.1.101.3.4.2.4': 'sha224',
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
};
const PRFS: Readonly<Record<string, HashName>> = {
  '1.2.840.113549.2.7': 'sha1',
  '1.2.840.113549.2.8': 'sha224',
  '1.2.840.113549.2.9': 'sha256',
  '1.2.840.113549.2.10': 'sha384',
  '1.2.840.113549.2.11': 'sha512',
};
const CIPHERS: Readonly<Record<string, { name: string; keyBytes: number; ivBytes: number }>> = {
  '2.16.840.1.101.3.4.1.2': { name: 'aes-128-cbc', keyBytes: 16, ivBytes: 16 },
  '2.16.840.1.101.3.4.1.22': { name: 'aes-192-cbc', keyBytes: 24, ivBytes: 16 },
  '2.16.840.1.101.3.4.1.42': { name: 'aes-256-cbc', keyBytes: 32, ivBytes: 16 },
  '1.2.840.113549.3.7': { name: 'des-ede3-cbc', keyBytes: 24, ivBytes: 8 },
};
/** RFC 7292 appendix C. */
const OLD_SCHEMES: Readonly<Record<string, { rc2Bits?: number; keyBytes: number }>> = {
  '1.2.840.113549.1.12.1.3': { keyBytes: 24 },
  '1.2.840.113549.1.12.1.5': { rc2Bits: 128, keyBytes: 16 },
  '1.2.840.113549.1.12.1.6': { rc2Bits: 40, keyBytes: 5 },
};
const PBES2 = '1.2.840.113549.1.5.13';
const PBKDF2 = '1.2.840.113549.1.5.12';

/** Counts the iterations of one file; throws BadData above the bounds. */
export type Budget = (iterations: number) => void;

export function workBudget(): Budget {
  let left = MAX_TOTAL_ITERATIONS;
  return (iterations) => {
    left -= iterations;
    if (iterations < 1 || iterations > MAX_ITERATIONS || left < 0)
      throw new BadData(`it asks for ${iterations} iterations; allowed are 1 to ${MAX_ITERATIONS}`);
  };
}

/** MacData of RFC 7292 section 4: does it fit `content` under `password`? Constant-time comparison. */
export function macFits(macData: Asn1Element, content: Buffer, password: string, budget: Budget): boolean {
  const [digestInfo, salt, iterations] = membersOf(macData, 'the MAC');
  const [algorithm, digest] = membersOf(digestInfo, 'the MAC');
  const oid = oidOf(membersOf(algorithm, 'the MAC algorithm')[0], 'the MAC algorithm');
  const hashName = HASHES[oid];
  if (hashName === undefined) throw new UnknownAlgorithm(`the MAC algorithm ${oid}`);
  const count = iterations === undefined ? 1 : smallIntegerOf(iterations, 'the iteration count');
  const found = octetsOf(digest, 'the MAC');
  const expected = mac(hashName, password, boundedSalt(salt), count, content, budget);
  return found.length === expected.length && timingSafeEqual(found, expected);
}

/** A MacData with SHA-256 over `content`. */
export function makeMac(content: Buffer, password: string): Buffer {
  const salt = randomBytes(20);
  const value = mac('sha256', password, salt, WRITE_ITERATIONS, content, workBudget());
  const digestInfo = sequence(sequence(oid('2.16.840.1.101.3.4.2.1'), der(TAG.null)), octets(value));
  return sequence(digestInfo, octets(salt), integer(WRITE_ITERATIONS));
}

/** Decrypts `content` as `algorithm` (an AlgorithmIdentifier) says. Throws CannotDecrypt, UnknownAlgorithm, BadData. */
export async function decrypt(
  algorithm: Asn1Element | undefined,
  content: Buffer,
  password: string,
  budget: Budget,
): Promise<Buffer> {
  const [id, parameters] = membersOf(algorithm, 'the encryption algorithm');
  const oid = oidOf(id, 'the encryption algorithm');
  if (oid === PBES2) return await decryptPbes2(parameters, content, password, budget);
  const scheme = OLD_SCHEMES[oid];
  if (scheme === undefined) throw new UnknownAlgorithm(`the encryption algorithm ${oid}`);
  const [saltNode, count] = membersOf(parameters, 'the encryption parameters');
  const iterations = smallIntegerOf(count, 'the iteration count');
  const salt = boundedSalt(saltNode);
  const key = deriveKey('sha1', password, salt, 1, iterations, scheme.keyBytes, budget);
  const iv = deriveKey('sha1', password, salt, 2, iterations, 8, budget);
  if (scheme.rc2Bits === undefined) return decipher('des-ede3-cbc', key, iv, content);
  const { decryptRc2 } = await import('./rc2.ts');
  const plain = content.length % 8 === 0 ? decryptRc2(key, scheme.rc2Bits, iv, content) : undefined;
  if (plain === undefined) throw new CannotDecrypt('the padding does not fit');
  return plain;
}

/** Encrypts with PBES2, PBKDF2-HMAC-SHA256 and AES-256-CBC: what JDK 17 and OpenSSL 3 write and JDK 8u301 and later read. */
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
  password: string,
  budget: Budget,
): Promise<Buffer> {
  const [kdf, scheme] = membersOf(parameters, 'the PBES2 parameters');
  const [kdfId, kdfParameters] = membersOf(kdf, 'the key derivation');
  const kdfOid = oidOf(kdfId, 'the key derivation');
  if (kdfOid !== PBKDF2) throw new UnknownAlgorithm(`the key derivation ${kdfOid}`);
  const [salt, count, ...optional] = membersOf(kdfParameters, 'the PBKDF2 parameters');
  const iterations = smallIntegerOf(count, 'the iteration count');
  // keyLength may stand before the PRF; the cipher knows it anyway. HMAC-SHA-1 is the default (RFC 8018 appendix A.2).
  const prf = optional.find((node) => node.tag === TAG.sequence);
  const prfOid = prf === undefined ? '1.2.840.113549.2.7' : oidOf(membersOf(prf, 'the PRF')[0], 'the PRF');
  const hashName = PRFS[prfOid];
  if (hashName === undefined) throw new UnknownAlgorithm(`the PRF ${prfOid}`);
  const [schemeId, ivNode] = membersOf(scheme, 'the cipher');
  const schemeOid = oidOf(schemeId, 'the cipher');
  const cipher = CIPHERS[schemeOid];
  if (cipher === undefined) throw new UnknownAlgorithm(`the cipher ${schemeOid}`);
  const iv = octetsOf(ivNode, 'the initialization vector');
  if (iv.length !== cipher.ivBytes)
    throw new BadData(`the initialization vector has ${iv.length} bytes; allowed are ${cipher.ivBytes}`);
  budget(iterations);
  const key = await promisify(pbkdf2)(
    Buffer.from(password, 'utf8'),
    boundedSalt(salt),
    iterations,
    cipher.keyBytes,
    hashName,
  );
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

function boundedSalt(node: Asn1Element | undefined): Buffer {
  const salt = octetsOf(node, 'the salt');
  if (salt.length > MAX_SALT_BYTES)
    throw new BadData(`the salt has ${salt.length} bytes; allowed are ${MAX_SALT_BYTES}`);
  return salt;
}

function mac(
  hashName: HashName,
  password: string,
  salt: Buffer,
  iterations: number,
  content: Buffer,
  budget: Budget,
): Buffer {
  const keyBytes = hash(hashName, '', 'buffer').length;
  return createHmac(hashName, deriveKey(hashName, password, salt, 3, iterations, keyBytes, budget))
    .update(content)
    .digest();
}

/** RFC 7292 appendix B.2; `id` is 1 for a key, 2 for an initialization vector, 3 for a MAC key (B.3). */
function deriveKey(
  hashName: HashName,
  password: string,
  salt: Buffer,
  id: 1 | 2 | 3,
  iterations: number,
  bytes: number,
  budget: Budget,
): Buffer {
  const v = hashName === 'sha384' || hashName === 'sha512' ? 128 : 64;
  // B.1: BMPString with a zero character behind it.
  const secret = Buffer.from(`${password}\0`, 'utf16le').swap16();
  const diversifier = Buffer.alloc(v, id);
  const input = Buffer.concat([repeatTo(salt, v), repeatTo(secret, v)]);
  const blocks: Buffer[] = [];
  for (let have = 0; have < bytes;) {
    budget(iterations);
    let block = hash(hashName, Buffer.concat([diversifier, input]), 'buffer');
    for (let i = 1; i < iterations; i += 1) block = hash(hashName, block, 'buffer');
    blocks.push(block);
    have += block.length;
    addToEach(input, repeatTo(block, v).subarray(0, v));
  }
  return Buffer.concat(blocks).subarray(0, bytes);
}

/** Copies of `bytes` up to the next multiple of `v`; nothing stays nothing. */
function repeatTo(bytes: Buffer, v: number): Buffer {
  return bytes.length === 0 ? bytes : Buffer.alloc(v * Math.ceil(bytes.length / v), bytes);
}

/** Step 6 C: each block of `input` becomes (block + addend + 1) mod 2^(8v). */
function addToEach(input: Buffer, addend: Buffer): void {
  for (let begin = 0; begin < input.length; begin += addend.length) {
    let carry = 1;
    for (let i = addend.length - 1; i >= 0; i -= 1) {
      carry += (input[begin + i] as number) + (addend[i] as number);
      input[begin + i] = carry & 0xff;
      carry >>= 8;
    }
  }
}
