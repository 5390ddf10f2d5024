// Reads a distinguished name as text (RFC 4514) in one pass: types and values without their escapes. Patterns over such
// a text backtrack exponentially, since blanks may belong to a value or to the separator before it.

/** Subjects of imported certificates are read too, whatever their length; a certificate has 64 KiB. */
const MAX_LENGTH = 64 * 1024;
const MAX_ATTRIBUTES = 256;
/** Section 3: descr or numericoid. */
const TYPE = /^(?:[A-Za-z][A-Za-z0-9-]*|[0-2](?:\.(?:0|[1-9][0-9]*))+)$/;
const HEX_PAIR = /^[0-9a-fA-F]{2}$/;

export interface DistinguishedAttribute {
  readonly type: string;
  /** Text; for `hex` the hexadecimal digits of the value in BER. */
  readonly value: string;
  readonly hex: boolean;
}

/**
 * Relative names, joined by commas, each with its attributes, joined by plus signs. The meaning of the types is left to
 * the caller that makes a certificate. Throws TypeError with the end of a sentence.
 */
export function readDistinguishedName(text: string): DistinguishedAttribute[][] {
  if (text.length > MAX_LENGTH) throw new TypeError(`it has ${text.length} characters; allowed are ${MAX_LENGTH}`);
  if (text.trim() === '') throw new TypeError('it is empty');
  let rdn: DistinguishedAttribute[] = [];
  const rdns = [rdn];
  let count = 0;
  for (let offset = 0; offset <= text.length;) {
    const equals = text.indexOf('=', offset);
    if (equals === -1)
      throw new TypeError(
        `"${text.slice(offset, offset + 40).trim()}" has no "="; allowed is TYPE=value, joined by commas`,
      );
    const type = text.slice(offset, equals).trim();
    if (type.length > 128 || !TYPE.test(type))
      throw new TypeError(
        `"${type.slice(0, 40)}" is not an attribute type; allowed are names such as CN and dotted object identifiers`,
      );
    const { value, hex, end } = valueAt(text, equals + 1);
    if (value === '') throw new TypeError(`the value of ${type} is empty`);
    count += 1;
    if (count > MAX_ATTRIBUTES) throw new TypeError(`it has more than ${MAX_ATTRIBUTES} attributes`);
    rdn.push({ type, value, hex });
    if (text[end] === ',') rdns.push((rdn = []));
    offset = end + 1;
  }
  return rdns;
}

/**
 * Section 2.4: the value from `begin` on without its escapes, and where the separator behind it is (or the text ends).
 */
function valueAt(text: string, begin: number): { readonly value: string; readonly hex: boolean; readonly end: number } {
  let offset = begin;
  while (text[offset] === ' ') offset += 1;
  if (text[offset] === '#') return hexAt(text, offset + 1);
  const quoted = text[offset] === '"';
  if (quoted) offset += 1;
  const bytes: Buffer[] = [];
  // Up to here an unescaped blank at the end does not count.
  let significant = 0;
  let closed = !quoted;
  for (; offset < text.length;) {
    const character = String.fromCodePoint(text.codePointAt(offset) ?? 0);
    if (quoted ? character === '"' : character === ',' || character === '+') {
      closed = true;
      break;
    }
    if (!quoted && character === '"')
      throw new TypeError('a quotation mark inside a value needs a backslash before it');
    const escape = character === '\\' ? escapeAt(text, offset) : undefined;
    bytes.push(escape?.bytes ?? Buffer.from(character));
    offset += escape?.length ?? character.length;
    if (quoted || escape !== undefined || character !== ' ') significant = bytes.length;
  }
  if (!closed) throw new TypeError('a quotation mark is not closed');
  if (quoted) offset += 1;
  while (quoted && text[offset] === ' ') offset += 1;
  if (offset < text.length && text[offset] !== ',' && text[offset] !== '+')
    throw new TypeError(`"${text.slice(offset, offset + 40)}" follows a closing quotation mark`);
  return { value: Buffer.concat(bytes.slice(0, significant)).toString('utf8'), hex: false, end: offset };
}

function escapeAt(text: string, offset: number): { readonly bytes: Buffer; readonly length: number } {
  const pair = text.slice(offset + 1, offset + 3);
  if (HEX_PAIR.test(pair)) return { bytes: Buffer.from(pair, 'hex'), length: 3 };
  const point = text.codePointAt(offset + 1);
  if (point === undefined) throw new TypeError('it ends with a backslash');
  const character = String.fromCodePoint(point);
  return { bytes: Buffer.from(character), length: 1 + character.length };
}

function hexAt(text: string, begin: number): { readonly value: string; readonly hex: true; readonly end: number } {
  let end = begin;
  while (end < text.length && text[end] !== ',' && text[end] !== '+') end += 1;
  const raw = text.slice(begin, end).trim();
  if (raw === '' || raw.length % 2 !== 0 || !/^[0-9a-fA-F]+$/.test(raw))
    throw new TypeError('a value that begins with # is not hexadecimal');
  return { value: raw, hex: true, end };
}
