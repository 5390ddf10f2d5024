// Reads and writes PKCS#12 (RFC 7292): which certificates and keys a file holds, and files that Java's tools list the
// same way. Import it lazily (open.ts does): an agent without a PKCS#12 store does not need it.
import { createHash, type X509Certificate } from 'node:crypto';
import {
  Asn1Element,
  Asn1Fault,
  bmpTextOf,
  explicitOf,
  membersOf,
  octetsOf,
  oidOf,
  smallIntegerOf,
  withDerLengths,
} from '../asn1/reader.ts';
import { readElement } from '../asn1/structure.ts';
import { bmp, explicit, implicitOctets, integer, octets, oid, sequence, set, TAG } from '../asn1/writer.ts';
import { Breather } from '../breather.ts';
import { isCoded, type CodedError } from '../errors.ts';
import { Mutex } from '../mutex.ts';
import { faultOfPassword, keystoreFault } from './errors.ts';
import { BadData } from './java-data.ts';
import {
  DEFAULT_PASSWORD,
  FORMAT_NAMES,
  MAX_CERTIFICATES,
  MAX_ENTRIES,
  parseCertificate,
  soundnessCheck,
  type KeyEntry,
  type Store,
  type StoreEntry,
  type StoreSource,
} from './material.ts';
import { CannotDecrypt, decrypt, encrypt, PKCS12_LIMITS } from './pkcs12/crypto.ts';
import { candidates, UnknownAlgorithm, workBudget, type Budget, type Password } from './pkcs12/derivation.ts';
import { macFits, makeMac } from './pkcs12/mac.ts';
import { protectPkcs8Key } from './private-key.ts';

/** Some 1,000 certificates fit into this. */
export const MAX_PKCS12_BYTES = 2 * 1024 * 1024;
const MAX_NESTING = 4;
/** No chain of a real authority is longer. */
const MAX_CHAIN = 20;

/** Of one file in words. */
const ALLOWED = `${MAX_ENTRIES} entries and ${MAX_CERTIFICATES} certificates`;
const DATA = '1.2.840.113549.1.7.1';
/** Windows writes it when a file is protected for an account instead of with a password. */
const ENVELOPED_DATA = '1.2.840.113549.1.7.3';
const ENCRYPTED_DATA = '1.2.840.113549.1.7.6';
const BAG = '1.2.840.113549.1.12.10.1.';
const X509_CERTIFICATE = '1.2.840.113549.1.9.22.1';
const FRIENDLY_NAME = '1.2.840.113549.1.9.20';
const LOCAL_KEY_ID = '1.2.840.113549.1.9.21';
/** Oracle's trusted-key usage: without it Java lists no trustedCertEntry. Its value is anyExtendedKeyUsage. */
const TRUSTED_KEY_USAGE = '2.16.840.1.113894.746875.1.1';
const ANY_EXTENDED_KEY_USAGE = '2.5.29.37.0';

/** More than the bounds allow; the message names what. */
class TooMany extends Error {}

interface Bag {
  readonly type: 'certificate' | 'key' | 'shrouded key' | 'list' | 'other';
  readonly content: Buffer;
  readonly alias: string | undefined;
  readonly keyId: Buffer | undefined;
  readonly trusted: boolean;
}

interface Contents {
  readonly bags: Bag[];
  /** What else is in the file, by name. */
  readonly odd: string[];
}

interface Pfx {
  readonly content: Buffer;
  readonly mac: Asn1Element | undefined;
}

/** One file at a time: each may take seconds of a thread of the pool, which others need. */
const reading = new Mutex();

/**
 * Reads a PKCS#12 file. Throws keystore faults: wrong or missing password, tampered, damaged, unsupported, too large.
 */
export async function readPkcs12(source: StoreSource): Promise<Store> {
  return await reading.runExclusive(() => readFile(source));
}

async function readFile(source: StoreSource): Promise<Store> {
  const { bytes, file, password } = source;
  if (bytes.length > MAX_PKCS12_BYTES)
    throw keystoreFault('keystore_too_large', {
      file,
      found: `${bytes.length} bytes of PKCS#12`,
      allowed: `${MAX_PKCS12_BYTES} bytes`,
    });
  try {
    const pfx = parsePfx(bytes);
    const budget = workBudget();
    const fitting = await fittingPassword(pfx, password, budget);
    if (fitting === undefined) throw await faultOfMac(pfx, source, budget);
    const contents = await readContents(pfx.content, fitting, budget);
    const warnings = pfx.mac === undefined ? [`${file} has no MAC: nothing tells whether it was changed.`] : [];
    return { ...(await storeOf(contents, file, warnings)), password: fitting ?? '' };
  } catch (error) {
    throw faultOf(error, source);
  }
}

