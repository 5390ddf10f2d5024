// Reads ASN.1 in DER and BER (X.690): the elements of bytes from outside, and what certificate requests and key stores
// take out of them. Nothing is copied but octet strings in pieces, and every length is checked against its parent.
// `readElement` (structure.ts) bounds depth, number and size first, for readers that look at more than a few elements.
import { der, TAG } from './writer.ts';

/** BER adds indefinite lengths and lengths with leading zeros: what NSS, BouncyCastle and macOS write. */
export type Asn1Form = 'der' | 'ber';

/** The bytes are not the ASN.1 that was expected. The message is the end of a sentence. */
export class Asn1Fault extends Error {
  /** The bytes end before what they announce. */
  readonly truncated: boolean;

  constructor(message: string, truncated = false) {
    super(message);
    this.truncated = truncated;
  }
}

export interface Asn1Header {
  readonly tag: number;
  /** Where the content begins. */
  readonly begin: number;
  /** Of the content; -1: indefinite. */
  readonly length: number;
}

interface Asn1HeaderFault {
  readonly fault: string;
  readonly truncated: boolean;
}

/** What fits into a length of four bytes and an index. */
const MAX_LENGTH_BYTES = 4;
/** Of open indefinite lengths. A bundle of certificates has some ten. */
const MAX_DEPTH = 32;
/** The longest identifiers in use, those of Microsoft's certificate templates, have some 30 bytes. */
const MAX_OID_BYTES = 64;
const CONSTRUCTED = 0x20;
const CLASS = 0xc0;
const CONTEXT_SPECIFIC = 0x80;
/** [0], constructed: EXPLICIT tagging. */
const EXPLICIT_0 = 0xa0;

/**
 * The header at `offset`, its element inside `limit`. X.690 section 8.1; tags of one byte: no format here has others.
 */
export function headerAt(
  bytes: Uint8Array,
  offset: number,
  limit: number,
  form: Asn1Form,
): Asn1Header | Asn1HeaderFault {
  const header = openHeaderAt(bytes, offset, limit, form);
  return 'fault' in header || header.begin + header.length <= limit
    ? header
    : truncated(
        `the element of ${header.length} bytes before offset ${header.begin} does not fit into the ${limit - header.begin} that are left`,
      );
}

/** As `headerAt`, for an element that may be longer than the bytes that are there. */
export function openHeaderAt(
  bytes: Uint8Array,
  offset: number,
  limit: number,
  form: Asn1Form,
): Asn1Header | Asn1HeaderFault {
  if (offset + 2 > limit) return truncated(`an element is cut off at offset ${offset}`);
  const tag = bytes[offset] as number;
  const first = bytes[offset + 1] as number;
  if ((tag & 0x1f) === 0x1f) return malformed(`the tag at offset ${offset} has more than one byte`);
  if (first < 0x80) return { tag, begin: offset + 2, length: first };
  if (first === 0x80)
    return form === 'ber' && (tag & CONSTRUCTED) !== 0
      ? { tag, begin: offset + 2, length: -1 }
      : malformed(`the length at offset ${offset + 1} is indefinite`);
  const count = first & 0x7f;
  if (count > MAX_LENGTH_BYTES) return malformed(`the length at offset ${offset + 1} has ${count} bytes`);
  if (offset + 2 + count > limit) return truncated(`the length at offset ${offset + 1} has ${count} bytes`);
  let length = 0;
  for (let i = 0; i < count; i += 1) length = length * 256 + (bytes[offset + 2 + i] as number);
  // Section 10.1: the shortest form.
  if (form === 'der' && (length < 0x80 || bytes[offset + 2] === 0))
    return malformed(`the length at offset ${offset + 1} is not written in its shortest form`);
  return { tag, begin: offset + 2 + count, length };
}

/** One element, as a view of the bytes it was found in. */
export class Asn1Element {
  readonly tag: number;
  readonly #bytes: Buffer;
  readonly #form: Asn1Form;
  readonly #start: number;
  readonly #begin: number;
  readonly #end: number;
  /** Behind the element, end mark included. */
  readonly next: number;

  constructor(bytes: Buffer, start: number, limit: number, form: Asn1Form) {
    const header = orThrow(headerAt(bytes, start, limit, form));
    const indefinite = header.length === -1;
    this.tag = header.tag;
    this.#bytes = bytes;
    this.#form = form;
    this.#start = start;
    this.#begin = header.begin;
    this.#end = indefinite ? endMark(bytes, header.begin, limit) : header.begin + header.length;
    this.next = indefinite ? this.#end + 2 : this.#end;
  }

  /** The element byte by byte, its header included: signatures cover bytes. */
  get whole(): Buffer {
    return this.#bytes.subarray(this.#start, this.next);
  }

  get content(): Buffer {
    return this.#bytes.subarray(this.#begin, this.#end);
  }

