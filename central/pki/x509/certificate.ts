// Creates certificates (profiles for root, server, agent, node and signing) and requests, and reads thumbprint, pin and names
// of a certificate. csr.ts reads requests; central/pki/authority/authority.ts decides which certificates are issued.
import { createHash, randomBytes, webcrypto, X509Certificate, type KeyObject } from 'node:crypto';
import { isIP } from 'node:net';
import { certificatesInPem } from '../../../shared/x509/certificates.ts';
import { textOf } from '../../../shared/errors.ts';
import { spkiOf } from '../../../shared/x509/public-key.ts';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  Name,
  PeculiarCertificate,
  Pkcs10CertificateRequestGenerator,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
} from '../../../shared/x509/library.ts';
import { validityOf } from '../../../shared/x509/validity.ts';
import { parseDistinguishedName } from './distinguished-name.ts';
import { pkiFault } from '../errors.ts';
import { cryptoPublicKey, signerOf, type KeyPair } from './key-algorithms.ts';

const DAY_MS = 86_400_000;
/** Clocks of branch PCs run late: a certificate issued now is valid for them too. */
const BACKDATE_MS = 5 * 60_000;
/** RFC 5280 section 4.1.2.2 allows 20 bytes and wants a positive number; 16 random ones never meet. */
const SERIAL_BYTES = 16;
/** X.520 ub-common-name. A longer name stays whole in the alternative names. */
const MAX_COMMON_NAME = 64;

interface AlternativeName {
  readonly type: 'dns' | 'ip' | 'url';
  readonly value: string;
}

type Profile = 'root' | 'cross' | 'server' | 'agent' | 'node' | 'signing';

interface CertificateOrder {
  readonly profile: Profile;
  /**
   * Distinguished name as in RFC 4514: `CN=central, O=Bank`; or a certificate whose subject and key identifier are
   * taken over byte by byte.
   */
  readonly subject: string | X509Certificate;
  readonly publicKey: KeyObject;
  readonly alternativeNames?: readonly AlternativeName[];
  readonly lifetimeDays: number;
  readonly now: number;
  /** Absent: signed with `selfKey`, its own key. */
  readonly issuer?: { readonly certificate: X509Certificate; readonly key: KeyObject };
  readonly selfKey?: KeyObject;
}

/** The private key as PEM, PKCS#8, unencrypted: for the store, never for an answer or a log. */
export function privateKeyPem(key: KeyObject): string {
  return key.export({ type: 'pkcs8', format: 'pem' });
}

/** SubjectPublicKeyInfo, DER: the one form of a key. */
export { spkiOf };

/** Makes one certificate. Errors: distinguished_name_bad. */
export async function makeCertificate(order: CertificateOrder): Promise<X509Certificate> {
  const { issuer } = order;
  const signingKey = issuer?.key ?? order.selfKey;
  if (signingKey === undefined) throw new TypeError('a certificate order needs an issuer or its own key');
  const signer = signerOf(signingKey);
  const publicKey = cryptoPublicKey(order.publicKey);
  const end = order.now + order.lifetimeDays * DAY_MS;
  const made = await X509CertificateGenerator.create(
    {
      // The first octet is kept between 0x40 and 0x7f: positive without a leading zero, and always of full length.
      serialNumber: randomSerial(),
      subject: subjectName(order.subject),
      // The issuer's name is taken over byte by byte: verifiers compare encodings, not texts.
      issuer: subjectName(issuer?.certificate ?? order.subject),
      notBefore: new Date(order.now - BACKDATE_MS),
      // Nothing outlives the one that vouches for it.
      notAfter: new Date(issuer === undefined ? end : Math.min(end, validityOf(issuer.certificate).to.getTime())),
      publicKey,
      signingKey: signer.key,
      signingAlgorithm: signer.algorithm,
      extensions: [
        ...usagesOf(order.profile),
        ...(order.alternativeNames === undefined || order.alternativeNames.length === 0
          ? []
          : [new SubjectAlternativeNameExtension([...order.alternativeNames])]),
        ...(await subjectKeyIdentifier(order.subject, publicKey)),
        ...(issuer === undefined ? [] : [authorityKeyIdentifier(issuer.certificate)]),
      ],
    },
    webcrypto,
  );
  return new X509Certificate(Buffer.from(made.rawData));
}

function randomSerial(): string {
  const serial = randomBytes(SERIAL_BYTES);
  serial[0] = ((serial[0] ?? 0) & 0x3f) | 0x40;
  return serial.toString('hex');
}

/**
 * RFC 5280 sections 4.2.1.3, 4.2.1.9 and 4.2.1.12. keyEncipherment (TLS without forward secrecy) for no key, RSA
 * neither.
 */
