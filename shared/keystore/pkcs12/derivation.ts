// Derives keys from passwords as PKCS#12 does: its own derivation (RFC 7292 appendix B), PBKDF2 (RFC 8018 section 5.2),
// scrypt (RFC 7914), and the bound of all for one file.
import { hash, pbkdf2, scrypt, type ScryptOptions } from 'node:crypto';
import { promisify } from 'node:util';
import { membersOf, octetsOf, oidOf, smallIntegerOf, type Asn1Element } from '../../asn1/reader.ts';
import { TAG } from '../../asn1/writer.ts';
import { Breather } from '../../breather.ts';
import { DEFAULT_PASSWORD } from '../material.ts';
import { BadData } from '../java-data.ts';

/**
 * Who reads a file that asks for an algorithm that is not here: its hint names a command of them. `scrypt`: none within
 * its bounds.
 */
type Reader = 'keytool' | 'openssl' | 'nothing' | 'scrypt';

/** The file asks for an algorithm that is not here; `message` names it. */
export class UnknownAlgorithm extends Error {
  readonly reader: Reader;

  constructor(message: string, reader: Reader = 'openssl') {
    super(message);
    this.reader = reader;
  }
}

/**
 * A password; null is the NULL password of Windows and Azure: no bytes, where the empty one has two zero bytes (B.1).
 */
export type Password = string | null;

/** Of one derivation; OpenSSL takes 2048, Java 10000. A forged count must not become minutes of work. */
const MAX_ITERATIONS = 1_000_000;
/**
 * Of all derivations of a file, in iterations of PBKDF2: some two seconds of a slow processor. One of PKCS#12's own
 * costs twice as much.
 */
export const MAX_TOTAL_ITERATIONS = 3_000_000;
const OWN_COST = 2;
/** Of PKCS#12's own derivation, which runs in JavaScript: a millisecond, after which the event loop may go on. */
const SLICE_ITERATIONS = 1_000;
const MAX_SALT_BYTES = 1024;
/** RFC 9579 section 5: a shorter key of PBMAC1 can be found without the password. */
const MIN_MAC_KEY_BYTES = 20;
const MAX_MAC_KEY_BYTES = 1024;

/** Digests with the length of their blocks in bytes (v of appendix B.2). */
const BLOCKS = {
  md5: 64,
  sha1: 64,
  sha224: 64,
  sha256: 64,
  sha384: 128,
  sha512: 128,
  'sha512-224': 128,
  'sha512-256': 128,
  'sha3-224': 144,
  'sha3-256': 136,
  'sha3-384': 104,
  'sha3-512': 72,
} as const;
export type HashName = keyof typeof BLOCKS;

export const HASHES: Readonly<Record<string, HashName>> = {
  '1.2.840.113549.2.5': 'md5',
  '1.3.14.3.2.26': 'sha1',
  '2.16.840.1.101.3.4.2.4': 'sha224',
  '2.16.840.1.101.3.4.2.1': 'sha256',
  '2.16.840.1.101.3.4.2.2': 'sha384',
  '2.16.840.1.101.3.4.2.3': 'sha512',
  '2.16.840.1.101.3.4.2.5': 'sha512-224',
  '2.16.840.1.101.3.4.2.6': 'sha512-256',
  '2.16.840.1.101.3.4.2.7': 'sha3-224',
  '2.16.840.1.101.3.4.2.8': 'sha3-256',
  '2.16.840.1.101.3.4.2.9': 'sha3-384',
  '2.16.840.1.101.3.4.2.10': 'sha3-512',
};
/** HMAC with these, as pseudorandom function of PBKDF2 and as MAC of PBMAC1. */
export const HMACS: Readonly<Record<string, HashName>> = {
  '1.2.840.113549.2.7': 'sha1',
  '1.2.840.113549.2.8': 'sha224',
  '1.2.840.113549.2.9': 'sha256',
  '1.2.840.113549.2.10': 'sha384',
  '1.2.840.113549.2.11': 'sha512',
  '1.2.840.113549.2.12': 'sha512-224',
  '1.2.840.113549.2.13': 'sha512-256',
};
export const PBKDF2 = '1.2.840.113549.1.5.12';

const SCRYPT = '1.3.6.1.4.1.11591.4.11';
/** 128 N r bytes; OpenSSL writes N = 16384 and r = 8, which is a quarter of it. */
const MAX_SCRYPT_BYTES = 64 * 1024 * 1024;

/** All derivations together are more than the bound. */
export class TooMuchWork extends BadData {}

/** Counts the work of one file; throws BadData above the bounds, TooMuchWork above that of all together. */
export type Budget = (iterations: number, cost?: number) => void;

export function workBudget(): Budget {
  let left = MAX_TOTAL_ITERATIONS;
  return (iterations, cost = 1) => {
    if (iterations < 1 || iterations > MAX_ITERATIONS)
      throw new BadData(`it asks for ${iterations} iterations; allowed are 1 to ${MAX_ITERATIONS}`);
    left -= iterations * cost;
    if (left < 0) throw new TooMuchWork(`it asks for more than ${MAX_TOTAL_ITERATIONS} iterations in all`);
  };
}

/** What is tried, in this order: without a password Java's default, and what tools write that were not given one. */
export function candidates(password: string | undefined): Password[] {
  if (password === undefined) return [DEFAULT_PASSWORD, '', null];
  return password === '' ? ['', null] : [password];
}

export function boundedSalt(node: Asn1Element | undefined): Buffer {
  const salt = octetsOf(node, 'the salt');
  if (salt.length > MAX_SALT_BYTES)
    throw new BadData(`the salt has ${salt.length} bytes; allowed are ${MAX_SALT_BYTES}`);
  return salt;
}

