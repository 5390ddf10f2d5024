// Reads certificate requests (PKCS#10, RFC 2986) from outside: linear PEM, a bounded check of the structure, then the
// few members that Central uses, and last the signature. No library parses them.
import { verify, type KeyObject } from 'node:crypto';
import { textOf } from '../../../shared/errors.ts';
import { bmpTextOf, elementsIn, expectTag, oidOf, type Asn1Element } from '../../../shared/asn1/reader.ts';
import { structureFault, type Asn1Limits } from '../../../shared/asn1/structure.ts';
import { ECDSA_SHA256, TAG } from '../../../shared/asn1/writer.ts';
import { derInPem, type PemLimits } from '../../../shared/x509/pem.ts';
import { readP256, spkiOf } from '../../../shared/x509/public-key.ts';
import { readAgentUri } from '../../../shared/wire/names.ts';
import { pkiFault } from '../errors.ts';

export interface ReadRequest {
  readonly der: Buffer;
  readonly publicKey: KeyObject;
  /** SubjectPublicKeyInfo, DER, in its one form (shared/x509/public-key.ts). */
  readonly spki: Buffer;
  /**
   * What the request says of itself: the whole name is an alternative name, else the common name counts; and the id, if
   * it has one.
   */
  readonly name: string | undefined;
  readonly id: string | undefined;
}

/** A request has 400 characters; the schemas allow 8,192, and files of "openssl req -text" have words around it. */
const PEM: PemLimits = { maxLength: 16 * 1024, maxBlocks: 4 };
const LABELS = ['CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST'];
const LIMITS: Asn1Limits = { maxBytes: 8 * 1024, maxDepth: 16, maxElements: 256, form: 'der', octets: true };

const COMMON_NAME = '2.5.4.3';
const EXTENSION_REQUEST = '1.2.840.113549.1.9.14';
const ALTERNATIVE_NAME = '2.5.29.17';
/** RFC 5758 section 3.2. */
const SIGNATURES: Readonly<Record<string, 'sha256' | 'sha384' | 'sha512'>> = {
  [ECDSA_SHA256]: 'sha256',
  '1.2.840.10045.4.3.3': 'sha384',
  '1.2.840.10045.4.3.4': 'sha512',
};
const EC_KEY = '1.2.840.10045.2.1';
/** The names of other keys, for the message. */
const KEYS: Readonly<Record<string, string>> = {
  '1.2.840.113549.1.1.1': 'rsa',
  '1.2.840.113549.1.1.10': 'rsa-pss',
  '1.2.840.10040.4.1': 'dsa',
  '1.3.101.112': 'ed25519',
  '1.3.101.113': 'ed448',
  '1.2.840.10045.3.1.7': 'prime256v1',
  '1.3.132.0.34': 'secp384r1',
  '1.3.132.0.35': 'secp521r1',
  '1.3.132.0.10': 'secp256k1',
};
/** GeneralName (RFC 5280 section 4.2.1.6): [2] dNSName, [6] uniformResourceIdentifier. */
const DNS = 0x82;
const URI = 0x86;
/** attributes of a request, IMPLICIT SET. */
const ATTRIBUTES = 0xa0;

/**
 * The bytes of the one request in a PEM text. Linear in the length of the text; for proofs over the bytes. Errors:
 * csr_unreadable.
 */
export function requestDer(pem: string): Buffer {
  return orUnreadable(() => {
    const [der, ...others] = derInPem(pem, LABELS, PEM);
    if (der === undefined) throw new TypeError('it holds no -----BEGIN CERTIFICATE REQUEST-----');
    if (others.length > 0) throw new TypeError(`it holds ${others.length + 1} requests`);
    const fault = structureFault(der, LIMITS);
    if (fault !== undefined) throw new TypeError(fault);
    return der;
  });
}

/**
 * Reads a request and verifies that its maker holds the key: one signature, of P-256 only. Central decides about
 * usages; the names are what the request says. Errors: csr_unreadable, csr_signature, csr_key_type.
 */
export function readRequest(request: string | Buffer): ReadRequest {
  const der = typeof request === 'string' ? requestDer(request) : request;
  const { information, subject, key, attributes, digest, signature } = orUnreadable(() => partsOf(der));
  const publicKey = readKey(key);
  if (digest === undefined)
    throw pkiFault('csr_unreadable', { found: 'its signature is not ECDSA with SHA-256, SHA-384 or SHA-512' });
  if (!verify(digest, information, publicKey, signature)) throw pkiFault('csr_signature', {});
  return orUnreadable(() => {
    const names = alternativeNames(attributes);
    const id = names
      .filter(({ tag }) => tag === URI)
      .map(({ content }) => readAgentUri(content.toString('latin1')))
      .find((found) => found !== undefined);
    return {
      der,
      publicKey,
      spki: spkiOf(publicKey),
      name: names.find(({ tag }) => tag === DNS)?.content.toString('latin1') ?? commonNameIn(subject),
      id,
    };
  });
}

