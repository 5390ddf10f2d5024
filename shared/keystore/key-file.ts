// Reads one private key and its certificates from a file of any format (PEM, PKCS#12, JKS), and writes them as a
// password-protected PKCS#12. Only Central uses it: agents never take over keys of others.
import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { readCertificate as readX509 } from '../x509/certificates.ts';
import { Asn1Fault, elementsIn, oidOf } from '../asn1/reader.ts';
import { structureFault, type Asn1Limits } from '../asn1/structure.ts';
import { TAG } from '../asn1/writer.ts';
import { defineErrors, type ErrorTable } from '../errors.ts';
import { decodeBlock, pemBlocks, PemFault, pemOf, type PemBlock } from '../x509/pem.ts';
import { keystoreFault } from './errors.ts';
import {
  FORMAT_NAMES,
  MAX_ENTRIES,
  MAX_STORE_BYTES,
  parseCertificate,
  aliasLine,
  printableLine,
  whyUnreadable,
  type KeyEntry,
  type Store,
} from './material.ts';
import { openStore } from './open.ts';
import { pemText } from './pem.ts';
import { writePkcs12 } from './pkcs12.ts';
import { openKey, protectPkcs8Key } from './private-key.ts';

export const PRIVATE_KEY_ERRORS = {
  private_key_missing: {
    status: 422,
    text: '{file} ({format}) holds no private key.',
    hint: 'Use the file that holds the key beside its certificate (PKCS#12, JKS, or PEM), or name the file with the key (--key FILE).',
  },
  private_key_ambiguous: {
    status: 422,
    text: '{file} ({format}) holds {count} private keys: {aliases}.',
    hint: 'Choose one with --alias, or use a file with a single key.',
  },
  private_key_alias_unknown: {
    status: 422,
    text: '{file} ({format}) holds no private key under the alias "{alias}"; it has {aliases}.',
    hint: 'Name one of these with --alias.',
  },
  private_key_password_missing: {
    status: 422,
    text: 'The private key in {file} is protected by a password, which is missing.',
    hint: 'Add --password-file.',
  },
  private_key_unreadable: {
    status: 422,
    text: 'The private key in {file} cannot be read: {found}.',
    hint: 'Convert it to PEM (PKCS#8: -----BEGIN PRIVATE KEY-----) or PKCS#12.',
  },
} as const satisfies ErrorTable;

const keyFault = defineErrors(PRIVATE_KEY_ERRORS);

interface KeySource {
  readonly bytes: Buffer;
  /** The name for messages. */
  readonly file: string;
  /** Of the store; of the key too unless `keyPassword` says otherwise. */
  readonly password?: string | undefined;
  /** keytool -keypasswd gives a JKS key one of its own. */
  readonly keyPassword?: string | undefined;
  readonly alias?: string | undefined;
  /** A second file, PEM or DER, with the key alone. */
  readonly keyBytes?: Buffer | undefined;
}

interface KeyAndCertificates {
  readonly key: KeyObject;
  /** The key's own chain first, then whatever else the file has; in no order that may be relied on. */
  readonly certificates: readonly X509Certificate[];
  /** What an operator should know although the file opened. */
  readonly warnings: readonly string[];
}

/** One private key with all certificates of the file. Throws keystore faults and those of PRIVATE_KEY_ERRORS. */
export async function readKeyAndCertificates(source: KeySource): Promise<KeyAndCertificates> {
  const { bytes, file, password, keyBytes } = source;
  const lone = keyBytes === undefined ? undefined : await readLoneKey(keyBytes, source);
  const store = await openStore({ bytes, file, password });
  const [fault] = store.leftOut ?? [];
  if (fault !== undefined) throw fault;
  const binary = store.format === 'pkcs12' || store.format === 'jks';
  const own = binary && lone === undefined ? entryOf(store, source) : undefined;
  const key = lone ?? (own === undefined ? await readLoneKey(bytes, source) : await unlock(own, source));
  const warnings = [...store.warnings];
  const certificates = (own?.certificates ?? []).map((der) => readCertificate(der, file, store));
  for (const entry of store.entries) {
    if (entry === own) continue;
    for (const der of entry.certificates) {
      const certificate = parseCertificate(der);
      if (certificate !== undefined) certificates.push(certificate);
      else
        warnings.push(`"${aliasLine(entry.alias)}" in ${file} cannot be read and was left out: ${whyUnreadable(der)}.`);
    }
  }
  return { key, certificates, warnings };
}

