// The Sun JKS format, versions 1 and 2, as sun.security.provider.JavaKeyStore in OpenJDK reads and writes it:
//   FEEDFEED, version, count, then per entry a tag (1 private key, 2 trusted certificate), alias, date and content;
//   at the end SHA-1 over password (UTF-16BE), "Mighty Aphrodite" and everything before it.
// That digest is the only check there is: nothing is handed out before it fits.
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { Asn1Fault, membersOf, type Asn1Element } from '../asn1/reader.ts';
import { readElement, type Asn1Limits } from '../asn1/structure.ts';
import { octets, sequence, TAG } from '../asn1/writer.ts';
import { Breather } from '../breather.ts';
import type { CodedError } from '../errors.ts';
import { isBlank } from './der.ts';
import { faultOfPassword, keystoreFault } from './errors.ts';
import { BadData, DataReader, DataWriter, EndOfData } from './java-data.ts';
import {
  MAX_CERTIFICATES,
  MAX_ENTRIES,
  MAX_STORE_BYTES,
  aliasLine,
  soundnessCheck,
  type Store,
  type StoreEntry,
  type StoreSource,
} from './material.ts';
import { candidates } from './pkcs12/derivation.ts';

const MAGIC = 0xfeedfeed;
const DIGEST_BYTES = 20;
const TAG_KEY = 1;
const TAG_TRUSTED = 2;
const WHITENER = Buffer.from('Mighty Aphrodite', 'utf8');
/** More than the bounds allow; the message names what. */
class TooMany extends Error {}

/**
 * EncryptedPrivateKeyInfo of sun.security.provider.KeyProtector: SEQUENCE { SEQUENCE { OID 1.3.6.1.4.1.42.2.17.1.1,
 * NULL }, OCTET STRING }.
 */
const PROTECTOR_ALGORITHM = Buffer.from('300e060a2b060104012a021101010500', 'hex');

/** A protected key is one list of two members, and its size that of a file at most. */
const KEY_LIMITS: Asn1Limits = { maxBytes: MAX_STORE_BYTES, maxDepth: 4, maxElements: 16, form: 'ber', octets: false };

/** Reads a JKS store. Throws keystore faults: wrong or missing password, truncated, tampered, damaged, too large. */
export async function readJks(source: StoreSource): Promise<Store> {
  const bytes = withoutBlanks(source.bytes);
  const { file } = source;
  const data = bytes.subarray(0, Math.max(0, bytes.length - DIGEST_BYTES));
  const digest = bytes.subarray(-DIGEST_BYTES);
  const fitting = candidates(source.password).find(
    (password) => password !== null && bytes.length > DIGEST_BYTES && timingSafeEqual(digestOf(password, data), digest),
  );
  let parsed: Pick<Store, 'entries' | 'others'>;
  try {
    parsed = parseEntries(data);
  } catch (error) {
    throw faultOfStructure(error, file, fitting !== undefined);
  }
  if (fitting === undefined || fitting === null) throw await faultOfDigest(parsed.entries, source);
  return { format: 'jks', ...parsed, warnings: [], password: fitting };
}

/** Line breaks and zeros behind the digest, as copying in text mode appends them: Java does not look there. */
function withoutBlanks(bytes: Buffer): Buffer {
  try {
    const input = new DataReader(bytes);
    readEntries(input);
    const end = bytes.length - input.left + DIGEST_BYTES;
    return end < bytes.length && isBlank(bytes.subarray(end)) ? bytes.subarray(0, end) : bytes;
  } catch (error) {
    if (error instanceof EndOfData || error instanceof BadData || error instanceof TooMany) return bytes;
    throw error;
  }
}