/** CertificationRequest (RFC 2986 section 4.2). */
function partsOf(der: Buffer) {
  const [outer] = elementsIn(der, 'der');
  const [information, algorithm, bits] = expectTag(outer, TAG.sequence, 'the request').children();
  const [version, subject, key, attributes] = expectTag(information, TAG.sequence, 'its information').children();
  if (expectTag(version, TAG.integer, 'its version').content.toString('hex') !== '00')
    throw new TypeError('its version is not 1');
  const [oid] = expectTag(algorithm, TAG.sequence, 'its signature algorithm').children();
  const digest = SIGNATURES[oidOf(oid, 'its signature algorithm')];
  const signed = expectTag(bits, TAG.bits, 'its signature').content;
  return {
    information: expectTag(information, TAG.sequence, 'its information').whole,
    subject: expectTag(subject, TAG.sequence, 'its subject'),
    key: expectTag(key, TAG.sequence, 'its public key'),
    attributes: attributes === undefined ? undefined : expectTag(attributes, ATTRIBUTES, 'the list of its attributes'),
    // The key is checked first: an RSA key comes with an RSA algorithm, and then it is the key that has to change.
    digest,
    signature: signed.subarray(1),
  };
}

/** Any other key is refused before something is computed with it. */
function readKey(spki: Asn1Element): KeyObject {
  const kind = orUnreadable(() => kindOf(spki));
  if (kind !== 'ec prime256v1') throw pkiFault('csr_key_type', { found: kind });
  const key = readP256(spki.whole);
  if (key === undefined)
    throw pkiFault('csr_unreadable', { found: 'its public key is not a point of the curve P-256' });
  return key;
}

function kindOf(spki: Asn1Element): string {
  const [algorithm] = spki.children();
  const [oid, parameters] = expectTag(algorithm, TAG.sequence, 'the algorithm of its key').children();
  const type = oidOf(oid, 'the algorithm of its key');
  if (type !== EC_KEY) return KEYS[type] ?? 'of an unknown algorithm';
  return parameters?.tag === TAG.oid
    ? `ec ${KEYS[oidOf(parameters, 'the curve of its key')] ?? 'on an unknown curve'}`
    : 'ec with parameters of its own';
}

/** extensionRequest (RFC 2985 section 5.4.2), and in it the alternative names. */
function alternativeNames(attributes: Asn1Element | undefined): Asn1Element[] {
  for (const attribute of attributes?.children() ?? []) {
    const [oid, values] = expectTag(attribute, TAG.sequence, 'an attribute').children();
    if (oidOf(oid, 'an attribute') !== EXTENSION_REQUEST) continue;
    const [extensions] = expectTag(values, TAG.set, 'the list of its extensions').children();
    for (const extension of expectTag(extensions, TAG.sequence, 'the list of its extensions').children()) {
      const [id, ...rest] = expectTag(extension, TAG.sequence, 'an extension').children();
      if (oidOf(id, 'an extension') !== ALTERNATIVE_NAME) continue;
      const value = expectTag(
        rest.find(({ tag }) => tag !== TAG.boolean),
        TAG.octets,
        'its alternative names',
      );
      const [names] = elementsIn(value.content, 'der');
      return expectTag(names, TAG.sequence, 'its alternative names').children();
    }
  }
  return [];
}

function commonNameIn(subject: Asn1Element): string | undefined {
  for (const set of subject.children()) {
    for (const attribute of expectTag(set, TAG.set, 'its subject').children()) {
      const [oid, value] = expectTag(attribute, TAG.sequence, 'its subject').children();
      if (oidOf(oid, 'its subject') === COMMON_NAME && value !== undefined) return textOfString(value);
    }
  }
  return undefined;
}

/** DirectoryString (RFC 5280 section 4.1.2.4). */
function textOfString(element: Asn1Element): string {
  if (element.tag === TAG.utf8) return element.content.toString('utf8');
  return bmpTextOf(element) ?? element.content.toString('latin1');
}

function orUnreadable<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw pkiFault('csr_unreadable', { found: textOf(error) }, error);
  }
}