/** A PKCS#12 with one key and its chain under `alias`, AES-256, that openssl and keytool open. */
export async function writeKeyAndChain(
  entry: { readonly alias: string; readonly key: KeyObject; readonly chain: readonly X509Certificate[] },
  password: string,
): Promise<Buffer> {
  const key = await protectPkcs8Key(entry.key.export({ type: 'pkcs8', format: 'der' }), password);
  return await writePkcs12(
    [
      {
        kind: 'key',
        alias: entry.alias,
        created: undefined,
        certificates: entry.chain.map(({ raw }) => raw),
        protection: 'pkcs8',
        key,
      },
    ],
    password,
  );
}

function entryOf(store: Store, { file, alias }: KeySource): KeyEntry {
  const format = FORMAT_NAMES[store.format];
  const keys = store.entries.filter((entry) => entry.kind === 'key');
  const aliases = keys.map((entry) => aliasLine(entry.alias)).join(', ') || 'none';
  // Java compares aliases without regard to case.
  const fitting =
    alias === undefined ? keys : keys.filter((entry) => entry.alias.toLowerCase() === alias.toLowerCase());
  const [only] = fitting;
  if (only === undefined && alias !== undefined && keys.length > 0)
    throw keyFault('private_key_alias_unknown', { file, format, alias: aliasLine(alias), aliases });
  if (only === undefined) throw keyFault('private_key_missing', { file, format });
  if (fitting.length > 1) throw keyFault('private_key_ambiguous', { file, format, count: fitting.length, aliases });
  return only;
}

async function unlock(entry: KeyEntry, { file, password, keyPassword }: KeySource): Promise<KeyObject> {
  return keyOf(await openKey(entry, keyPassword ?? password), file);
}

/** Labels of private keys, and how OpenSSL calls what is in them. */
const KEY_LABELS: Readonly<Record<string, 'pkcs1' | 'pkcs8' | 'sec1' | 'encrypted'>> = {
  'PRIVATE KEY': 'pkcs8',
  'RSA PRIVATE KEY': 'pkcs1',
  'EC PRIVATE KEY': 'sec1',
  'ENCRYPTED PRIVATE KEY': 'encrypted',
};
const PEM_LIMITS = { maxLength: MAX_STORE_BYTES, maxBlocks: 2 * MAX_ENTRIES };
/** A key of 16,384 bits has 13 kB. */
const KEY_LIMITS: Asn1Limits = { maxBytes: 64 * 1024, maxDepth: 16, maxElements: 256, form: 'ber', octets: true };

/** The one private key of a PEM text, or a key in DER. */
async function readLoneKey(bytes: Buffer, source: KeySource): Promise<KeyObject> {
  const { file, password, keyPassword } = source;
  const secret = keyPassword ?? password;
  if (bytes[0] === TAG.sequence) return await readDerKey(bytes, secret, file);
  const blocks = keyBlocks(pemText(bytes).text, file);
  const [block] = blocks;
  if (block === undefined) throw keyFault('private_key_missing', { file, format: FORMAT_NAMES.pem });
  if (blocks.length > 1)
    throw keyFault('private_key_ambiguous', {
      file,
      format: FORMAT_NAMES.pem,
      count: blocks.length,
      aliases: 'PEM gives them no names',
    });
  const type = KEY_LABELS[block.label] ?? 'pkcs8';
  if (block.body.some((line) => line.includes(':'))) return readEncryptedKey(block, secret, file);
  const der = decodeBlock(block);
  if (der === undefined) throw keyFault('private_key_unreadable', { file, found: 'its lines are not base64' });
  if (type === 'encrypted') return await unlockPkcs8(der, secret, file);
  const key = tryDerKey(der, type, file);
  if (key === undefined) throw keyFault('private_key_unreadable', { file, found: 'OpenSSL does not read it' });
  return key;
}

function keyBlocks(text: string, file: string): PemBlock[] {
  try {
    return [...pemBlocks(text, PEM_LIMITS)].filter(({ label }) => Object.hasOwn(KEY_LABELS, label));
  } catch (error) {
    if (!(error instanceof PemFault)) throw error;
    throw keyFault('private_key_unreadable', { file, found: printableLine(error.message) }, error);
  }
}

/**
 * Proc-Type: 4,ENCRYPTED (RFC 1421 section 4.6.1), as OpenSSL wrote keys for decades. It alone reads these two header
 * lines; what it gets is written here from what they say, and is not text from outside.
 */