  /** The elements that the content is made of. Throws Asn1Fault. */
  children(): Asn1Element[] {
    return elementsBetween(this.#bytes, this.#begin, this.#end, this.#form);
  }
}

/** The elements that `bytes` are made of. Throws Asn1Fault. */
export function elementsIn(bytes: Buffer, form: Asn1Form): Asn1Element[] {
  return elementsBetween(bytes, 0, bytes.length, form);
}

function elementsBetween(bytes: Buffer, begin: number, end: number, form: Asn1Form): Asn1Element[] {
  const elements: Asn1Element[] = [];
  for (let offset = begin; offset < end;) {
    const element = new Asn1Element(bytes, offset, end, form);
    elements.push(element);
    offset = element.next;
  }
  return elements;
}

/** Where the end mark (00 00) of an indefinite length is, whose content begins at `begin`. */
function endMark(bytes: Buffer, begin: number, limit: number): number {
  let open = 1;
  for (let offset = begin; ;) {
    const { tag, begin: content, length } = orThrow(headerAt(bytes, offset, limit, 'ber'));
    if (tag === 0 && length === 0) open -= 1;
    if (open === 0) return offset;
    if (length === -1) open += 1;
    if (open > MAX_DEPTH) throw new Asn1Fault(`its elements are nested deeper than ${MAX_DEPTH} levels`);
    offset = length === -1 ? content : content + length;
  }
}

/** An element with this tag. Throws Asn1Fault, as all below. */
export function expectTag(element: Asn1Element | undefined, tag: number, what: string): Asn1Element {
  if (element?.tag !== tag) throw new Asn1Fault(`${what} is missing or malformed`);
  return element;
}

/** The members of a SEQUENCE or SET. */
export function membersOf(element: Asn1Element | undefined, what: string): Asn1Element[] {
  if (element?.tag !== TAG.sequence && element?.tag !== TAG.set) throw new Asn1Fault(`${what} is not a list`);
  return element.children();
}

/** The one element inside [0] EXPLICIT. */
export function explicitOf(element: Asn1Element | undefined, what: string): Asn1Element {
  const [inner] = element?.tag === EXPLICIT_0 ? element.children() : [];
  if (inner === undefined) throw new Asn1Fault(`${what} is missing`);
  return inner;
}

/** The bytes of an OCTET STRING, also of one in pieces (section 8.7.3), also under an implicit tag. */
export function octetsOf(element: Asn1Element | undefined, what: string): Buffer {
  const fits =
    element !== undefined &&
    ((element.tag & CLASS) === CONTEXT_SPECIFIC || (element.tag & ~CONSTRUCTED) === TAG.octets);
  if (!fits) throw new Asn1Fault(`${what} is not an octet string`);
  if ((element.tag & CONSTRUCTED) === 0) return element.content;
  return Buffer.concat(element.children().map((piece) => octetsOf(piece, what)));
}

/**
 * An OBJECT IDENTIFIER (section 8.19) as text: "1.2.840.113549". Parts beyond 2^53 lose digits: none of the known
 * identifiers has one.
 */
export function oidOf(element: Asn1Element | undefined, what: string): string {
  const bytes = element?.tag === TAG.oid ? element.content : Buffer.alloc(0);
  const complete = bytes.length > 0 && bytes.length <= MAX_OID_BYTES && (bytes.at(-1) as number) < 0x80;
  const parts: number[] = [];
  for (let i = 0, part = -1; complete && i < bytes.length; i += 1) {
    const byte = bytes[i] as number;
    // Section 8.19.2: a part does not begin with zeros.
    if (part === -1 && byte === 0x80) throw new Asn1Fault(`${what} is not an object identifier`);
    part = Math.max(part, 0) * 128 + (byte & 0x7f);
    if (byte >= 0x80) continue;
    parts.push(part);
    part = -1;
  }
  const [first, ...others] = parts;
  if (first === undefined) throw new Asn1Fault(`${what} is not an object identifier`);
  const root = Math.min(Math.floor(first / 40), 2);
  return [root, first - 40 * root, ...others].join('.');
}

/** A whole number below 2^31. */
export function smallIntegerOf(element: Asn1Element | undefined, what: string): number {
  const bytes = element?.tag === TAG.integer ? element.content : Buffer.alloc(0);
  if (bytes.length === 0 || bytes.length > 4 || (bytes[0] as number) > 0x7f)
    throw new Asn1Fault(`${what} is not a small number`);
  return bytes.readUIntBE(0, bytes.length);
}

/**
 * An element from outside with all its lengths as DER writes them; the rest stays as it is. It has passed
 * `structureFault`, which bounds its depth.
 */
export function withDerLengths(element: Asn1Element): Buffer {
  return (element.tag & CONSTRUCTED) === 0
    ? der(element.tag, element.content)
    : der(element.tag, ...element.children().map((child) => withDerLengths(child)));
}

/** The text of a BMPString (section 8.23.9); undefined for anything else. */
export function bmpTextOf(element: Asn1Element | undefined): string | undefined {
  return element?.tag === TAG.bmp && element.content.length % 2 === 0
    ? Buffer.from(element.content).swap16().toString('utf16le')
    : undefined;
}

function orThrow(header: Asn1Header | Asn1HeaderFault): Asn1Header {
  if ('fault' in header) throw new Asn1Fault(header.fault, header.truncated);
  return header;
}

function truncated(fault: string): Asn1HeaderFault {
  return { fault, truncated: true };
}

function malformed(fault: string): Asn1HeaderFault {
  return { fault, truncated: false };
}
