// Validates the structure of DER or BER from outside before a parser sees it: lengths inside their parents, depth,
// number of elements, size. Iterative, and each byte is visited once for each level of OCTET STRING around it.
import { Asn1Element, Asn1Fault, headerAt, type Asn1Form, type Asn1Header } from './reader.ts';
import { TAG } from './writer.ts';

export interface Asn1Limits {
  readonly maxBytes: number;
  /** Levels of elements, those inside OCTET STRINGs included. */
  readonly maxDepth: number;
  readonly maxElements: number;
  readonly form: Asn1Form;
  /** Look into OCTET STRINGs too: the reader of a certificate always parses its extensions. */
  readonly octets: boolean;
}

/** A certificate has some fifteen levels; one for a hundred hosts some five hundred elements. */
export const CERTIFICATE_LIMITS: Asn1Limits = {
  maxBytes: 64 * 1024,
  maxDepth: 32,
  maxElements: 4_096,
  form: 'ber',
  octets: true,
};

interface Frame {
  /** Of the content; for an indefinite length that of the parent. */
  readonly end: number;
  readonly indefinite: boolean;
  /** The content of an OCTET STRING: it may be anything, so that it has no faults. */
  readonly guessed: boolean;
}

/** The end of a sentence that says why `bytes` are not exactly one sound element; undefined when they are. */
export function structureFault(bytes: Uint8Array, limits: Asn1Limits): string | undefined {
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
    const faulty = 'fault' in header;
    if (!faulty && frame.indefinite && header.tag === 0 && header.length === 0) {
      frames.pop();
      offset = header.begin;
      continue;
    }
    if (faulty || header.tag === 0) {
      const outer = leaveGuess(frames);
      if (outer === undefined) return faulty ? header.fault : `the tag at offset ${offset} is zero`;
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

/** The one element that `bytes` are, `what` in messages. Throws Asn1Fault. */
export function readElement(bytes: Buffer, limits: Asn1Limits, what: string): Asn1Element {
  const fault = structureFault(bytes, limits);
  if (fault !== undefined) throw new Asn1Fault(`${what} is not valid ASN.1: ${fault}`);
  return new Asn1Element(bytes, 0, bytes.length, limits.form);
}

/** What the check looks into: constructed elements, and OCTET STRINGs that begin like an element that fills them. */
function nestedIn({ tag, begin, length }: Asn1Header, { end }: Frame, octets: boolean): Frame | undefined {
  if (length === -1) return { end, indefinite: true, guessed: false };
  if (length === 0) return undefined;
  if ((tag & 0x20) !== 0) return { end: begin + length, indefinite: false, guessed: false };
  return octets && tag === TAG.octets && length >= 2
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