/** Writes a version 2 store. Aliases are written in lower case: Java looks them up so, and would not find others. */
export function writeJks(entries: readonly StoreEntry[], password: string): Buffer {
  const out = new DataWriter().int(MAGIC).int(2).int(entries.length);
  for (const entry of entries) {
    if (entry.kind === 'loose' || (entry.kind === 'key' && entry.protection !== 'jks')) {
      throw keystoreFault('keystore_cannot_hold', {
        format: 'JKS',
        found: entry.kind === 'loose' ? 'a certificate that is not trusted' : 'a private key of another format',
      });
    }
    out
      .int(entry.kind === 'key' ? TAG_KEY : TAG_TRUSTED)
      .utf(entry.alias.toLowerCase())
      .date(entry.created ?? new Date());
    if (entry.kind === 'key') out.int(entry.key.length).raw(entry.key).int(entry.certificates.length);
    for (const der of entry.certificates) out.utf('X.509').int(der.length).raw(der);
  }
  const data = out.bytes();
  return Buffer.concat([data, digestOf(password, data)]);
}

/**
 * Opens the private key of a JKS entry (PKCS#8, DER). The key stream is SHA-1 over password and the block before,
 * beginning with the salt; the last block is SHA-1 over password and key. Throws keystore_key_password_wrong,
 * keystore_key_unsupported.
 */
export function unlockJksKey(protectedKey: Uint8Array, password: string): Buffer {
  const content = protectedContent(Buffer.from(protectedKey));
  const secret = passwordBytes(password);
  const plain = keyStream(content.subarray(DIGEST_BYTES, -DIGEST_BYTES), secret, content.subarray(0, DIGEST_BYTES));
  if (!timingSafeEqual(sha1(secret, plain), content.subarray(-DIGEST_BYTES)))
    throw keystoreFault('keystore_key_password_wrong', {});
  return plain;
}

/** Protects a private key (PKCS#8, DER) as Java's key stores do: EncryptedPrivateKeyInfo, for a JKS entry. */
export function protectJksKey(pkcs8: Uint8Array, password: string): Buffer {
  const secret = passwordBytes(password);
  const salt = randomBytes(DIGEST_BYTES);
  const content = octets(Buffer.concat([salt, keyStream(pkcs8, secret, salt), sha1(secret, pkcs8)]));
  return sequence(PROTECTOR_ALGORITHM, content);
}

/** XOR with SHA-1 over password and the block before; the first block is the salt. */
function keyStream(input: Uint8Array, secret: Buffer, salt: Uint8Array): Buffer {
  const output = Buffer.alloc(input.length);
  let block = salt;
  for (let i = 0; i < input.length; i += 1) {
    if (i % DIGEST_BYTES === 0) block = sha1(secret, block);
    output[i] = (input[i] as number) ^ (block[i % DIGEST_BYTES] as number);
  }
  return output;
}

function parseEntries(data: Buffer): Pick<Store, 'entries' | 'others'> {
  const input = new DataReader(data);
  const parsed = readEntries(input);
  if (input.left > 0) throw new BadData(`${input.left} bytes follow the last entry that do not belong to it`);
  return parsed;
}

function readEntries(input: DataReader): Pick<Store, 'entries' | 'others'> {
  input.take(4, 'the magic number');
  const version = input.count('the version');
  if (version !== 1 && version !== 2) throw new BadData(`its version is ${version}; allowed are 1 and 2`);
  const count = input.count('the number of entries');
  if (count > MAX_ENTRIES) throw new TooMany(`${count} entries`);
  const entries: StoreEntry[] = [];
  const others: string[] = [];
  let certificateCount = 0;
  for (let number = 1; number <= count; number += 1) {
    const what = `entry ${number} of ${count}`;
    const tag = input.count(`the kind of ${what}`);
    if (tag !== TAG_KEY && tag !== TAG_TRUSTED)
      throw new BadData(`${what} is of kind ${tag}; allowed are 1 (private key) and 2 (trusted certificate)`);
    const alias = input.utf(`the alias of ${what}`);
    const created = input.date(`the date of ${what}`);
    const key =
      tag === TAG_KEY ? input.take(input.count(`the key length of ${what}`), `the private key of ${what}`) : undefined;
    const length = tag === TAG_KEY ? input.count(`the chain length of ${what}`) : 1;
    certificateCount += length;
    if (certificateCount > MAX_CERTIFICATES) throw new TooMany(`${certificateCount} certificates or more`);
    const certificates: Buffer[] = [];
    for (let place = 0; place < length; place += 1) {
      const der = readCertificate(input, version, what);
      if (der !== undefined) certificates.push(der);
    }
    const [first] = certificates;
    if (certificates.length < length) others.push(`"${alias}" with a certificate of another type than X.509`);
    else if (key !== undefined) entries.push({ kind: 'key', alias, created, certificates, protection: 'jks', key });
    else if (first !== undefined) entries.push({ kind: 'trusted', alias, created, certificates: [first] });
  }
  return { entries, others };
}

