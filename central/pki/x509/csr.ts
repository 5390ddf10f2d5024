// Reads certificate requests (PKCS#10, RFC 2986) that strangers send: linear PEM, a bounded look at the structure, then the few
// members that Central uses, and last the signature. No library parses them; making requests is certificate.ts's.
import { verify, type KeyObject } from 'node:crypto';
import { textOf } from '../../../shared/errors.ts';
import { derFault, elementsIn, type DerElement, type DerLimits } from '../../../shared/x509/der-check.ts';
import { TAG } from '../../../shared/asn1/writer.ts';
import { derInPem, type PemLimits } from '../../../shared/x509/pem.ts';
import { readP256, spkiOf } from '../../../shared/x509/public-key.ts';
import { readAgentUri } from '../../../shared/wire/names.ts';
import { pkiFault } from '../errors.ts';

export interface ReadRequest {
  readonly der: Buffer;
  readonly publicKey: KeyObject;
  /** SubjectPublicKeyInfo, DER, in its one form (shared/x509/public-key.ts). */
  readonly spki: Buffer;
  /** What the request says of itself: the common name, or whole among the alternative names; and the id, if it says one. */
  readonly name: string | undefined;
  readonly id: string | undefined;
}

/** A request has 400 characters; the schemas allow 8,192, and files of "openssl req -text" have words around it. */
const PEM: PemLimits = { maxLength: 16 * 1024, maxBlocks: 4 };
const LABELS = ['CERTIFICATE REQUEST', 'NEW CERTIFICATE REQUEST'];
const LIMITS: DerLimits = { maxBytes: 8 * 1024, maxDepth: 16, maxElements: 256, form: 'der', octets: true };

/** Object identifiers, the hex of their contents. */
const COMMON_NAME = '550403';
const EXTENSION_REQUEST = '2a864886f70d01090e';
const ALTERNATIVE_NAME = '551d11';
/** RFC 5758 section 3.2. */
const SIGNATURES: Readonly<Record<string, 'sha256' | 'sha384' | 'sha512'>> = {
  '2a8648ce3d040302': 'sha256',
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
};
const EC_KEY = '2a8648ce3d0201';
/** What other keys are called, for the message. */
const KEYS: Readonly<Record<string, string>> = {
  '2a864886f70d010101': 'rsa',
  '2a864886f70d01010a': 'rsa-pss',
  '2a8648ce380401': 'dsa',
  '2b6570': 'ed25519',
  '2b6571': 'ed448',
  '2a8648ce3d030107': 'prime256v1',
  '2b81040022': 'secp384r1',
  '2b81040023': 'secp521r1',
  '2b8104000a': 'secp256k1',
};
/** GeneralName (RFC 5280 section 4.2.1.6): [2] dNSName, [6] uniformResourceIdentifier. */
const DNS = 0x82;
const URI = 0x86;
/** attributes of a request, IMPLICIT SET. */
const ATTRIBUTES = 0xa0;
const BMP_STRING = 0x1e;
const BOOLEAN = 0x01;

/** The bytes of the one request in a PEM text. Costs nothing but the text's length: for proofs over the bytes. Errors: csr_unreadable. */
export function requestDer(pem: string): Buffer {
  return orUnreadable(() => {
    const [der, ...others] = derInPem(pem, LABELS, PEM);
    if (der === undefined) throw new TypeError('it holds no -----BEGIN CERTIFICATE REQUEST-----');
    if (others.length > 0) throw new TypeError(`it holds ${others.length + 1} requests`);
    const fault = derFault(der, LIMITS);
    if (fault !== undefined) throw new TypeError(fault);
    return der;
  });
}

