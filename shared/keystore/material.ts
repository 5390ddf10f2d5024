// The content of an opened store, independent of its format, and the facts about one certificate. Uses only
// node:crypto's X509Certificate: agents keep this module in memory.
import { createHash, type X509Certificate } from 'node:crypto';
import { readCertificate } from '../x509/certificates.ts';

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
  /** 'jks': for unlockJksKey; 'pkcs8': EncryptedPrivateKeyInfo (RFC 5958); 'none': PrivateKeyInfo, readable by anybody. */
  readonly protection: 'jks' | 'pkcs8' | 'none';
  readonly key: Buffer;
}

export type StoreEntry = TrustedEntry | LooseEntry | KeyEntry;

export interface Store {
  readonly format: StoreFormat;
  readonly entries: readonly StoreEntry[];
  /** What an operator should know although the store opened. */
  readonly warnings: readonly string[];
  /** Things in the file that are neither certificate nor private key, by name: they would be lost if it were written again. */
  readonly others: readonly string[];
}

/** What a reader of one format is given. */
export interface StoreSource {
  readonly bytes: Buffer;
  /** The name to be told in messages. */
  readonly file: string;
  /** Unknown: `changeit` is tried. */
  readonly password?: string | undefined;
}

/** No installation has more; the bound keeps a forged count from becoming work. */
export const MAX_ENTRIES = 10_000;

/** Java's own cacerts with 150 roots is 200 kB; the bound keeps a wrong path out of memory. */
export const MAX_STORE_BYTES = 16 * 1024 * 1024;

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

/** "CN=Example Root, O=Example Bank" as one printable line. */
export function nameLine(name: string): string {
  const line = name
    .split('\n')
    .filter((part) => part !== '')
    .toReversed()
    .join(', ');
  return line === '' ? '(no name)' : printableLine(line);
}

/** Names and aliases come from files: what would steer a terminal (controls, direction marks) becomes `?`. */
export function printableLine(text: string): string {
  return text.replaceAll(/[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu, '?');
}

type Soundness = 'sound' | 'unreadable' | 'broken signature';

/**
 * Distinguishes damage from a wrong password: bytes that are not a certificate, or a root whose own signature fails, were changed.
 * Signatures with algorithms that OpenSSL may not know (MD2, GOST) are taken as sound: an unknown algorithm proves nothing.
 */
export function soundness(der: Uint8Array): Soundness {
  const certificate = parseCertificate(der);
  if (certificate === undefined) return 'unreadable';
  if (!/sha\d|ed25519|ed448/i.test(certificate.signatureAlgorithm ?? '')) return 'sound';
  try {
    // checkIssued compares names and key identifiers, so a root that an older key of its own signed is left alone.
    return !certificate.checkIssued(certificate) || certificate.verify(certificate.publicKey)
      ? 'sound'
      : 'broken signature';
  } catch {
    return 'unreadable'; // its key is none: publicKey throws
  }
}

/** "2 private keys", "1 certificate": counts for messages. */
export function counted(count: number, noun: string, plural = `${noun}s`): string {
  return `${count} ${count === 1 ? noun : plural}`;
}
