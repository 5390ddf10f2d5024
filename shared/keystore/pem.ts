// Reads PEM bundles (RFC 7468): any number of certificates with text between them, as openssl, browsers and editors
// leave them; and a single certificate in DER. PEM has no password and no digest: only a root's own signature can be
// checked.
import { keystoreFault } from './errors.ts';
import { decodeBlock, pemBlocks, PemFault, pemOf, type PemBlock } from '../x509/pem.ts';
import {
  FORMAT_NAMES,
  MAX_ENTRIES,
  MAX_STORE_BYTES,
  printableLine,
  soundness,
  type Store,
  type StoreEntry,
  type StoreSource,
  type TrustedEntry,
} from './material.ts';

const LINE_END = /\r\n|\n|\r/;

interface Block extends PemBlock {
  readonly alias: string | undefined;
}

/** Beside the certificates a bundle may hold keys and lists; UTF-16 has two bytes for a unit, so that this bounds any file of a store. */
const LIMITS = { maxLength: MAX_STORE_BYTES, maxBlocks: 2 * MAX_ENTRIES };

/** Reads all certificates of a bundle. Throws keystore faults: truncated, damaged, tampered, too large, PKCS#7. */
export function readPem({ bytes, file }: StoreSource): Store {
  const format = FORMAT_NAMES.pem;
  const entries: StoreEntry[] = [];
  const others: string[] = [];
  for (const block of blocks(textOfBytes(bytes), file)) {
    if (block.label === 'PKCS7' || block.label === 'CMS') throw keystoreFault('keystore_pkcs7', { file, form: 'pem' });
    if (!isCertificate(block)) {
      others.push(printableLine(block.label));
      continue;
    }
    if (entries.length === MAX_ENTRIES)
      throw keystoreFault('keystore_too_large', {
        file,
        found: `more than ${MAX_ENTRIES} certificates`,
        allowed: MAX_ENTRIES,
      });
    const der = decodeBlock(block);
    const place = `the certificate that begins on line ${block.line}`;
    const verdict = der === undefined ? 'unreadable' : soundness(der);
    if (der === undefined || verdict === 'unreadable')
      throw keystoreFault('keystore_damaged', { file, format, found: `${place} is not a certificate` });
    if (verdict === 'broken signature')
      throw keystoreFault('keystore_tampered', { file, format, found: `${place} does not fit its own signature` });
    entries.push({
      kind: 'trusted',
      alias: block.alias ?? `certificate-${entries.length + 1}`,
      created: undefined,
      certificates: [der],
    });
  }
  return { format: 'pem', entries, warnings: [], others };
}

/** Reads one certificate in DER. */
export function readDerCertificate({ bytes, file }: StoreSource): Store {
  const format = FORMAT_NAMES.der;
  const verdict = soundness(bytes);
  if (verdict === 'unreadable')
    throw keystoreFault('keystore_damaged', { file, format, found: 'its bytes are not a certificate' });
  if (verdict === 'broken signature')
    throw keystoreFault('keystore_tampered', { file, format, found: 'the certificate does not fit its own signature' });
  return {
    format: 'der',
    entries: [{ kind: 'trusted', alias: 'certificate-1', created: undefined, certificates: [bytes] }],
    warnings: [],
    others: [],
  };
}

/** `bytes` (a bundle, or nothing) with `entries` behind it; everything that stood there stays. UTF-8. */
export function appendPem(bytes: Buffer, entries: readonly TrustedEntry[]): Buffer {
  const text = textOfBytes(bytes);
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
  const lines = textOfBytes(bytes).split(LINE_END);
  for (const { line, lastLine } of blocks(textOfBytes(bytes), file)) lines.fill('', line - 1, lastLine);
  return lines.some((line) => line.trim() !== '' && !line.trim().startsWith('friendlyName: '));
}

/**
 * The bundle without its certificates at these places (from 0, in the order of readPem), each with the lines right above it:
 * what openssl and people write there is about it. An empty line, or the end of another block, parts it from what stays.
 */
export function removeFromPem(bytes: Buffer, file: string, places: ReadonlySet<number>): Buffer {
  const text = textOfBytes(bytes);
  const lines: string[] = [...text.matchAll(/[^\r\n]*(?:\r\n|\n|\r)|[^\r\n]+$/g)].map(([line]) => line);
  const all = [...blocks(text, file)];
  const ends = new Set(all.map(({ lastLine }) => lastLine));
  for (const [place, { line, lastLine }] of all.filter(isCertificate).entries()) {
    if (!places.has(place)) continue;
    let first = line;
    while (first > 1 && !ends.has(first - 1) && lines[first - 2]?.trim() !== '') first -= 1;
    lines.fill('', first - 1, lastLine);
  }
  return Buffer.from(lines.join(''), 'utf8');
}

/** The text of a PEM file: UTF-8, or UTF-16 with its mark (what PowerShell's `>` writes), else ISO-8859-1. */
export function textOfBytes(bytes: Buffer): string {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return bytes.toString('utf16le', 2);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    return bytes.toString('latin1'); // comments of old editors; what counts is ASCII
  }
}

function isCertificate({ label }: Block): boolean {
  return label === 'CERTIFICATE' || label === 'X509 CERTIFICATE';
}

/** The blocks of a bundle with the names above them. Throws keystore faults: truncated, damaged, too large. */
function* blocks(text: string, file: string): Generator<Block> {
  const format = FORMAT_NAMES.pem;
  let alias: string | undefined;
  // The way in which "openssl pkcs12 -nokeys" writes an alias above its certificate; appendPem writes the same.
  const onText = (line: string): void => {
    if (line.startsWith('friendlyName: ')) alias = /^friendlyName: (.{1,255})$/.exec(line)?.[1] ?? alias;
  };
  try {
    for (const block of pemBlocks(text, LIMITS, onText)) {
      yield { ...block, alias };
      alias = undefined;
    }
  } catch (error) {
    if (!(error instanceof PemFault)) throw error;
    const found = printableLine(error.message);
    if (error.kind === 'limit')
      throw keystoreFault('keystore_too_large', { file, found, allowed: `${MAX_ENTRIES} certificates` }, error);
    throw keystoreFault(
      error.kind === 'open' ? 'keystore_truncated' : 'keystore_damaged',
      { file, format, found },
      error,
    );
  }
}
