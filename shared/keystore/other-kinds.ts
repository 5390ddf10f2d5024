// Names DER, base64 and binary files that are neither a store nor a certificate but are taken for one: requests,
// revocation lists, keys, BouncyCastle's FIPS stores. Only names them: what is read is in the file of its format.
import { Asn1Fault, elementsIn, smallIntegerOf, type Asn1Element } from '../asn1/reader.ts';
import { structureFault, type Asn1Limits } from '../asn1/structure.ts';
import { TAG } from '../asn1/writer.ts';

interface OtherKind {
  /** Completes "is not a key or trust store but ...". */
  readonly found: string;
  readonly hint: string;
}

const LIMITS: Asn1Limits = {
  maxBytes: 16 * 1024 * 1024,
  maxDepth: 32,
  maxElements: 250_000,
  form: 'ber',
  octets: false,
};
const PRIVATE_KEY: OtherKind = {
  found: 'a private key alone (DER)',
  hint: 'Name the file of its certificate, or a store that holds both. The key itself never goes into a trust store.',
};
const PUBLIC_KEY: OtherKind = {
  found: 'a public key (DER) and not a certificate',
  hint: 'Get the certificate that holds this key: a key alone says neither whose it is nor who issued it.',
};
const KINDS = {
  request: {
    found: 'a certificate request (DER, PKCS#10) and not a certificate',
    hint: 'Send it to the authority, and name the certificate that comes back.',
  },
  list: {
    found: 'a revocation list (DER, CRL) and not a certificate',
    hint: 'Name the file of the certificate: a list only says which certificates are revoked.',
  },
  encryptedKey: { ...PRIVATE_KEY, found: 'an encrypted private key alone (DER, PKCS#8)' },
} as const satisfies Record<string, OtherKind>;

/** What the DER of a file is; undefined: not known here. `file` is for the hint. */
export function kindOfDer(bytes: Buffer, file: string): OtherKind | undefined {
  if (structureFault(bytes, LIMITS) !== undefined) return undefined;
  try {
    const [outer] = elementsIn(bytes, 'ber');
    const members = outer?.tag === TAG.sequence ? outer.children() : [];
    const tags = members.map(({ tag }) => tag);
    const begins = (...expected: number[]): boolean => expected.every((tag, place) => tags[place] === tag);
    if (begins(TAG.sequence, TAG.sequence, TAG.bits) && tags.length === 3) return kindOfSigned(members[0]);
    if (begins(TAG.sequence, TAG.bits) && tags.length === 2) return PUBLIC_KEY;
    if (begins(TAG.sequence, TAG.octets) && tags.length === 2) return KINDS.encryptedKey;
    if (begins(TAG.sequence, TAG.sequence) && tags.length === 2 && isEncrypted(members[0])) return bcfks(file);
    if (begins(TAG.integer, TAG.sequence, TAG.octets) && smallIntegerOf(members[0], 'the version') < 2)
      return PRIVATE_KEY;
    if (begins(TAG.integer, TAG.octets)) return PRIVATE_KEY;
    if (tags.length >= 6 && tags.slice(0, 6).every((tag) => tag === TAG.integer)) return PRIVATE_KEY;
    if (tags.length === 2 && begins(TAG.integer, TAG.integer)) return PUBLIC_KEY;
    return undefined;
  } catch (error) {
    if (error instanceof Asn1Fault) return undefined;
    throw error;
  }
}

/** PKCS#10 (RFC 2986 section 4) and lists (RFC 5280 section 5.1) have the outer form of a certificate. */
function kindOfSigned(signed: Asn1Element | undefined): OtherKind | undefined {
  const tags = signed?.children().map(({ tag }) => tag) ?? [];
  if (tags.length === 4 && tags[0] === TAG.integer && tags[1] === TAG.sequence && tags[3] === 0xa0)
    return KINDS.request;
  const rest = tags[0] === TAG.integer ? tags.slice(1) : tags;
  const dated = rest[2] === TAG.utcTime || rest[2] === TAG.generalizedTime;
  return rest[0] === TAG.sequence && rest[1] === TAG.sequence && dated ? KINDS.list : undefined;
}

/** EncryptedObjectStoreData: algorithm and content. */
function isEncrypted(element: Asn1Element | undefined): boolean {
  const tags = element?.children().map(({ tag }) => tag) ?? [];
  return tags.length === 2 && tags[0] === TAG.sequence && tags[1] === TAG.octets;
}

function bcfks(file: string): OtherKind {
  return {
    found: 'a key store of BouncyCastle FIPS (BCFKS)',
    hint: `Convert it where that provider is installed: keytool -importkeystore -srckeystore "${file}" -srcstoretype BCFKS -destkeystore "${file}.p12" -deststoretype PKCS12 -providerclass org.bouncycastle.jcajce.provider.BouncyCastleFipsProvider -providerpath bc-fips.jar`,
  };
}

/** Base64 of DER without the lines that make it PEM; undefined when the text is anything else. */
export function bareBase64(text: string, file: string): OtherKind | undefined {
  const base64 = text.replaceAll(/\s/g, '');
  if (!base64.startsWith('MI') || !/^[A-Za-z0-9+/]+={0,2}$/.test(base64)) return undefined;
  const oneLine = /\n/.test(text.trim()) ? '' : ' -A';
  return {
    found: 'base64 without the lines BEGIN and END',
    hint: `Write -----BEGIN CERTIFICATE----- on a line before it and -----END CERTIFICATE----- behind it, or decode it: openssl base64 -d${oneLine} -in "${file}" -out "${file}.cer"`,
  };
}

/** First bytes, hex, of files that are found in the place of a store. */
const MAGIC: ReadonlyArray<readonly [string, string]> = [
  ['504b0304', 'a ZIP or JAR archive'],
  ['1f8b', 'a gzip archive'],
  ['53514c69746520666f726d61742033', 'an SQLite database, as NSS keeps certificates in'],
  ['0000000043455254', 'a serialized store of Windows, .sst'],
  ['1ef1b5b0', 'a private key of Microsoft, .pvk'],
  ['255044462d', 'a PDF'],
  ['7f454c46', 'a program'],
];

/** Of a file that begins with known bytes: its kind in words; else the bytes alone. */
export function beginningOf(bytes: Buffer): string {
  const hex = bytes.subarray(0, 16).toString('hex');
  const words = MAGIC.find(([magic]) => hex.startsWith(magic))?.[1];
  return `${bytes.subarray(0, 8).toString('hex')}${words === undefined ? '' : ` (${words})`}`;
}

export function hasKnownMagic(bytes: Buffer): boolean {
  return beginningOf(bytes).includes('(');
}
