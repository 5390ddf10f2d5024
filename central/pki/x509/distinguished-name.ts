// Turns distinguished names as text into names in certificates, and compares them. The parser of @peculiar/x509
// backtracks, so that it gets names as data only (shared/x509/distinguished-name.ts).
import { readDistinguishedName, type DistinguishedAttribute } from '../../../shared/x509/distinguished-name.ts';
import { textOf } from '../../../shared/errors.ts';
import { Name } from '../../../shared/x509/library.ts';

/** What RFC 4514 section 3 names, and what else is written by @peculiar/x509. */
const TYPES: Readonly<Record<string, string>> = {
  CN: '2.5.4.3',
  SN: '2.5.4.4',
  C: '2.5.4.6',
  L: '2.5.4.7',
  ST: '2.5.4.8',
  O: '2.5.4.10',
  OU: '2.5.4.11',
  T: '2.5.4.12',
  G: '2.5.4.42',
  I: '2.5.4.43',
  E: '1.2.840.113549.1.9.1',
  DC: '0.9.2342.19200300.100.1.25',
};
const IA5_TYPES = new Set([TYPES['E'], TYPES['DC']]);
const OID = /^[0-2](?:\.(?:0|[1-9][0-9]{0,9})){1,20}$/;
/** X.680 section 41.4. */
const PRINTABLE = /^[A-Za-z0-9 '()+,./:=?-]*$/;

type AttributeValue = string | { printableString: string } | { ia5String: string } | { utf8String: string };
type Attributes = Record<string, AttributeValue[]>;

/** Reads a name such as `CN=central, O=Bank`. Throws TypeError with the end of a sentence. */
export function parseDistinguishedName(text: string): Name {
  return new Name(readDistinguishedName(text).map((rdn) => attributesOf(rdn)));
}

/** Why `text` is not a distinguished name, as a sentence; undefined when it is one. */
export function distinguishedNameFault(text: string): string | undefined {
  try {
    parseDistinguishedName(text).toArrayBuffer();
    return undefined;
  } catch (error) {
    return textOf(error);
  }
}

/** True when both texts name the same subject, whatever blanks and escapes they use. */
export function sameDistinguishedName(one: string, other: string): boolean {
  if (one === other) return true;
  try {
    return parseDistinguishedName(one).toString() === parseDistinguishedName(other).toString();
  } catch {
    return false; // one of them cannot be read: an imported certificate may have such a subject
  }
}

function attributesOf(rdn: readonly DistinguishedAttribute[]): Attributes {
  const attributes: Attributes = {};
  for (const { type, value, hex } of rdn) {
    const oid = TYPES[type.toUpperCase()] ?? (OID.test(type) ? type : undefined);
    if (oid === undefined)
      throw new TypeError(
        `"${type}" is not an attribute type; allowed are ${Object.keys(TYPES).join(', ')} and dotted object identifiers`,
      );
    (attributes[oid] ??= []).push(hex ? `#${value}` : encoded(oid, value));
  }
  return attributes;
}

/** The string types that @peculiar/x509 chooses, so that a name read here equals one that was written before. */
function encoded(oid: string, value: string): AttributeValue {
  if (IA5_TYPES.has(oid)) return { ia5String: value };
  return PRINTABLE.test(value) ? { printableString: value } : { utf8String: value };
}
