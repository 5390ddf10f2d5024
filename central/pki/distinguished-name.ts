// Reads distinguished names as text (RFC 4514) in one pass, and compares them. The parser of @peculiar/x509 backtracks, so that
// it gets names as data only.
import { Name } from '../../shared/x509.ts';
import { textOf } from '../../shared/errors.ts';

/** Subjects of imported certificates are compared too, whatever their length; a certificate has 64 KiB. */
const MAX_LENGTH = 64 * 1024;
const MAX_ATTRIBUTES = 256;
/** What RFC 4514 section 3 names, and what else is written by @peculiar/x509. */
const TYPES: Readonly<Record<string, string>> = {
  CN: '2.5.4.3', SN: '2.5.4.4', C: '2.5.4.6', L: '2.5.4.7', ST: '2.5.4.8', O: '2.5.4.10', OU: '2.5.4.11', T: '2.5.4.12', G: '2.5.4.42', I: '2.5.4.43',
  E: '1.2.840.113549.1.9.1', DC: '0.9.2342.19200300.100.1.25',
};
const IA5_TYPES = new Set([TYPES['E'], TYPES['DC']]);
const OID = /^[0-2](?:\.(?:0|[1-9][0-9]{0,9})){1,20}$/;
/** X.680 section 41.4. */
const PRINTABLE = /^[A-Za-z0-9 '()+,./:=?-]*$/;
const HEX_PAIR = /^[0-9a-fA-F]{2}$/;

type AttributeValue = string | { printableString: string } | { ia5String: string } | { utf8String: string };
type Attributes = Record<string, AttributeValue[]>;

/** Reads a name such as `CN=central, O=Bank`. Throws TypeError with the end of a sentence. */
export function parseDistinguishedName(text: string): Name {
  return new Name(rdnsOf(text));
}

/** A sentence that says why `text` is no distinguished name; undefined when it is one. */
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
  return one === other || parseDistinguishedName(one).toString() === parseDistinguishedName(other).toString();
}

/** Relative names, joined by commas; the attributes of one, joined by plus signs. */
function rdnsOf(text: string): Attributes[] {
  if (text.length > MAX_LENGTH) throw new TypeError(`it has ${text.length} characters; allowed are ${MAX_LENGTH}`);
  if (text.trim() === '') throw new TypeError('it is empty');
  const rdns: Attributes[] = [{}];
  let count = 0;
  for (let offset = 0; offset <= text.length; ) {
    const equals = text.indexOf('=', offset);
    if (equals === -1) throw new TypeError(`"${text.slice(offset, offset + 40).trim()}" has no "="; allowed is TYPE=value, joined by commas`);
    const type = typeOf(text.slice(offset, equals).trim());
    const { raw, hex, end } = valueAt(text, equals + 1);
    count += 1;
    if (count > MAX_ATTRIBUTES) throw new TypeError(`it has more than ${MAX_ATTRIBUTES} attributes`);
    const rdn = rdns.at(-1) ?? {};
    (rdn[type] ??= []).push(hex ? `#${raw}` : encoded(type, raw));
    if (text[end] === ',') rdns.push({});
    offset = end + 1;
  }
  return rdns;
}

function typeOf(text: string): string {
  const known = TYPES[text.toUpperCase()] ?? (text.length <= 128 && OID.test(text) ? text : undefined);
  if (known === undefined) throw new TypeError(`"${text.slice(0, 40)}" is not an attribute type; allowed are ${Object.keys(TYPES).join(', ')} and dotted object identifiers`);
  return known;
}

/** Section 2.4: the value from `begin` on without its escapes, and where the separator behind it is (or the text ends). */
function valueAt(text: string, begin: number): { readonly raw: string; readonly hex: boolean; readonly end: number } {
  let offset = begin;
  while (text[offset] === ' ') offset += 1;
  if (text[offset] === '#') return hexAt(text, offset + 1);
  const quoted = text[offset] === '"';
  if (quoted) offset += 1;
  const bytes: Buffer[] = [];
  // Up to here an unescaped blank at the end does not count.
  let significant = 0;
  let closed = !quoted;
  for (; offset < text.length; ) {
    const character = String.fromCodePoint(text.codePointAt(offset) ?? 0);
    if (quoted ? character === '"' : character === ',' || character === '+') {
      closed = true;
      break;
    }
    if (!quoted && character === '"') throw new TypeError('a quotation mark inside a value needs a backslash before it');
    const escape = character === '\\' ? escapeAt(text, offset) : undefined;
    bytes.push(escape?.bytes ?? Buffer.from(character));
    offset += escape?.length ?? character.length;
    if (quoted || escape !== undefined || character !== ' ') significant = bytes.length;
  }
  if (!closed) throw new TypeError('a quotation mark is not closed');
  if (quoted) offset += 1;
  while (quoted && text[offset] === ' ') offset += 1;
  if (offset < text.length && text[offset] !== ',' && text[offset] !== '+') throw new TypeError(`"${text.slice(offset, offset + 40)}" follows a closing quotation mark`);
  return { raw: Buffer.concat(bytes.slice(0, significant)).toString('utf8'), hex: false, end: offset };
}

function escapeAt(text: string, offset: number): { readonly bytes: Buffer; readonly length: number } {
  const pair = text.slice(offset + 1, offset + 3);
  if (HEX_PAIR.test(pair)) return { bytes: Buffer.from(pair, 'hex'), length: 3 };
  const point = text.codePointAt(offset + 1);
  if (point === undefined) throw new TypeError('it ends with a backslash');
  const character = String.fromCodePoint(point);
  return { bytes: Buffer.from(character), length: 1 + character.length };
}

function hexAt(text: string, begin: number): { readonly raw: string; readonly hex: true; readonly end: number } {
  let end = begin;
  while (end < text.length && text[end] !== ',' && text[end] !== '+') end += 1;
  const raw = text.slice(begin, end).trim();
  if (raw === '' || raw.length % 2 !== 0 || !/^[0-9a-fA-F]+$/.test(raw)) throw new TypeError('a value that begins with # is not hexadecimal');
  return { raw, hex: true, end };
}

/** The string types that @peculiar/x509 chooses, so that a name read here equals one that was written before. */
function encoded(type: string, raw: string): AttributeValue {
  if (IA5_TYPES.has(type)) return { ia5String: raw };
  return PRINTABLE.test(raw) ? { printableString: raw } : { utf8String: raw };
}
