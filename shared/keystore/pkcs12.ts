// Reads and writes PKCS#12 (RFC 7292): which certificates and keys a file holds, and files that Java's tools list the same way.
// Import it lazily (open.ts does): an agent without a PKCS#12 store does not need it.
import { createHash, type X509Certificate } from 'node:crypto';
import {
  Asn1Fault,
  bmpTextOf,
  explicitOf,
  membersOf,
  octetsOf,
  oidOf,
  smallIntegerOf,
  withDerLengths,
  type Asn1Element,
} from '../asn1/reader.ts';
import { readElement } from '../asn1/structure.ts';
import { bmp, explicit, implicitOctets, integer, octets, oid, sequence, set } from '../asn1/writer.ts';
import { isCoded, type CodedError } from '../errors.ts';
import { keystoreFault } from './errors.ts';
import { BadData } from './java-data.ts';
import {
  DEFAULT_PASSWORD,
  FORMAT_NAMES,
  MAX_ENTRIES,
  parseCertificate,
  soundness,
  type KeyEntry,
  type Store,
  type StoreEntry,
  type StoreSource,
} from './material.ts';
import {
  CannotDecrypt,
  decrypt,
  encrypt,
  macFits,
  makeMac,
  PKCS12_LIMITS,
  UnknownAlgorithm,
  workBudget,
  type Budget,
} from './pkcs12-crypto.ts';
import { protectPkcs8Key } from './private-key.ts';

/** Some 1,000 certificates fit into this. */
export const MAX_PKCS12_BYTES = 2 * 1024 * 1024;
const MAX_NESTING = 4;
/** No chain of a real authority is longer. */
const MAX_CHAIN = 20;

const DATA = '1.2.840.113549.1.7.1';
const ENCRYPTED_DATA = '1.2.840.113549.1.7.6';
const BAG = '1.2.840.113549.1.12.10.1.';
const X509_CERTIFICATE = '1.2.840.113549.1.9.22.1';
const FRIENDLY_NAME = '1.2.840.113549.1.9.20';
const LOCAL_KEY_ID = '1.2.840.113549.1.9.21';
/** Oracle's trusted-key usage: without it Java lists no trustedCertEntry. Its value is anyExtendedKeyUsage. */
const TRUSTED_KEY_USAGE = '2.16.840.1.113894.746875.1.1';
const ANY_EXTENDED_KEY_USAGE = '2.5.29.37.0';

interface Bag {
  readonly type: 'certificate' | 'key' | 'shrouded key' | 'other';
  readonly content: Buffer;
  readonly alias: string | undefined;
  readonly keyId: Buffer | undefined;
  readonly trusted: boolean;
}

interface Pfx {
  readonly content: Buffer;
  readonly mac: Asn1Element | undefined;
}

/** Reads a PKCS#12 file. Throws keystore faults: wrong or missing password, tampered, damaged, unsupported, too large. */
export async function readPkcs12({ bytes, file, password }: StoreSource): Promise<Store> {
  if (bytes.length > MAX_PKCS12_BYTES)
    throw keystoreFault('keystore_too_large', {
      file,
      found: `${bytes.length} bytes of PKCS#12`,
      allowed: `${MAX_PKCS12_BYTES} bytes`,
    });
  const secret = password ?? DEFAULT_PASSWORD;
  try {
    const pfx = parsePfx(bytes);
    const budget = workBudget();
    if (pfx.mac !== undefined && !macFits(pfx.mac, pfx.content, secret, budget))
      throw await faultOfMac(pfx, file, password, budget);
    const bags = await readContents(pfx.content, secret, budget);
    const warnings = pfx.mac === undefined ? [`${file} has no MAC: nothing tells whether it was changed.`] : [];
    return storeOf(bags, file, warnings);
  } catch (error) {
    throw faultOf(error, file, password);
  }
}

/**
 * Writes a file with AES-256 and a SHA-256 MAC. Keys stay under the protection they have; one that lay bare inside an encrypted
 * part gets the password's, so that it is never written where anybody may read it.
 */
