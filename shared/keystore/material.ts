// The content of an opened store, independent of its format, and the facts about one certificate. Uses only
// node:crypto's X509Certificate: agents keep this module in memory.
import { createHash, type X509Certificate } from 'node:crypto';
import type { CodedError } from '../errors.ts';
import { readCertificate, unreadableReason } from '../x509/certificates.ts';
import { certificateFields, type CertificateFields } from '../x509/fields.ts';

export type StoreFormat = 'jks' | 'pkcs12' | 'pem' | 'der';

/** How formats are called in messages. */
export const FORMAT_NAMES: Readonly<Record<StoreFormat, string>> = {
  jks: 'JKS',
  pkcs12: 'PKCS#12',
  pem: 'PEM',
  der: 'DER certificate',
};

/** The password that Java's own trust stores come with; no secret. */
export const DEFAULT_PASSWORD = 'changeit';

interface EntryBase {
  /** As it is in the file. Java compares aliases without regard to case. */
  readonly alias: string;
  /** Absent where the format has no place for it. */
  readonly created: Date | undefined;
}

/** A certificate that the store's owner trusts (keytool: trustedCertEntry). */
export interface TrustedEntry extends EntryBase {
  readonly kind: 'trusted';
  readonly certificates: readonly [Buffer];
}

/** A certificate in the store that is not trusted: part of no chain, and without the mark that Java asks for. */
interface LooseEntry extends EntryBase {
  readonly kind: 'loose';
  readonly certificates: readonly [Buffer];
}

/** A private key with its chain, its own certificate first (keytool: PrivateKeyEntry). The key is kept unchanged. */
export interface KeyEntry extends EntryBase {
  readonly kind: 'key';
  readonly certificates: readonly Buffer[];
  /**
   * 'jks': for unlockJksKey; 'pkcs8': EncryptedPrivateKeyInfo (RFC 5958); 'none': PrivateKeyInfo, readable by anybody.
   */
  readonly protection: 'jks' | 'pkcs8' | 'none';
  readonly key: Buffer;
}

export type StoreEntry = TrustedEntry | LooseEntry | KeyEntry;

export interface Store {
  readonly format: StoreFormat;
  readonly entries: readonly StoreEntry[];
  /** What an operator should know although the store opened. */
  readonly warnings: readonly string[];
  /** The one that opened it, of several that were tried; absent where the format has none. Never for a message. */
  readonly password?: string;
  /**
   * Why blocks of a bundle were left out. A store that is used goes without them; a file to import from is refused with
   * the first.
   */
  readonly leftOut?: readonly CodedError[];
  /**
   * Things in the file that are neither certificate nor private key, by name: they would be lost if it were written
   * again.
   */
  readonly others: readonly string[];
}

/** What a reader of one format gets. */
export interface StoreSource {
  readonly bytes: Buffer;
  /** The name that messages have. */
  readonly file: string;
  /** Unknown: `changeit` and the empty one are tried. */
  readonly password?: string | undefined;
  /** Where the password is set, as the end of "Set the password of the store: ..."; else the flag of the commands. */
  readonly passwordHint?: string | undefined;
}

/** No installation has more; the bound keeps a forged count from becoming work. */
export const MAX_ENTRIES = 10_000;

/** Java's own cacerts with 150 roots is 200 kB; the bound keeps a wrong path out of memory. */
export const MAX_STORE_BYTES = 16 * 1024 * 1024;

/** Of all chains and entries; 10,000 keys with 100 certificates each would be a million. */
export const MAX_CERTIFICATES = 20_000;

/** What a line shows of an alias: a tool may have put a whole certificate there. */
const MAX_ALIAS = 255;
/** Of the alternative names in one line. */
const MAX_NAMES = 500;

/** SHA-256 over the DER form, in the notation of keytool and openssl (AB:CD:...). */
export function thumbprint(der: Uint8Array): string {
  return createHash('sha256')
    .update(der)
    .digest('hex')
    .toUpperCase()
    .replaceAll(/(..)(?!$)/g, '$1:');
}

