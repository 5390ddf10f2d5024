// Reads PEM bundles (RFC 7468): any number of certificates with text between them, as openssl, browsers and editors
// leave them. PEM has no password and no digest: only a root's own signature can be checked.
import { Breather } from '../breather.ts';
import type { CodedError } from '../errors.ts';
import { regularPem, type RegularPem } from '../x509/field-pem.ts';
import { trustedCertificate } from '../x509/openssl-trust.ts';
import { decodeBlock, PemFault, pemOf, pemSteps, type PemBlock } from '../x509/pem.ts';
import { keystoreFault } from './errors.ts';
import {
  FORMAT_NAMES,
  MAX_ENTRIES,
  MAX_STORE_BYTES,
  printableLine,
  soundnessCheck,
  type Store,
  type StoreEntry,
  type StoreSource,
  type TrustedEntry,
} from './material.ts';
import { kindOfDer } from './other-kinds.ts';

const LINE_END = /\r\n|\n|\r/;
const DASH = 0x2d;
/** "openssl x509 -trustout": a certificate with OpenSSL's own marks behind it. */
const OPENSSL_LABEL = 'TRUSTED CERTIFICATE';
/** Of blocks that are left out; the rest is counted. */
const MAX_WARNINGS = 20;

interface Block extends PemBlock {
  readonly alias: string | undefined;
}

/**
 * Beside the certificates a bundle may hold keys and lists; UTF-16 has two bytes for a unit, so that this bounds any
 * file of a store.
 */
const LIMITS = { maxLength: MAX_STORE_BYTES, maxBlocks: 2 * MAX_ENTRIES };

/**
 * Reads the certificates of a bundle. A block that cannot be read is left out and named in the warnings: it must not
 * take the others with it. Throws keystore faults when none can be read: truncated, damaged, tampered, too large,
 * PKCS#7.
 */
export async function readPem({ bytes, file }: StoreSource): Promise<Store> {
  const { text, notes } = pemText(bytes);
  const entries: StoreEntry[] = [];
  const faults: CodedError[] = [];
  const others: string[] = [];
  const breather = new Breather();
  for (const found of certificateBlocks(text, file)) {
    await breather.pause();
    if (found === undefined) continue;
    const { block, der, fault } = found;
    if (fault !== undefined) faults.push(fault);
    else if (der === undefined) others.push(printableLine(block?.label ?? ''));
    else
      entries.push({
        kind: 'trusted',
        alias: block?.alias ?? `certificate-${entries.length + 1}`,
        created: undefined,
        certificates: [der],
      });
  }
  const [first] = faults;
  if (entries.length === 0 && first !== undefined) throw first;
  const warnings = [
    ...notes.map((note) => `${file} ${note}`),
    ...faults.slice(0, MAX_WARNINGS).map(({ message }) => `left out: ${message}`),
    ...(faults.length > MAX_WARNINGS ? [`left out in ${file}: ${faults.length - MAX_WARNINGS} more`] : []),
  ];
  return { format: 'pem', entries, warnings, others, leftOut: faults };
}

interface FoundBlock {
  /** Absent for a block that has no end. */
  readonly block: Block | undefined;
  /** A certificate; undefined for other things. */
  readonly der: Buffer | undefined;
  /** Why it is left out. */
  readonly fault: CodedError | undefined;
}

/**
 * Each block with the certificate in it, or why there is none; undefined where a reader may pause. Throws
 * keystore_too_large.
 */
function* certificateBlocks(text: string, file: string): Generator<FoundBlock | undefined> {
  const soundness = soundnessCheck();
  const broken: CodedError[] = [];
  let count = 0;
  const left = (): FoundBlock[] => broken.splice(0).map((fault) => ({ block: undefined, der: undefined, fault }));
  for (const block of blocks(text, file, (fault) => broken.push(fault))) {
    yield* left();
    if (block === undefined) {
      yield undefined;
      continue;
    }
    if (block.label === 'PKCS7' || block.label === 'CMS') {
      yield { block, der: undefined, fault: keystoreFault('keystore_pkcs7', { file, form: 'pem' }) };
      continue;
    }
    if (!isCertificate(block)) {
      yield { block, der: undefined, fault: undefined };
      continue;
    }
    if (count === MAX_ENTRIES)
      throw keystoreFault('keystore_too_large', {
        file,
        found: `more than ${MAX_ENTRIES} certificates`,
        allowed: MAX_ENTRIES,
      });
    count += 1;
    yield readBlock(block, file, soundness);
  }
  yield* left();
}