export async function writePkcs12(entries: readonly StoreEntry[], password: string): Promise<Buffer> {
  const certificates: Buffer[] = [];
  const keys: Buffer[] = [];
  for (const entry of entries) {
    const name = attribute(FRIENDLY_NAME, bmp(entry.alias.toLowerCase()));
    if (entry.kind !== 'key') {
      const mark = attribute(TRUSTED_KEY_USAGE, oid(ANY_EXTENDED_KEY_USAGE));
      certificates.push(certificateBag(entry.certificates[0], entry.kind === 'trusted' ? [name, mark] : [name]));
      continue;
    }
    if (entry.protection === 'jks')
      throw keystoreFault('keystore_cannot_hold', {
        format: 'PKCS#12',
        found: 'a private key under the protection of JKS',
      });
    const attributes = [name, attribute(LOCAL_KEY_ID, octets(keyIdOf(entry)))];
    const shrouded = entry.protection === 'none' ? await protectPkcs8Key(entry.key, password) : entry.key;
    keys.push(bag('2', withDerLengths(readElement(shrouded, PKCS12_LIMITS, 'the private key')), attributes));
    certificates.push(...entry.certificates.map((der, index) => certificateBag(der, index === 0 ? attributes : [])));
  }
  const encrypted = await encrypt(sequence(...certificates), password);
  const encryptedInfo = sequence(oid(DATA), encrypted.algorithm, implicitOctets(encrypted.content));
  const contents = [sequence(oid(ENCRYPTED_DATA), explicit(sequence(integer(0), encryptedInfo)))];
  if (keys.length > 0) contents.push(dataInfo(sequence(...keys)));
  const safe = sequence(...contents);
  return sequence(integer(3), dataInfo(safe), makeMac(safe, password));
}

/** PFX of RFC 7292 section 4: version, contents, MAC. */
function parsePfx(bytes: Buffer): Pfx {
  const [version, info, mac] = membersOf(readElement(bytes, PKCS12_LIMITS, 'the file'), 'the file');
  if (smallIntegerOf(version, 'the version') !== 3) throw new BadData('its version is not 3');
  const [type, content] = membersOf(info, 'the content');
  const oid = oidOf(type, 'the type of the content');
  if (oid !== DATA) throw new UnknownAlgorithm(`the content type ${oid} (a signature instead of a password)`);
  return { content: octetsOf(explicitOf(content, 'the content'), 'the content'), mac };
}

/** AuthenticatedSafe: a list of ContentInfo, each plain or encrypted. */
async function readContents(content: Buffer, password: string, budget: Budget): Promise<Bag[]> {
  const bags: Bag[] = [];
  for (const info of membersOf(readElement(content, PKCS12_LIMITS, 'the content'), 'the content')) {
    const [type, value] = membersOf(info, 'a part of the content');
    const oid = oidOf(type, 'the type of a part');
    const inner = explicitOf(value, 'a part of the content');
    if (oid === DATA) readBags(octetsOf(inner, 'a part of the content'), bags, 0);
    else if (oid === ENCRYPTED_DATA) readBags(await decryptPart(inner, password, budget), bags, 0);
    else throw new UnknownAlgorithm(`the content type ${oid}`);
  }
  return bags;
}

async function decryptPart(part: Asn1Element, password: string, budget: Budget): Promise<Buffer> {
  const [, info] = membersOf(part, 'the encrypted part');
  const [, algorithm, encrypted] = membersOf(info, 'the encrypted part');
  return await decrypt(algorithm, octetsOf(encrypted, 'the encrypted part'), password, budget);
}

function readBags(content: Buffer, bags: Bag[], depth: number): void {
  if (depth > MAX_NESTING) throw new BadData(`its bags are nested deeper than ${MAX_NESTING}`);
  for (const node of membersOf(readElement(content, PKCS12_LIMITS, 'the list of bags'), 'the list of bags')) {
    if (bags.length === MAX_ENTRIES) throw new BadData(`it holds more than ${MAX_ENTRIES} entries`);
    const [id, value, attributes] = membersOf(node, 'a bag');
    const oid = oidOf(id, 'the type of a bag');
    const inner = explicitOf(value, 'the content of a bag');
    if (oid === `${BAG}6`) readBags(inner.whole, bags, depth + 1);
    else bags.push({ ...contentOf(oid, inner), ...attributesOf(attributes) });
  }
}