/** The same with SHA-1: for comparing with lists that show nothing better, never for deciding. */
export function oldThumbprint(der: Uint8Array): string {
  return createHash('sha1')
    .update(der)
    .digest('hex')
    .toUpperCase()
    .replaceAll(/(..)(?!$)/g, '$1:');
}

/** The certificate, or undefined when the bytes are none (or more than one). */
export function parseCertificate(der: Uint8Array): X509Certificate | undefined {
  try {
    const certificate = readCertificate(der);
    // OpenSSL ignores what follows the certificate, and reads PEM too; here only exactly one DER certificate will do.
    return certificate.raw.equals(der) ? certificate : undefined;
  } catch {
    // Whatever OpenSSL dislikes, the answer is the same: these bytes are not a certificate.
    return undefined;
  }
}

/** Why `parseCertificate` finds none, as the end of a sentence. */
export function whyUnreadable(der: Uint8Array): string {
  return printableLine(unreadableReason(der) ?? 'it is more than one certificate');
}

/** "CN=Example Root, O=Example Bank" as one printable line. */
export function nameLine(name: string): string {
  const line = name
    .split('\n')
    .filter((part) => part !== '')
    .toReversed()
    .join(', ');
  return line === '' ? '(no name)' : printableLine(line);
}

/** How a certificate is called in messages: by its subject, and one without by its alternative names. */
export function subjectLine(certificate: Pick<X509Certificate, 'subject' | 'subjectAltName'> | undefined): string {
  const name = nameLine(certificate?.subject ?? '');
  const others = certificate?.subject === '' ? certificate.subjectAltName : undefined;
  return others === undefined ? name : `${name}, valid for ${printableLine(others.slice(0, MAX_NAMES))}`;
}

/** An alias for messages and lists: one line, of bounded length, and something to see where it is empty. */
export function aliasLine(alias: string): string {
  const line = printableLine(alias);
  if (line === '') return '(no alias)';
  return line.length > MAX_ALIAS ? `${line.slice(0, MAX_ALIAS)}... (${alias.length} characters)` : line;
}

/** Names and aliases come from files: what would steer a terminal (controls, direction marks) becomes `?`. */
export function printableLine(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu, '?');
}

type Soundness = 'sound' | 'unreadable' | 'broken signature';

/** Of one store. A key with a long exponent takes milliseconds for each, and roots that lost a bit are few. */
export const MAX_SIGNATURES = 200;

/**
 * Makes the check of one store that distinguishes damage from a wrong password: bytes that are not a certificate, or a
 * root whose own signature fails, were changed. Signatures with algorithms that OpenSSL may not know (MD2, GOST) are
 * taken as sound: an unknown algorithm proves nothing.
 */
export function soundnessCheck(): (der: Uint8Array) => Soundness {
  let left = MAX_SIGNATURES;
  return (der) => {
    const certificate = parseCertificate(der);
    const fields = certificateFields(der);
    // A certificate that only OpenSSL does not read (its dates, its key) is not damaged.
    if (fields === undefined) return 'unreadable';
    if (certificate === undefined || !claimsOwnSignature(fields) || left === 0) return 'sound';
    left -= 1;
    return isSignedByAnotherKey(certificate) ? 'broken signature' : 'sound';
  };
}

/**
 * Its signature is not that of its own key. False where OpenSSL does not know the algorithm or the key: that proves
 * nothing.
 */
export function isSignedByAnotherKey(certificate: X509Certificate): boolean {
  if (!/sha\d|ed25519|ed448/i.test(certificate.signatureAlgorithm ?? '')) return false;
  try {
    return !certificate.verify(certificate.publicKey);
  } catch {
    return false;
  }
}

/**
 * Equal names alone claim nothing: an authority and its server may have one distinguished name (Enter pressed at each
 * of openssl's questions), and an authority that changes its key signs the new one under its name.
 */
function claimsOwnSignature({ subject, issuer, subjectKeyId, authorityKeyId }: CertificateFields): boolean {
  return subject === issuer && subjectKeyId !== undefined && subjectKeyId === authorityKeyId;
}

/** "2 private keys", "1 certificate": counts for messages. */
export function counted(count: number, noun: string, plural = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : plural}`;
}