/**
 * A key by PBKDF2 or scrypt, as `kdf` (an AlgorithmIdentifier) says. Without `keyBytes` its own key length counts,
 * which PBMAC1 has to name. Throws UnknownAlgorithm, BadData.
 */
export async function derivedKey(
  kdf: Asn1Element | undefined,
  password: Password,
  keyBytes: number | undefined,
  budget: Budget,
): Promise<Buffer> {
  const [kdfId, parameters] = membersOf(kdf, 'the key derivation');
  const kdfOid = oidOf(kdfId, 'the key derivation');
  if (kdfOid === PBKDF2) return await pbkdf2Key(parameters, password, keyBytes, budget);
  if (kdfOid === SCRYPT) return await scryptKey(parameters, password, keyBytes, budget);
  throw new UnknownAlgorithm(`the key derivation ${kdfOid}`);
}

async function pbkdf2Key(
  parameters: Asn1Element | undefined,
  password: Password,
  keyBytes: number | undefined,
  budget: Budget,
): Promise<Buffer> {
  const [salt, count, ...optional] = membersOf(parameters, 'the PBKDF2 parameters');
  const iterations = smallIntegerOf(count, 'the iteration count');
  const own = optional.find((node) => node.tag === TAG.integer);
  // HMAC-SHA-1 is the default (RFC 8018 appendix A.2).
  const prf = optional.find((node) => node.tag === TAG.sequence);
  const prfOid = prf === undefined ? '1.2.840.113549.2.7' : oidOf(membersOf(prf, 'the PRF')[0], 'the PRF');
  const hashName = HMACS[prfOid];
  if (hashName === undefined) throw new UnknownAlgorithm(`the PRF ${prfOid}`);
  const length = keyBytes ?? macKeyBytes(own);
  budget(iterations * Math.ceil(length / 64));
  return await promisify(pbkdf2)(Buffer.from(password ?? '', 'utf8'), boundedSalt(salt), iterations, length, hashName);
}

/**
 * RFC 7914 sections 2 and 7. N r p block operations take as long as so many iterations of PBKDF2 with SHA-1 (measured).
 */
async function scryptKey(
  parameters: Asn1Element | undefined,
  password: Password,
  keyBytes: number | undefined,
  budget: Budget,
): Promise<Buffer> {
  const [salt, ...numbers] = membersOf(parameters, 'the scrypt parameters');
  const [N = 0, r = 0, p = 0] = numbers.slice(0, 3).map((node) => countOf(node));
  if (128 * N * r > MAX_SCRYPT_BYTES || N * r * p > MAX_ITERATIONS)
    throw new UnknownAlgorithm(
      `scrypt with N = ${N}, r = ${r}, p = ${p} (allowed: 128 N r up to ${MAX_SCRYPT_BYTES}, N r p up to ${MAX_ITERATIONS})`,
      'scrypt',
    );
  if (N < 2 || (N & (N - 1)) !== 0 || r < 1 || p < 1)
    throw new BadData(
      `its scrypt has N = ${N}, r = ${r}, p = ${p}; N is a power of two above 1, r and p are 1 at least`,
    );
  budget(N * r * p);
  const length = keyBytes ?? macKeyBytes(numbers[3]);
  // The vector of N blocks, p blocks, and what scrypt needs beside them (OpenSSL counts it).
  const maxmem = 128 * r * (N + p + 2) + 1024;
  return await promisify<string, Buffer, number, ScryptOptions, Buffer>(scrypt)(
    password ?? '',
    boundedSalt(salt),
    length,
    { N, r, p, maxmem },
  );
}

/** A number of scrypt; one that does not fit into four bytes is larger than all that is allowed. */
function countOf(node: Asn1Element): number {
  const isHuge = node.tag === TAG.integer && node.content.length > 4 && (node.content[0] as number) < 0x80;
  return isHuge ? Number.POSITIVE_INFINITY : smallIntegerOf(node, 'a number of scrypt');
}

function macKeyBytes(node: Asn1Element | undefined): number {
  const length = smallIntegerOf(node, 'the key length');
  if (length < MIN_MAC_KEY_BYTES || length > MAX_MAC_KEY_BYTES)
    throw new BadData(
      `the key of the MAC has ${length} bytes; allowed are ${MIN_MAC_KEY_BYTES} to ${MAX_MAC_KEY_BYTES}`,
    );
  return length;
}

/** RFC 7292 appendix B.2; `id` is 1 for a key, 2 for an initialization vector, 3 for a MAC key (B.3). */
export async function deriveKey(
  hashName: HashName,
  password: Password,
  salt: Buffer,
  id: 1 | 2 | 3,
  iterations: number,
  bytes: number,
  budget: Budget,
): Promise<Buffer> {
  const v = BLOCKS[hashName];
  // B.1: BMPString with a zero character behind it.
  const secret = Buffer.from(password === null ? '' : `${password}\0`, 'utf16le').swap16();
  const diversifier = Buffer.alloc(v, id);
  const input = Buffer.concat([repeatTo(salt, v), repeatTo(secret, v)]);
  const breather = new Breather();
  const blocks: Buffer[] = [];
  for (let have = 0; have < bytes;) {
    budget(iterations, OWN_COST);
    let block = hash(hashName, Buffer.concat([diversifier, input]), 'buffer');
    for (let i = 1; i < iterations; i += 1) {
      block = hash(hashName, block, 'buffer');
      if (i % SLICE_ITERATIONS === 0) await breather.pause();
    }
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
