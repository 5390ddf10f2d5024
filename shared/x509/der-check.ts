// Validates the structure of DER or BER from outside before any parser sees it: lengths inside their parents, depth, number of
// elements, size. Iterative, and each byte is visited once for each level of OCTET STRING around it. Also reads one element.

export interface DerLimits {
  readonly maxBytes: number;
  /** Levels of elements, those inside OCTET STRINGs included. */
  readonly maxDepth: number;
  readonly maxElements: number;
  /** BER adds indefinite lengths and lengths with leading zeros: what some writers of PKCS#12 and PKCS#7 make. */
  readonly form: 'der' | 'ber';
  /** Look into OCTET STRINGs too: the reader of a certificate parses its extensions without asking. */
  readonly octets: boolean;
}

/** A certificate has some fifteen levels; one for a hundred hosts some five hundred elements. */
export const CERTIFICATE_LIMITS: DerLimits = {
  maxBytes: 64 * 1024,
  maxDepth: 32,
  maxElements: 4_096,
  form: 'ber',
  octets: true,
};

const OCTET_STRING = 0x04;
/** What fits into a length of four bytes and an index. */
const MAX_LENGTH_BYTES = 4;

interface Header {
  readonly tag: number;
  /** Of the content. */
  readonly begin: number;
  /** -1: indefinite. */
  readonly length: number;
}

interface Frame {
  /** Of the content; for an indefinite length that of the parent. */
  readonly end: number;
  readonly indefinite: boolean;
  /** The content of an OCTET STRING: it may be anything, so that a fault in it is none. */
  readonly guessed: boolean;
}

/** The end of a sentence that says why `bytes` are not exactly one sound element; undefined when they are. */
export function derFault(bytes: Uint8Array, limits: DerLimits): string | undefined {
  if (bytes.length > limits.maxBytes) return `it has ${bytes.length} bytes; allowed are ${limits.maxBytes}`;
  const frames: Frame[] = [{ end: bytes.length, indefinite: false, guessed: false }];
  let offset = 0;
  let elements = 0;
  for (let frame = frames.at(-1); frame !== undefined; frame = frames.at(-1)) {
    if (!frame.indefinite && offset === frame.end && elements > 0) {
      frames.pop();
      continue;
    }
    const header = headerAt(bytes, offset, frame.end, limits.form);
    if (typeof header !== 'string' && frame.indefinite && header.tag === 0 && header.length === 0) {
      frames.pop();
      offset = header.begin;
      continue;
    }
    if (typeof header === 'string' || header.tag === 0) {
      const outer = leaveGuess(frames);
      if (outer === undefined) return typeof header === 'string' ? header : `the tag at offset ${offset} is zero`;
      offset = outer;
      continue;
    }
    elements += 1;
    if (elements > limits.maxElements) return `it has more than ${limits.maxElements} elements`;
    if (frames.length === 1 && elements > 1) return `${bytes.length - offset} bytes follow its end`;
    const nested = nestedIn(header, frame, limits.octets);
    if (nested === undefined) offset = header.begin + header.length;
    else {
      if (frames.length > limits.maxDepth) return `its elements are nested deeper than ${limits.maxDepth} levels`;
      frames.push(nested);
      offset = header.begin;
    }
  }
  return undefined;
}

export interface DerElement {
  readonly tag: number;
  /** The whole element, and its content. */
  readonly whole: Buffer;
  readonly content: Buffer;
}

/** The elements that `content` is made of. `content` has passed `derFault`. Throws TypeError where it is not made of elements. */
export function elementsIn(content: Buffer): DerElement[] {
  const elements: DerElement[] = [];
  for (let offset = 0; offset < content.length;) {
    const header = headerAt(content, offset, content.length, 'der');
    if (typeof header === 'string') throw new TypeError(header);
    const end = header.begin + header.length;
    elements.push({
      tag: header.tag,
      whole: content.subarray(offset, end),
      content: content.subarray(header.begin, end),
    });
    offset = end;
  }
  return elements;
}

/** X.690 section 8.1, tags of one byte: no format here has others. */
function headerAt(bytes: Uint8Array, offset: number, limit: number, form: DerLimits['form']): Header | string {
  if (offset + 2 > limit) return `an element is cut off at offset ${offset}`;
  const tag = bytes[offset] as number;
  const first = bytes[offset + 1] as number;
  if ((tag & 0x1f) === 0x1f) return `the tag at offset ${offset} has more than one byte`;
  if (first < 0x80) return bounded({ tag, begin: offset + 2, length: first }, limit);
  if (first === 0x80)
    return form === 'ber' && (tag & 0x20) !== 0
      ? { tag, begin: offset + 2, length: -1 }
      : `the length at offset ${offset + 1} is indefinite`;
  const count = first & 0x7f;
  if (count > MAX_LENGTH_BYTES || offset + 2 + count > limit)
    return `the length at offset ${offset + 1} has ${count} bytes`;
  let length = 0;
  for (let i = 0; i < count; i += 1) length = length * 256 + (bytes[offset + 2 + i] as number);
  // Section 10.1: the shortest form.
  if (form === 'der' && (length < 0x80 || bytes[offset + 2] === 0))
    return `the length at offset ${offset + 1} is not written in its shortest form`;
  return bounded({ tag, begin: offset + 2 + count, length }, limit);
}

function bounded(header: Header, limit: number): Header | string {
  return header.begin + header.length > limit
    ? `the element of ${header.length} bytes before offset ${header.begin} does not fit into the ${limit - header.begin} that are left`
    : header;
}

/** What is to be looked into: constructed elements, and OCTET STRINGs that begin like an element that fills them. */
function nestedIn({ tag, begin, length }: Header, { end }: Frame, octets: boolean): Frame | undefined {
  if (length === -1) return { end, indefinite: true, guessed: false };
  if (length === 0) return undefined;
  if ((tag & 0x20) !== 0) return { end: begin + length, indefinite: false, guessed: false };
  return octets && tag === OCTET_STRING && length >= 2
    ? { end: begin + length, indefinite: false, guessed: true }
    : undefined;
}

/** Gives up the innermost OCTET STRING that was looked into; where it ends, or undefined when there is none. */
function leaveGuess(frames: Frame[]): number | undefined {
  const place = frames.findLastIndex(({ guessed }) => guessed);
  if (place === -1) return undefined;
  const { end } = frames[place] as Frame;
  frames.length = place;
  return end;
}