function readBlock(block: Block, file: string, soundness: ReturnType<typeof soundnessCheck>): FoundBlock {
  const format = FORMAT_NAMES.pem;
  const place = `the certificate that begins on line ${block.line}`;
  const damaged = (found: string): FoundBlock => ({
    block,
    der: undefined,
    fault: keystoreFault('keystore_damaged', { file, format, found: `${place} ${found}` }),
  });
  const content = decodeBlock(block);
  if (content === undefined) return damaged('is not base64');
  const trusted = block.label === OPENSSL_LABEL ? trustedCertificate(content) : undefined;
  if (trusted?.refused === true)
    return damaged('carries a mark of OpenSSL that it is not to be trusted for servers (openssl x509 -addreject)');
  const der = trusted?.der ?? content;
  const verdict = soundness(der);
  if (verdict === 'unreadable') return damaged(`is ${kindOfDer(der, file)?.found ?? 'not a certificate'}`);
  if (verdict === 'broken signature')
    return {
      block,
      der: undefined,
      fault: keystoreFault('keystore_tampered', { file, format, found: `${place} does not fit its own signature` }),
    };
  return { block: { ...block, alias: block.alias ?? trusted?.alias }, der, fault: undefined };
}

/** `bytes` (a bundle, or nothing) with `entries` behind it; everything that was there stays. UTF-8. */
export function appendPem(bytes: Buffer, entries: readonly TrustedEntry[]): Buffer {
  const { text } = pemText(bytes);
  const gap = text === '' || text.endsWith('\n') ? '' : '\n';
  return Buffer.from(
    text +
      gap +
      entries
        .map(
          ({ alias, certificates }) =>
            `friendlyName: ${printableLine(alias)}\n${pemOf('CERTIFICATE', certificates[0])}`,
        )
        .join(''),
    'utf8',
  );
}

/** True when the bundle holds something that no other format can hold: comments, the print-out of a certificate. */
export function hasPemComments(bytes: Buffer, file: string): boolean {
  const { text } = pemText(bytes);
  const lines = text.split(LINE_END);
  for (const block of blocks(text, file)) if (block !== undefined) lines.fill('', block.line - 1, block.lastLine);
  return lines.some((line) => line.trim() !== '' && !line.trim().startsWith('friendlyName: '));
}

/**
 * The bundle without its certificates at these places (from 0, in the order of readPem), each with the lines right
 * above it: what openssl and people write there is about it. An empty line, or the end of another block, parts it from
 * what stays.
 */
export function removeFromPem(bytes: Buffer, file: string, places: ReadonlySet<number>): Buffer {
  const { text } = pemText(bytes);
  const lines: string[] = [...text.matchAll(/[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+$/g)].map(([line]) => line);
  const all = [...certificateBlocks(text, file)].filter((found) => found !== undefined);
  const ends = new Set(all.map(({ block }) => block?.lastLine));
  for (const [place, { block }] of all.filter(({ der }) => der !== undefined).entries()) {
    if (block === undefined || !places.has(place)) continue;
    const { line, lastLine } = block;
    let first = line;
    while (first > 1 && !ends.has(first - 1) && lines[first - 2]?.trim() !== '') first -= 1;
    lines.fill('', first - 1, lastLine);
  }
  return Buffer.from(lines.join(''), 'utf8');
}

/** The text of a PEM file in the form of RFC 7468, and what was put right for that. */
export function pemText(bytes: Buffer): RegularPem {
  return regularPem(textOfBytes(bytes));
}

/** UTF-8, or UTF-16 (what PowerShell's `>` writes, with its mark or without), else ISO-8859-1. */
export function textOfBytes(bytes: Buffer): string {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return bytes.toString('utf16le', 2);
  if (bytes[0] === DASH && bytes[1] === 0) return bytes.toString('utf16le');
  if ((bytes[0] === 0xfe && bytes[1] === 0xff) || (bytes[0] === 0 && bytes[1] === DASH))
    return Buffer.from(bytes.subarray(0, bytes.length & ~1))
      .swap16()
      .toString('utf16le')
      .replace(/^\ufeff/, '');
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return bytes.toString('latin1'); // comments of old editors; what counts is ASCII
  }
}

function isCertificate({ label }: Block): boolean {
  return label === 'CERTIFICATE' || label === 'X509 CERTIFICATE' || label === OPENSSL_LABEL;
}

/**
 * The blocks of a bundle with the names above them. One without its end goes to `onBroken`, or is passed over. As
 * pemSteps. Throws keystore_too_large.
 */
function* blocks(text: string, file: string, onBroken?: (fault: CodedError) => void): Generator<Block | undefined> {
  const format = FORMAT_NAMES.pem;
  let alias: string | undefined;
  // The way in which "openssl pkcs12 -nokeys" writes an alias above its certificate; appendPem writes the same.
  const onText = (line: string): void => {
    if (line.startsWith('friendlyName: ')) alias = /^friendlyName: (.{1,255})$/.exec(line)?.[1] ?? alias;
  };
  const onFault = (error: PemFault): void => {
    const code = error.kind === 'open' ? 'keystore_truncated' : 'keystore_damaged';
    onBroken?.(keystoreFault(code, { file, format, found: printableLine(error.message) }, error));
  };
  try {
    for (const block of pemSteps(text, LIMITS, { onText, onFault })) {
      if (block === undefined) {
        yield undefined;
        continue;
      }
      yield { ...block, alias };
      alias = undefined;
    }
  } catch (error) {
    if (!(error instanceof PemFault)) throw error;
    const found = printableLine(error.message);
    throw keystoreFault('keystore_too_large', { file, found, allowed: `${MAX_ENTRIES} certificates` }, error);
  }
}