function contentOf(oid: string, inner: Asn1Element): Pick<Bag, 'type' | 'content'> {
  if (oid === `${BAG}1`) return { type: 'key', content: withDerLengths(inner) };
  if (oid === `${BAG}2`) return { type: 'shrouded key', content: withDerLengths(inner) };
  if (oid !== `${BAG}3`) return { type: 'other', content: Buffer.alloc(0) };
  const [type, value] = membersOf(inner, 'a certificate bag');
  if (oidOf(type, 'the type of a certificate') !== X509_CERTIFICATE) return { type: 'other', content: Buffer.alloc(0) };
  return { type: 'certificate', content: octetsOf(explicitOf(value, 'a certificate'), 'a certificate') };
}

function attributesOf(set: Asn1Element | undefined): Pick<Bag, 'alias' | 'keyId' | 'trusted'> {
  let alias: string | undefined;
  let keyId: Buffer | undefined;
  let trusted = false;
  for (const node of set === undefined ? [] : membersOf(set, 'the attributes')) {
    const [id, values] = membersOf(node, 'an attribute');
    const oid = oidOf(id, 'the type of an attribute');
    if (oid === FRIENDLY_NAME) alias = bmpTextOf(membersOf(values, 'a name')[0]) ?? alias;
    else if (oid === LOCAL_KEY_ID) keyId = octetsOf(membersOf(values, 'a key id')[0], 'a key id');
    else if (oid === TRUSTED_KEY_USAGE) trusted = true;
  }
  return { alias, keyId, trusted };
}

/**
 * Sorts the bags as Java does (PKCS12KeyStore.loadSafeContents): a certificate with Oracle's mark is trusted, one that
 * carries the id of a key begins its chain. A file without keys and without any mark is what "openssl pkcs12 -export
 * -nokeys" makes: there every certificate is meant.
 */
function storeOf(bags: readonly Bag[], file: string, warnings: string[]): Store {
  const certificates = bags.filter(({ type }) => type === 'certificate');
  const keys = bags.filter(({ type }) => type === 'key' || type === 'shrouded key');
  const entries: StoreEntry[] = [];
  const chained = new Set<Bag>();
  const index = keys.length === 0 ? undefined : indexOf(certificates);
  for (const [place, key] of keys.entries()) {
    const chain = chainOf(key, index);
    for (const member of chain) chained.add(member);
    entries.push({
      kind: 'key',
      alias: key.alias ?? chain[0]?.alias ?? `key-${place + 1}`,
      created: dateOf(key.keyId),
      certificates: chain.map(({ content }) => content),
      protection: key.type === 'key' ? 'none' : 'pkcs8',
      key: key.content,
    });
  }
  const unmarked = keys.length === 0 && certificates.length > 0 && certificates.every(({ trusted }) => !trusted);
  if (unmarked)
    warnings.push(
      `${file} trusts ${certificates.length} certificate(s) without Java's mark for that: Java sees it as empty. "queue-agent truststore import" writes the mark.`,
    );
  for (const [index, certificate] of certificates.entries()) {
    if (chained.has(certificate) && !certificate.trusted) continue;
    const kind = certificate.trusted || unmarked ? 'trusted' : 'loose';
    entries.push({
      kind,
      alias: certificate.alias ?? `certificate-${index + 1}`,
      created: undefined,
      certificates: [certificate.content],
    });
  }
  const others = bags.filter(({ type }) => type === 'other').map(() => 'a bag of another type');
  return { format: 'pkcs12', entries, warnings, others };
}

interface CertificateIndex {
  /** By the id of their key, hex: the first one counts. */
  readonly byKeyId: ReadonlyMap<string, Bag>;
  readonly bySubject: ReadonlyMap<string, readonly Bag[]>;
  /** Each certificate is parsed once, however many keys lead to it. */
  readonly parsed: ReadonlyMap<Bag, X509Certificate | undefined>;
}

/** The certificate with the key's id, then issuer after issuer as far as the file has them. */
function chainOf({ keyId }: Bag, index: CertificateIndex | undefined): Bag[] {
  const chain: Bag[] = [];
  if (keyId === undefined || index === undefined) return chain;
  for (let next = index.byKeyId.get(keyId.toString('hex')); next !== undefined && chain.length < MAX_CHAIN;) {
    chain.push(next);
    const issued = index.parsed.get(next);
    // A root ends it; the same root once more in the file is not part of it.
    next =
      issued === undefined || issued.issuer === issued.subject
        ? undefined
        : index.bySubject.get(issued.issuer)?.find((candidate) => !chain.includes(candidate));
  }
  return chain;
}