/** Undefined for one of another type than X.509 (SDSI, PGP), which Java's providers may keep. */
function readCertificate(input: DataReader, version: number, what: string): Buffer | undefined {
  // Version 1 knew X.509 only and did not say so.
  const type = version === 1 ? 'X.509' : input.utf(`the certificate type of ${what}`);
  const content = input.take(input.count(`the certificate length of ${what}`), `the certificate of ${what}`);
  return type === 'X.509' || type === 'X509' ? content : undefined;
}

function faultOfStructure(error: unknown, file: string, authentic: boolean): CodedError {
  const format = 'JKS';
  if (error instanceof TooMany)
    return keystoreFault(
      'keystore_too_large',
      { file, found: error.message, allowed: `${MAX_ENTRIES} entries and ${MAX_CERTIFICATES} certificates` },
      error,
    );
  if (!(error instanceof EndOfData || error instanceof BadData)) throw error;
  // With a fitting digest the file is as it was written: then its writer, not the way here, made it unreadable.
  if (authentic) return keystoreFault('keystore_damaged', { file, format, found: error.message }, error);
  return keystoreFault(
    error instanceof EndOfData ? 'keystore_truncated' : 'keystore_tampered',
    { file, format, found: error.message },
    error,
  );
}

/**
 * The digest alone cannot tell a wrong password from a changed file. But certificates prove themselves. If one
 * is unreadable or a root's own signature fails, the file was changed; if all are sound, the password is by far the
 * likelier.
 */
async function faultOfDigest(entries: readonly StoreEntry[], source: StoreSource): Promise<CodedError> {
  const [format, soundness, breather] = ['JKS', soundnessCheck(), new Breather()];
  for (const { alias, certificates } of entries) {
    await breather.pause();
    const unsound = certificates.map((der) => soundness(der)).find((verdict) => verdict !== 'sound');
    if (unsound !== undefined) {
      const found = `the certificate "${aliasLine(alias)}" ${unsound === 'unreadable' ? 'is not a certificate any more' : 'does not fit its own signature'}, and the digest of the store does not fit either`;
      return keystoreFault('keystore_tampered', { file: source.file, format, found });
    }
  }
  return faultOfPassword(source, 'jks');
}

function protectedContent(info: Buffer): Buffer {
  const [algorithm, content, ...others] = partsOf(info);
  if (algorithm?.whole.equals(PROTECTOR_ALGORITHM) !== true) throw faultOfProtection('another algorithm');
  if (content?.tag !== TAG.octets || others.length > 0 || content.content.length <= 2 * DIGEST_BYTES)
    throw faultOfProtection('something damaged');
  return content.content;
}

function partsOf(info: Buffer): Asn1Element[] {
  try {
    return membersOf(readElement(info, KEY_LIMITS, 'the private key'), 'the private key');
  } catch (error) {
    if (error instanceof Asn1Fault) return [];
    throw error;
  }
}

function faultOfProtection(found: string): CodedError {
  return keystoreFault('keystore_key_unsupported', {
    found,
    allowed: 'the protection of JKS key stores (1.3.6.1.4.1.42.2.17.1.1)',
  });
}

function digestOf(password: string, data: Uint8Array): Buffer {
  return sha1(passwordBytes(password), WHITENER, data);
}

/** Java's chars, high byte first. */
function passwordBytes(password: string): Buffer {
  return Buffer.from(password, 'utf16le').swap16();
}

function sha1(...parts: Uint8Array[]): Buffer {
  const hash = createHash('sha1');
  for (const part of parts) hash.update(part);
  return hash.digest();
}