/**
 * Reads a request and verifies that its maker holds the key: one signature, of P-256 only. Usages are Central's to say, and names
 * are those of whoever asks. Errors: csr_unreadable, csr_signature, csr_key_type.
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
  const [outer] = elementsIn(der);
  const [information, algorithm, bits] = elementsIn(expect(outer, TAG.sequence, 'the request').content);
  const [version, subject, key, attributes] = elementsIn(expect(information, TAG.sequence, 'its information').content);
  if (expect(version, TAG.integer, 'its version').content.toString('hex') !== '00')
    throw new TypeError('its version is not 1');
  const [oid] = elementsIn(expect(algorithm, TAG.sequence, 'its signature algorithm').content);
  const digest = SIGNATURES[expect(oid, TAG.oid, 'its signature algorithm').content.toString('hex')];
  const signed = expect(bits, TAG.bits, 'its signature').content;
  return {
    information: expect(information, TAG.sequence, 'its information').whole,
    subject: expect(subject, TAG.sequence, 'its subject'),
    key: expect(key, TAG.sequence, 'its public key'),
    attributes: attributes === undefined ? undefined : expect(attributes, ATTRIBUTES, 'the list of its attributes'),
    // The key is looked at first: with an RSA key the algorithm is another one too, and it is the key that has to change.
    digest,
    signature: signed.subarray(1),
  };
}

/** Any other key is refused before something is computed with it. */
function readKey(spki: DerElement): KeyObject {
  const kind = orUnreadable(() => kindOf(spki));
  if (kind !== 'ec prime256v1') throw pkiFault('csr_key_type', { found: kind });
  const key = readP256(spki.whole);
  if (key === undefined)
    throw pkiFault('csr_unreadable', { found: 'its public key is not a point of the curve P-256' });
  return key;
}

function kindOf(spki: DerElement): string {
  const [algorithm] = elementsIn(spki.content);
  const [oid, parameters] = elementsIn(expect(algorithm, TAG.sequence, 'the algorithm of its key').content);
  const type = expect(oid, TAG.oid, 'the algorithm of its key').content.toString('hex');
  if (type !== EC_KEY) return KEYS[type] ?? 'of an unknown algorithm';
  return parameters?.tag === TAG.oid
    ? `ec ${KEYS[parameters.content.toString('hex')] ?? 'on an unknown curve'}`
    : 'ec with parameters of its own';
}

/** extensionRequest (RFC 2985 section 5.4.2), and in it the alternative names. */
function alternativeNames(attributes: DerElement | undefined): DerElement[] {
  for (const attribute of attributes === undefined ? [] : elementsIn(attributes.content)) {
    const [oid, values] = elementsIn(expect(attribute, TAG.sequence, 'an attribute').content);
    if (oid?.content.toString('hex') !== EXTENSION_REQUEST) continue;
    const [extensions] = elementsIn(expect(values, TAG.set, 'the list of its extensions').content);
    for (const extension of elementsIn(expect(extensions, TAG.sequence, 'the list of its extensions').content)) {
      const [id, ...rest] = elementsIn(expect(extension, TAG.sequence, 'an extension').content);
      if (id?.content.toString('hex') !== ALTERNATIVE_NAME) continue;
      const value = expect(
        rest.find(({ tag }) => tag !== BOOLEAN),
        TAG.octets,
        'its alternative names',
      );
      const [names] = elementsIn(value.content);
      return elementsIn(expect(names, TAG.sequence, 'its alternative names').content);
    }
  }
  return [];
}

function commonNameIn(subject: DerElement): string | undefined {
  for (const set of elementsIn(subject.content)) {
    for (const attribute of elementsIn(expect(set, TAG.set, 'its subject').content)) {
      const [oid, value] = elementsIn(expect(attribute, TAG.sequence, 'its subject').content);
      if (oid?.content.toString('hex') === COMMON_NAME && value !== undefined) return textOfString(value);
    }
  }
  return undefined;
}

/** DirectoryString (RFC 5280 section 4.1.2.4). */
function textOfString({ tag, content }: DerElement): string {
  if (tag === TAG.utf8) return content.toString('utf8');
  return tag === BMP_STRING && content.length % 2 === 0
    ? Buffer.from(content).swap16().toString('utf16le')
    : content.toString('latin1');
}

function expect(element: DerElement | undefined, tag: number, what: string): DerElement {
  if (element?.tag !== tag) throw new TypeError(`${what} is missing or malformed`);
  return element;
}

function orUnreadable<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw pkiFault('csr_unreadable', { found: textOf(error) }, error);
  }
}