function indexOf(certificates: readonly Bag[]): CertificateIndex {
  const parsed = new Map(certificates.map((bag) => [bag, parseCertificate(bag.content)] as const));
  const named = certificates.flatMap((bag) =>
    bag.keyId === undefined ? [] : [[bag.keyId.toString('hex'), bag] as const],
  );
  return {
    parsed,
    byKeyId: new Map(named.toReversed()),
    bySubject: Map.groupBy(certificates, (bag) => parsed.get(bag)?.subject ?? ''),
  };
}

/** Java keeps the date of a key in its id: "Time 1700000000000". */
function dateOf(keyId: Buffer | undefined): Date | undefined {
  const [, milliseconds] = /^Time (\d{1,15})$/.exec(keyId?.toString('latin1') ?? '') ?? [];
  return milliseconds === undefined ? undefined : new Date(Number(milliseconds));
}

function keyIdOf({ created, certificates, key }: KeyEntry): Buffer {
  return created === undefined
    ? createHash('sha1')
        .update(certificates[0] ?? key)
        .digest()
    : Buffer.from(`Time ${created.getTime()}`, 'latin1');
}

/** The MAC does not fit. If the contents decrypt all the same, the password is right and the file was changed. */
async function faultOfMac(pfx: Pfx, file: string, password: string | undefined, budget: Budget): Promise<CodedError> {
  const tampered = (found: string) => keystoreFault('keystore_tampered', { file, format: FORMAT_NAMES.pkcs12, found });
  const wrong = keystoreFault(password === undefined ? 'keystore_password_missing' : 'keystore_password_wrong', {
    file,
    format: FORMAT_NAMES.pkcs12,
  });
  let encryptedParts = 0;
  try {
    for (const info of membersOf(readElement(pfx.content, PKCS12_LIMITS, 'the content'), 'the content')) {
      const [type, value] = membersOf(info, 'a part of the content');
      if (oidOf(type, 'the type of a part') !== ENCRYPTED_DATA) continue;
      encryptedParts += 1;
      const plain = await decryptPart(explicitOf(value, 'a part of the content'), password ?? DEFAULT_PASSWORD, budget);
      // A wrong password leaves a fitting padding once in 256 times, but hardly a fitting DER header too.
      if (plain[0] === 0x30 && plain[1] === 0x82 && plain.length === 4 + plain.readUInt16BE(2))
        return tampered('its contents open with the password, but its MAC does not fit them');
    }
    if (encryptedParts > 0) return wrong;
    const bags = await readContents(pfx.content, password ?? DEFAULT_PASSWORD, budget);
    const unsound = bags.some(({ type, content }) => type === 'certificate' && soundness(content) !== 'sound');
    return unsound ? tampered('a certificate in it is damaged, and its MAC does not fit either') : wrong;
  } catch (error) {
    if (error instanceof CannotDecrypt || error instanceof UnknownAlgorithm) return wrong;
    if (error instanceof BadData || error instanceof Asn1Fault)
      return tampered(`${error.message}, and its MAC does not fit either`);
    throw error;
  }
}

function faultOf(error: unknown, file: string, password: string | undefined): unknown {
  const format = FORMAT_NAMES.pkcs12;
  if (isCoded(error)) return error;
  if (error instanceof UnknownAlgorithm)
    return keystoreFault('keystore_unsupported', { file, format, found: error.message }, error);
  if (error instanceof BadData || error instanceof Asn1Fault)
    return keystoreFault('keystore_damaged', { file, format, found: error.message }, error);
  // Only a file without MAC comes here with another password than its own.
  if (error instanceof CannotDecrypt)
    return keystoreFault(
      password === undefined ? 'keystore_password_missing' : 'keystore_password_wrong',
      { file, format },
      error,
    );
  return error;
}

function dataInfo(content: Buffer): Buffer {
  return sequence(oid(DATA), explicit(octets(content)));
}

function certificateBag(der: Buffer, attributes: Buffer[]): Buffer {
  return bag('3', sequence(oid(X509_CERTIFICATE), explicit(octets(der))), attributes);
}

function bag(type: '2' | '3', content: Buffer, attributes: Buffer[]): Buffer {
  const parts = [oid(BAG + type), explicit(content)];
  return sequence(...parts, ...(attributes.length === 0 ? [] : [set(...attributes)]));
}

function attribute(type: string, value: Buffer): Buffer {
  return sequence(oid(type), set(value));
}