/** The first password that the MAC fits; without a MAC the first that the contents open with, or simply the first. */
async function fittingPassword(
  { mac, content }: Pfx,
  password: string | undefined,
  budget: Budget,
): Promise<Password | undefined> {
  const [first = null, ...others] = candidates(password);
  const fits = async (candidate: Password): Promise<boolean> =>
    mac === undefined ? await opens(content, candidate, budget) : await macFits(mac, content, candidate, budget);
  if (await fits(first)) return first;
  for (const other of others) {
    try {
      if (await fits(other)) return other;
    } catch (error) {
      // The others are tried as far as the work allowed for a file goes.
      if (error instanceof BadData) break;
      throw error;
    }
  }
  return mac === undefined ? first : undefined;
}

async function opens(content: Buffer, password: Password, budget: Budget): Promise<boolean> {
  try {
    await readContents(content, password, budget);
    return true;
  } catch (error) {
    if (error instanceof CannotDecrypt || error instanceof Asn1Fault) return false;
    throw error;
  }
}

/**
 * Writes a file with AES-256 and a SHA-256 MAC. Keys stay under the protection they have; one that lay bare inside an
 * encrypted part gets the password's, so that it is never written where anybody may read it.
 */
export async function writePkcs12(entries: readonly StoreEntry[], password: string): Promise<Buffer> {
  const certificates: Buffer[] = [];
  const keys: Buffer[] = [];
  const taken = new Set<string>();
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
    const attributes = [name, attribute(LOCAL_KEY_ID, octets(freeKeyId(entry, taken)))];
    const shrouded = entry.protection === 'none' ? await protectPkcs8Key(entry.key, password) : entry.key;
    keys.push(bag('2', withDerLengths(readElement(shrouded, PKCS12_LIMITS, 'the private key')), attributes));
    certificates.push(...entry.certificates.map((der, index) => certificateBag(der, index === 0 ? attributes : [])));
  }
  const encrypted = await encrypt(sequence(...certificates), password);
  const encryptedInfo = sequence(oid(DATA), encrypted.algorithm, implicitOctets(encrypted.content));
  const contents = [sequence(oid(ENCRYPTED_DATA), explicit(sequence(integer(0), encryptedInfo)))];
  if (keys.length > 0) contents.push(dataInfo(sequence(...keys)));
  const safe = sequence(...contents);
  return sequence(integer(3), dataInfo(safe), await makeMac(safe, password));
}

/** PFX of RFC 7292 section 4: version, contents, MAC. */
function parsePfx(bytes: Buffer): Pfx {
  // Line breaks and zeros behind it were let pass by openStore.
  const { next } = new Asn1Element(bytes, 0, bytes.length, 'ber');
  const [version, info, mac] = membersOf(readElement(bytes.subarray(0, next), PKCS12_LIMITS, 'the file'), 'the file');
  if (smallIntegerOf(version, 'the version') !== 3) throw new BadData('its version is not 3');
  const [type, content] = membersOf(info, 'the content');
  const oid = oidOf(type, 'the type of the content');
  if (oid !== DATA)
    throw new UnknownAlgorithm(`the content type ${oid} (a signature instead of a password)`, 'nothing');
  return { content: octetsOf(explicitOf(content, 'the content'), 'the content'), mac };
}

/** AuthenticatedSafe: a list of ContentInfo, each plain or encrypted. */
async function readContents(content: Buffer, password: Password, budget: Budget): Promise<Contents> {
  const contents: Contents = { bags: [], odd: [] };
  const breather = new Breather();
  for (const info of membersOf(readElement(content, PKCS12_LIMITS, 'the content'), 'the content')) {
    const [type, value] = membersOf(info, 'a part of the content');
    const oid = oidOf(type, 'the type of a part');
    const inner = explicitOf(value, 'a part of the content');
    await breather.pause();
    if (oid === DATA) readBags(octetsOf(inner, 'a part of the content'), contents, 0);
    else if (oid === ENCRYPTED_DATA) readBags(await decryptPart(inner, password, budget), contents, 0);
    else if (oid === ENVELOPED_DATA)
      contents.odd.push('a part that is encrypted for the holder of a key, not with a password');
    else throw new UnknownAlgorithm(`the content type ${oid}`, 'nothing');
  }
  return contents;
}

