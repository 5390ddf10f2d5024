// Reads names and key identifiers of a certificate by itself (RFC 5280 section 4.1): what OpenSSL refuses (a UTCTime
// without seconds) can still be listed, and whether a certificate claims to be signed by its own key is in no field of
// node:crypto.
import { Asn1Element, Asn1Fault, bmpTextOf, expectTag, membersOf, octetsOf, oidOf } from '../asn1/reader.ts';
import { CERTIFICATE_LIMITS, structureFault } from '../asn1/structure.ts';
import { TAG } from '../asn1/writer.ts';

export interface CertificateFields {
  /** As `subject` of node:crypto: "O=Example Bank\nCN=Example Root"; empty for an empty name. */
  readonly subject: string;
  readonly issuer: string;
  /** Hex. */
  readonly subjectKeyId: string | undefined;
  readonly authorityKeyId: string | undefined;
}

const CONTEXT_0 = 0xa0;
const EXTENSIONS = 0xa3;
const KEY_IDENTIFIER = 0x80;
const SUBJECT_KEY_ID = '2.5.29.14';
const AUTHORITY_KEY_ID = '2.5.29.35';
const NAMES: Readonly<Record<string, string>> = {
  '2.5.4.3': 'CN',
  '2.5.4.5': 'serialNumber',
  '2.5.4.6': 'C',
  '2.5.4.7': 'L',
  '2.5.4.8': 'ST',
  '2.5.4.10': 'O',
  '2.5.4.11': 'OU',
  '0.9.2342.19200300.100.1.25': 'DC',
  '1.2.840.113549.1.9.1': 'emailAddress',
};
/** UTF8String, PrintableString, TeletexString, IA5String, VisibleString. */
const TEXTS: ReadonlySet<number> = new Set([TAG.utf8, 0x13, 0x14, 0x16, 0x1a]);

/** The fields, or undefined when the bytes do not have the structure of a certificate. */
export function certificateFields(der: Uint8Array): CertificateFields | undefined {
  if (structureFault(der, CERTIFICATE_LIMITS) !== undefined) return undefined;
  const bytes = Buffer.from(der.buffer, der.byteOffset, der.byteLength);
  try {
    const [signed, , signature] = membersOf(new Asn1Element(bytes, 0, bytes.length, 'ber'), 'the certificate');
    expectTag(signature, TAG.bits, 'the signature');
    const fields = membersOf(signed, 'the certificate');
    if (fields[0]?.tag === CONTEXT_0) fields.shift();
    const [serial, , issuer, validity, subject, key, ...rest] = fields;
    expectTag(serial, TAG.integer, 'the serial number');
    expectTag(key, TAG.sequence, 'the public key');
    expectTag(validity, TAG.sequence, 'the dates');
    return {
      subject: nameOf(subject),
      issuer: nameOf(issuer),
      ...keyIdentifiers(rest.find(({ tag }) => tag === EXTENSIONS)),
    };
  } catch (error) {
    if (error instanceof Asn1Fault) return undefined;
    throw error;
  }
}

function nameOf(name: Asn1Element | undefined): string {
  return membersOf(name, 'a name')
    .flatMap((part) => membersOf(part, 'a part of a name'))
    .map((attribute) => {
      const [type, value] = membersOf(attribute, 'an attribute');
      const id = oidOf(type, 'the type of an attribute');
      return `${NAMES[id] ?? id}=${valueOf(value)}`;
    })
    .join('\n');
}

function valueOf(value: Asn1Element | undefined): string {
  if (value === undefined) return '';
  const text = TEXTS.has(value.tag) ? value.content.toString('utf8') : bmpTextOf(value);
  return text?.replaceAll('\n', ' ') ?? `#${value.whole.toString('hex')}`;
}

function keyIdentifiers(
  extensions: Asn1Element | undefined,
): Pick<CertificateFields, 'subjectKeyId' | 'authorityKeyId'> {
  let [subjectKeyId, authorityKeyId]: [string | undefined, string | undefined] = [undefined, undefined];
  const list = extensions?.children()[0];
  for (const extension of list === undefined ? [] : membersOf(list, 'the extensions')) {
    const members = membersOf(extension, 'an extension');
    const id = oidOf(members[0], 'the type of an extension');
    if (id !== SUBJECT_KEY_ID && id !== AUTHORITY_KEY_ID) continue;
    const bytes = octetsOf(members.at(-1), 'an extension');
    const value = new Asn1Element(bytes, 0, bytes.length, 'ber');
    if (id === SUBJECT_KEY_ID) subjectKeyId = octetsOf(value, 'a key identifier').toString('hex');
    else
      authorityKeyId = value
        .children()
        .find(({ tag }) => tag === KEY_IDENTIFIER)
        ?.content.toString('hex');
  }
  return { subjectKeyId, authorityKeyId };
}
