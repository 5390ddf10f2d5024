// Opens and writes a store of any format. The content says which format it is, never the name.
import { openHeaderAt } from '../asn1/reader.ts';
import { TAG } from '../asn1/writer.ts';
import { isBlank, readDerCertificates } from './der.ts';
import { keystoreFault } from './errors.ts';
import { readJks, writeJks } from './jks.ts';
import {
  FORMAT_NAMES,
  MAX_STORE_BYTES,
  type Store,
  type StoreEntry,
  type StoreFormat,
  type StoreSource,
} from './material.ts';
import { bareBase64, beginningOf, hasKnownMagic, kindOfDer } from './other-kinds.ts';
import { readPem, textOfBytes } from './pem.ts';

/** Values of trustStoreType and the like, in lower case. */
const DECLARED: Readonly<Record<string, StoreFormat>> = {
  jks: 'jks',
  pkcs12: 'pkcs12',
  p12: 'pkcs12',
  pfx: 'pkcs12',
  pem: 'pem',
};

interface StoreRequest extends StoreSource {
  /** What the configuration says it is (trustStoreType): only compared. */
  readonly declaredType?: string | undefined;
}

/** Opens a JKS, PKCS#12 or PEM store, or a single DER certificate. Throws keystore faults and nothing else. */
export async function openStore(request: StoreRequest): Promise<Store> {
  const { bytes, file } = request;
  if (bytes.length > MAX_STORE_BYTES)
    throw keystoreFault('keystore_too_large', {
      file,
      found: `${bytes.length} bytes`,
      allowed: `${MAX_STORE_BYTES} bytes`,
    });
  const store = await readAs(formatOf(bytes, file), request);
  const declared = request.declaredType;
  if (declared === undefined || DECLARED[declared.toLowerCase()] === store.format) return store;
  return {
    ...store,
    warnings: [
      ...store.warnings,
      `${file} is declared as ${declared}, but is ${FORMAT_NAMES[store.format]}: the content counts.`,
    ],
  };
}

/**
 * The bytes of a store with `entries`. Not for PEM, which has text around its entries: see appendPem (pem.ts).
 * Throws keystore_cannot_hold.
 */
export async function encodeStore(
  format: 'jks' | 'pkcs12',
  entries: readonly StoreEntry[],
  password: string,
): Promise<Buffer> {
  if (format === 'jks') return writeJks(entries, password);
  const { writePkcs12 } = await import('./pkcs12.ts');
  return await writePkcs12(entries, password);
}

async function readAs(format: StoreFormat, source: StoreSource): Promise<Store> {
  if (format === 'jks') return await readJks(source);
  if (format === 'pem') return await readPem(source);
  if (format === 'der') return readDerCertificates(source);
  const { readPkcs12 } = await import('./pkcs12.ts');
  return await readPkcs12(source);
}

function formatOf(bytes: Buffer, file: string): StoreFormat {
  if (bytes.length === 0) throw keystoreFault('keystore_file_empty', { file });
  const magic = bytes.subarray(0, 4).toString('hex');
  if (magic === 'feedfeed') return 'jks';
  if (magic === 'cececece') throw keystoreFault('keystore_jceks', { file });
  // BKS: version 1 or 2, then a salt of 20 bytes.
  if (/^0000000[12]00000014/.test(bytes.subarray(0, 8).toString('hex'))) throw keystoreFault('keystore_bks', { file });
  if (bytes[0] === TAG.sequence) return formatOfDer(bytes, file);
  const text = hasKnownMagic(bytes) ? undefined : textOfBytes(bytes);
  // Control characters around the blocks (print-outs of certificates, the end mark of DOS, zeros of a disk block) do
  // not matter.
  if (text !== undefined && PEM_BLOCK.test(text)) return 'pem';
  if (text === undefined || CONTROL.test(text))
    throw keystoreFault('keystore_format_unknown', { file, found: beginningOf(bytes) });
  const bare = bareBase64(text, file);
  if (bare !== undefined) throw keystoreFault('keystore_other_kind', { file, ...bare });
  throw keystoreFault('keystore_is_text', {
    file,
    found: /^\s*<(!doctype|html)/i.test(text) ? 'an HTML page' : 'a text file',
  });
}

/**
 * All are a SEQUENCE; what is in it tells them apart: version 3, tbsCertificate, the type of a PKCS#7, or another kind.
 */
function formatOfDer(bytes: Buffer, file: string): StoreFormat {
  const { begin, end } = outerElement(bytes);
  const first = bytes.subarray(begin, begin + 3).toString('hex');
  const format: StoreFormat | undefined = first === '020103' ? 'pkcs12' : first.startsWith('30') ? 'der' : undefined;
  if (first.startsWith('0609')) throw keystoreFault('keystore_pkcs7', { file, form: 'der' });
  const whole = bytes.subarray(0, end);
  const kind = format === 'pkcs12' || end > bytes.length ? undefined : kindOfDer(whole, file);
  if (kind !== undefined) throw keystoreFault('keystore_other_kind', { file, ...kind });
  if (format === undefined) throw keystoreFault('keystore_format_unknown', { file, found: beginningOf(bytes) });
  if (end > bytes.length)
    throw keystoreFault('keystore_truncated', {
      file,
      format: FORMAT_NAMES[format],
      found: `it announces ${end} bytes, but ends after ${bytes.length}`,
    });
  if (format === 'pkcs12' && end < bytes.length && !isBlank(bytes.subarray(end)))
    throw keystoreFault('keystore_damaged', {
      file,
      format: FORMAT_NAMES[format],
      found: `it announces ${end} bytes, and ${bytes.length - end} follow them`,
    });
  return format;
}

/** Where the content of the first element begins, and where it ends (of indefinite length, BER: with the file). */
function outerElement(bytes: Buffer): { begin: number; end: number } {
  const header = openHeaderAt(bytes, 0, bytes.length, 'ber');
  if ('fault' in header || header.length === -1) return { begin: 2, end: bytes.length };
  return { begin: header.begin, end: header.begin + header.length };
}

/** A whole mark: a text that only speaks of PEM is not PEM. */
const PEM_BLOCK = /-----BEGIN [^\r\n-]{1,64}-----/;
/** All but white space and the escape of terminals. */
// eslint-disable-next-line no-control-regex -- the pattern finds control characters
const CONTROL = /[\0-\x08\x0e-\x1a\x1c-\x1f]/;