function readEncryptedKey({ label, body }: PemBlock, secret: string | undefined, file: string): KeyObject {
  const [type = '', info = '', blank, ...rest] = body;
  const [, cipher, iv] = /^DEK-Info: ([A-Za-z0-9-]{1,32}),([0-9A-Fa-f]{16,64})$/.exec(info) ?? [];
  const der = decodeBlock({ body: rest });
  if (type !== 'Proc-Type: 4,ENCRYPTED' || cipher === undefined || blank !== '' || der === undefined)
    throw keyFault('private_key_unreadable', { file, found: 'its header lines are not those of an encrypted key' });
  if (secret === undefined) throw keyFault('private_key_password_missing', { file });
  try {
    return createPrivateKey({
      key: pemOf(label, der).replace('-----\n', `-----\n${type}\nDEK-Info: ${cipher},${iv}\n\n`),
      format: 'pem',
      passphrase: secret,
    });
  } catch (error) {
    throw keystoreFault('keystore_key_password_wrong', {}, error);
  }
}

/** Algorithms (RFC 8017, 5480, 8410) for which OpenSSL computes nothing when it reads a key. */
const READABLE = new Set([
  '1.2.840.113549.1.1.1',
  '1.2.840.113549.1.1.10',
  '1.2.840.10045.2.1',
  '1.3.101.110',
  '1.3.101.111',
  '1.3.101.112',
  '1.3.101.113',
]);

/**
 * What else a PKCS#8 key (DER) is. OpenSSL computes the public key of DSA and DH, with numbers as large as the file has
 * them: minutes for 50 kB. Undefined: another key, or no PKCS#8. `der` is within KEY_LIMITS.
 */
function costlyAlgorithm(der: Buffer): string | undefined {
  const [outer] = elementsIn(der, 'ber');
  const [, algorithm] = outer?.tag === TAG.sequence ? outer.children() : [];
  const [id] = algorithm?.tag === TAG.sequence ? algorithm.children() : [];
  if (id?.tag !== TAG.oid) return undefined;
  try {
    const name = oidOf(id, 'the algorithm of the key');
    return READABLE.has(name) ? undefined : `it is a key of the algorithm ${name}; allowed are RSA and EC`;
  } catch (error) {
    if (!(error instanceof Asn1Fault)) throw error;
    return 'it is a key of an unknown algorithm';
  }
}

/** The key, when the bytes are one of this type. OpenSSL takes a PKCS#8 for each of them. */
function tryDerKey(bytes: Buffer, type: 'pkcs1' | 'pkcs8' | 'sec1', file: string): KeyObject | undefined {
  if (structureFault(bytes, KEY_LIMITS) !== undefined) return undefined;
  const found = costlyAlgorithm(bytes);
  if (found !== undefined) throw keyFault('private_key_unreadable', { file, found });
  try {
    return createPrivateKey({ key: bytes, format: 'der', type });
  } catch {
    return undefined; // it is of another type, or none
  }
}

async function readDerKey(bytes: Buffer, secret: string | undefined, file: string): Promise<KeyObject> {
  for (const type of ['pkcs8', 'sec1', 'pkcs1'] as const) {
    const key = tryDerKey(bytes, type, file);
    if (key !== undefined) return key;
  }
  // None of these: in the end an encrypted one is tried.
  return await unlockPkcs8(bytes, secret, file);
}

/** Opens an EncryptedPrivateKeyInfo (RFC 5958 section 3), old RC2 and 3DES ones too. */
async function unlockPkcs8(info: Buffer, password: string | undefined, file: string): Promise<KeyObject> {
  if (password === undefined) throw keyFault('private_key_password_missing', { file });
  // Not by OpenSSL if it is unknown here: that would derive the key as often as the file says, and nothing else would run.
  return keyOf(await openKey({ key: info, protection: 'pkcs8' }, password), file);
}

/** PKCS#8, DER. */
function keyOf(der: Buffer, file: string): KeyObject {
  const found = structureFault(der, KEY_LIMITS) ?? costlyAlgorithm(der);
  if (found !== undefined) throw keyFault('private_key_unreadable', { file, found });
  try {
    return createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  } catch (error) {
    throw keyFault('private_key_unreadable', { file, found: 'it is not a PKCS#8 key that OpenSSL reads' }, error);
  }
}

function readCertificate(der: Buffer, file: string, store: Store): X509Certificate {
  try {
    return readX509(der);
  } catch (error) {
    throw keystoreFault(
      'keystore_damaged',
      { file, format: FORMAT_NAMES[store.format], found: `a certificate in it cannot be read: ${whyUnreadable(der)}` },
      error,
    );
  }
}