async function decryptPart(part: Asn1Element, password: Password, budget: Budget): Promise<Buffer> {
  const [, info] = membersOf(part, 'the encrypted part');
  const [, algorithm, encrypted] = membersOf(info, 'the encrypted part');
  return await decrypt(algorithm, octetsOf(encrypted, 'the encrypted part'), password, budget);
}

function readBags(content: Buffer, contents: Contents, depth: number): void {
  if (depth > MAX_NESTING) throw new BadData(`its bags are nested deeper than ${MAX_NESTING}`);
  for (const node of membersOf(readElement(content, PKCS12_LIMITS, 'the list of bags'), 'the list of bags')) {
    if (contents.bags.length + contents.odd.length >= MAX_ENTRIES)
      throw new TooMany(`more than ${MAX_ENTRIES} entries`);
    const bag = bagOf(node);
    if (bag === undefined) contents.odd.push('a bag that cannot be read');
    else if (bag.type === 'list') readBags(bag.content, contents, depth + 1);
    else if (bag.type === 'other') contents.odd.push('a bag of another type');
    else contents.bags.push(bag);
  }
}

/** Undefined when its form is not that of a bag: one odd bag does not take the others with it. */
function bagOf(node: Asn1Element): Bag | undefined {
  try {
    const [id, value, attributes] = membersOf(node, 'a bag');
    const inner = explicitOf(value, 'the content of a bag');
    return { ...contentOf(oidOf(id, 'the type of a bag'), inner), ...attributesOf(attributes) };
  } catch (error) {
    if (error instanceof Asn1Fault) return undefined;
    throw error;
  }
}

function contentOf(oid: string, inner: Asn1Element): Pick<Bag, 'type' | 'content'> {
  if (oid === `${BAG}6`) return { type: 'list', content: inner.whole };
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
    const [value] = values?.tag === TAG.set ? values.children() : [];
    if (oid === FRIENDLY_NAME) alias = textOf(value) ?? alias;
    else if (oid === LOCAL_KEY_ID) keyId = value?.tag === TAG.octets ? value.content : keyId;
    else if (oid === TRUSTED_KEY_USAGE) trusted = true;
  }
  return { alias, keyId, trusted };
}

/** A BMPString by RFC 2985; some libraries write UTF-8. */
function textOf(value: Asn1Element | undefined): string | undefined {
  return value?.tag === TAG.utf8 ? value.content.toString('utf8') : bmpTextOf(value);
}

/**
 * Sorts the bags as Java does (PKCS12KeyStore.loadSafeContents): a certificate with Oracle's mark is trusted, one that
 * carries the id of a key begins its chain. A file without keys and without any mark is what "openssl pkcs12 -export
 * -nokeys" makes: there every certificate is meant.
 */