function usagesOf(profile: Profile) {
  switch (profile) {
    case 'root':
      // Path length 1 leaves room for one intermediate, should a bank put one between.
      return [
        new BasicConstraintsExtension(true, 1, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      ];
    case 'cross':
      // Another root's key, certified by this one: below it is only what that root itself signs.
      return [
        new BasicConstraintsExtension(true, 0, true),
        new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      ];
    case 'server':
      return leafUsages(ExtendedKeyUsage.serverAuth);
    case 'agent':
      return leafUsages(ExtendedKeyUsage.clientAuth);
    case 'node':
      // Nodes call each other: each is both.
      return leafUsages(ExtendedKeyUsage.serverAuth, ExtendedKeyUsage.clientAuth);
    case 'signing':
      // Without any extended usage TLS would take it for a server's or a client's (section 4.2.1.12).
      return leafUsages(ExtendedKeyUsage.codeSigning);
  }
}

function leafUsages(...usages: ExtendedKeyUsage[]) {
  return [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    new ExtendedKeyUsageExtension(usages),
  ];
}

function subjectName(subject: string | X509Certificate): Name {
  return typeof subject === 'string'
    ? readName(subject)
    : new Name(new PeculiarCertificate(subject.raw).subjectName.toArrayBuffer());
}

/** A certificate that replaces another one has the same, otherwise what that one signed would not chain to it. */
async function subjectKeyIdentifier(
  subject: string | X509Certificate,
  publicKey: webcrypto.CryptoKey,
): Promise<SubjectKeyIdentifierExtension[]> {
  if (typeof subject === 'string') return [await SubjectKeyIdentifierExtension.create(publicKey)];
  const own = new PeculiarCertificate(subject.raw).getExtension(SubjectKeyIdentifierExtension);
  return own === null ? [] : [own];
}

/** Copies the issuer's own identifier, so that an imported authority with another way of making them fits too. */
function authorityKeyIdentifier(issuer: X509Certificate): AuthorityKeyIdentifierExtension {
  const own = new PeculiarCertificate(issuer.raw).getExtension(SubjectKeyIdentifierExtension);
  if (own !== null) return new AuthorityKeyIdentifierExtension(own.keyId);
  // RFC 5280 section 4.2.1.2, method (1) is SHA-1 of the key's bits; any stable value serves, so ours is of the whole
  // SPKI.
  return new AuthorityKeyIdentifierExtension(createHash('sha1').update(spkiOf(issuer.publicKey)).digest('hex'));
}

// --- names
// ------------------------------------------------------------------------------------------------------------

function readName(text: string): Name {
  try {
    return parseDistinguishedName(text);
  } catch (error) {
    throw pkiFault('distinguished_name_bad', { found: text, reason: textOf(error) }, error);
  }
}

/** `CN=...` for a host or agent name, escaped as RFC 4514 section 2.4 wants it. */
export function commonName(name: string): string {
  return `CN=${name.slice(0, MAX_COMMON_NAME).replaceAll(/([,+"\\<>;=#])/g, String.raw`\$1`)}`;
}

/** A host name or an address as alternative name. Addresses lose the brackets they wear in URLs. */
export function alternativeName(host: string): AlternativeName {
  const bare = host.startsWith('[') && host.endsWith(']') ? host.slice(1, -1) : host;
  return isIP(bare) === 0 ? { type: 'dns', value: bare.toLowerCase() } : { type: 'ip', value: bare };
}

/** Host names and addresses in the certificate. */
export function hostsOf(certificate: X509Certificate): string[] {
  const extension = new PeculiarCertificate(certificate.raw).getExtension(SubjectAlternativeNameExtension);
  if (extension === null) return [];
  return extension.names
    .toJSON()
    .filter((name) => name.type === 'dns' || name.type === 'ip')
    .map((name) => name.value);
}

/** The subject in one line, as RFC 4514 writes it. Parsing takes up to a millisecond: once for each certificate. */
export const subjectOf = once((certificate) => new PeculiarCertificate(certificate.raw).subject);

/** SHA-256 over the certificate, lower-case hex without colons. */
export const thumbprintOf = once((certificate) => createHash('sha256').update(certificate.raw).digest('hex'));

/** Computed once for each certificate: none ever changes. */
function once(compute: (certificate: X509Certificate) => string): (certificate: X509Certificate) => string {
  const known = new WeakMap<X509Certificate, string>();
  return (certificate) => {
    const result = known.get(certificate) ?? compute(certificate);
    known.set(certificate, result);
    return result;
  };
}

/** The subject key identifier, hex; undefined when the certificate has none. */
export function keyIdentifierOf(certificate: X509Certificate): string | undefined {
  return new PeculiarCertificate(certificate.raw).getExtension(SubjectKeyIdentifierExtension)?.keyId;
}

// --- requests and chains
// ------------------------------------------------------------------------------------------------

/** A PKCS#10 request for a server certificate, PEM, as another authority takes it. Errors: distinguished_name_bad. */
export async function makeServerRequest(order: {
  readonly subject: string;
  readonly names: readonly string[];
  readonly keys: KeyPair;
}): Promise<string> {
  const signer = signerOf(order.keys.privateKey);
  const made = await Pkcs10CertificateRequestGenerator.create(
    {
      name: readName(order.subject),
      keys: { privateKey: signer.key, publicKey: cryptoPublicKey(order.keys.publicKey) },
      signingAlgorithm: signer.algorithm,
      extensions: [
        new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
        new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
        new SubjectAlternativeNameExtension(order.names.map(alternativeName)),
      ],
    },
    webcrypto,
  );
  return `${made.toString('pem').trim()}\n`;
}

/** Reads a chain as PEM, in the order it has. `what` begins the sentence of the error: certificate_unreadable. */
export function readChain(pem: string, what: string): [X509Certificate, ...X509Certificate[]] {
  try {
    const [first, ...rest] = certificatesInPem(pem);
    if (first === undefined) throw new TypeError('it holds no -----BEGIN CERTIFICATE-----');
    return [first, ...rest];
  } catch (error) {
    throw pkiFault('certificate_unreadable', { what, found: textOf(error) }, error);
  }
}

/** A chain as PEM, leaf first. */
export function chainPem(chain: readonly X509Certificate[]): string {
  return chain.map((certificate) => `${certificate.toString().trim()}\n`).join('');
}