async function storeOf({ bags, odd }: Contents, file: string, warnings: string[]): Promise<Store> {
  const certificates = bags.filter(({ type }) => type === 'certificate');
  const keys = bags.filter(({ type }) => type === 'key' || type === 'shrouded key');
  const entries: StoreEntry[] = [];
  const chained = new Set<Bag>();
  let linked = 0;
  const index = keys.length === 0 ? undefined : await indexOf(certificates);
  for (const [place, key] of keys.entries()) {
    const chain = chainOf(key, index);
    linked += chain.length;
    if (linked > MAX_CERTIFICATES)
      throw new TooMany(`more than ${MAX_CERTIFICATES} certificates in the chains of its keys`);
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
  return { format: 'pkcs12', entries, warnings, others: odd };
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

async function indexOf(certificates: readonly Bag[]): Promise<CertificateIndex> {
  const breather = new Breather();
  const parsed = new Map<Bag, X509Certificate | undefined>();
  for (const bag of certificates) {
    parsed.set(bag, parseCertificate(bag.content));
    await breather.pause();
  }
  const named = certificates.flatMap((bag) =>
    bag.keyId === undefined ? [] : [[bag.keyId.toString('hex'), bag] as const],
  );
  return {
    parsed,
    byKeyId: new Map(named.toReversed()),
    bySubject: Map.groupBy(
      certificates.filter((bag) => parsed.get(bag) !== undefined),
      (bag) => parsed.get(bag)?.subject ?? '',
    ),
  };
}

/** Java keeps the date of a key in its id: "Time 1700000000000". */
function dateOf(keyId: Buffer | undefined): Date | undefined {
  const [, milliseconds] = /^Time (\d{1,15})$/.exec(keyId?.toString('latin1') ?? '') ?? [];
  return milliseconds === undefined ? undefined : new Date(Number(milliseconds));
}

/** Two keys of one millisecond would share the first one's chain: the id of the second is a millisecond later. */
function freeKeyId({ created, certificates, key }: KeyEntry, taken: Set<string>): Buffer {
  if (created === undefined)
    return createHash('sha1')
      .update(certificates[0] ?? key)
      .digest();
  let id = '';
  for (let time = created.getTime(); id === '' || taken.has(id); time += 1) id = `Time ${time}`;
  taken.add(id);
  return Buffer.from(id, 'latin1');
}

/** The MAC does not fit. If the contents decrypt all the same, the password is right and the file was changed. */
async function faultOfMac(pfx: Pfx, source: StoreSource, budget: Budget): Promise<CodedError> {
  const { file } = source;
  const tampered = (found: string) => keystoreFault('keystore_tampered', { file, format: FORMAT_NAMES.pkcs12, found });
  const wrong = faultOfPassword(source, 'pkcs12');
  const password = source.password ?? DEFAULT_PASSWORD;
  let encryptedParts = 0;
  try {
    for (const info of membersOf(readElement(pfx.content, PKCS12_LIMITS, 'the content'), 'the content')) {
      const [type, value] = membersOf(info, 'a part of the content');
      if (oidOf(type, 'the type of a part') !== ENCRYPTED_DATA) continue;
      encryptedParts += 1;
      const plain = await decryptPart(explicitOf(value, 'a part of the content'), password, budget);
      // A wrong password leaves a fitting padding once in 256 times, but hardly a fitting DER header too.
      if (plain[0] === 0x30 && plain[1] === 0x82 && plain.length === 4 + plain.readUInt16BE(2))
        return tampered('its contents open with the password, but its MAC does not fit them');
    }
    if (encryptedParts > 0) return wrong;
    const { bags, odd } = await readContents(pfx.content, password, budget);
    const [soundness, breather] = [soundnessCheck(), new Breather()];
    let unsound = false;
    for (const { type, content } of bags) {
      unsound ||= type === 'certificate' && soundness(content) !== 'sound';
      await breather.pause();
    }
    return unsound || odd.length > 0
      ? tampered('a certificate in it is damaged, and its MAC does not fit either')
      : wrong;
  } catch (error) {
    if (error instanceof CannotDecrypt || error instanceof UnknownAlgorithm || error instanceof TooMany) return wrong;
    if (error instanceof BadData || error instanceof Asn1Fault)
      return tampered(`${error.message}, and its MAC does not fit either`);
    throw error;
  }
}

function faultOf(error: unknown, source: StoreSource): unknown {
  const format = FORMAT_NAMES.pkcs12;
  const { file } = source;
  if (isCoded(error)) return error;
  if (error instanceof TooMany)
    return keystoreFault('keystore_too_large', { file, found: error.message, allowed: ALLOWED }, error);
  if (error instanceof UnknownAlgorithm)
    return keystoreFault(
      'keystore_unsupported',
      { file, format, found: error.message, hint: conversionHint(error, file) },
      error,
    );
  if (error instanceof BadData || error instanceof Asn1Fault)
    return keystoreFault('keystore_damaged', { file, format, found: error.message }, error);
  // Only a file without MAC comes here with another password than its own.
  if (error instanceof CannotDecrypt) return faultOfPassword(source, 'pkcs12', error);
  return error;
}

/** A command that reads what is not read here. */
function conversionHint({ reader }: UnknownAlgorithm, file: string): string {
  if (reader === 'scrypt')
    return 'Export it again from the program that made it, with PBKDF2, or with a smaller cost of scrypt (N = 16384, r = 8, p = 1).';
  if (reader === 'nothing') return 'Export it again from the program that made it, protected with a password.';
  return reader === 'keytool'
    ? `Convert it: keytool -importkeystore -srckeystore "${file}" -destkeystore "${file}.new.p12" -deststoretype PKCS12`
    : `Write it as PEM, and use that: openssl pkcs12 -in "${file}" -out "${file}.pem"`;
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
