// Reads certificates in DER: one, several in a row, or a PkiPath. No password and no digest: only a root's own
// signature can be checked.
import { Asn1Element, Asn1Fault } from '../asn1/reader.ts';
import { TAG } from '../asn1/writer.ts';
import { certificateFields } from '../x509/fields.ts';
import { keystoreFault } from './errors.ts';
import {
  FORMAT_NAMES,
  MAX_ENTRIES,
  soundnessCheck,
  type Store,
  type StoreEntry,
  type StoreSource,
} from './material.ts';
import { kindOfDer } from './other-kinds.ts';

/**
 * Reads certificates in DER, one behind the other; a line break or an end mark of an editor behind them is passed over.
 */
export function readDerCertificates({ bytes, file }: StoreSource): Store {
  const format = FORMAT_NAMES.der;
  const soundness = soundnessCheck();
  const entries: StoreEntry[] = [];
  for (const der of elementsOf(bytes, file)) {
    if (entries.length === MAX_ENTRIES)
      throw keystoreFault('keystore_too_large', {
        file,
        found: `more than ${MAX_ENTRIES} certificates`,
        allowed: MAX_ENTRIES,
      });
    const verdict = soundness(der);
    if (verdict === 'unreadable') {
      const kind = kindOfDer(der, file);
      if (kind !== undefined) throw keystoreFault('keystore_other_kind', { file, ...kind });
      throw keystoreFault('keystore_damaged', { file, format, found: 'its bytes are not a certificate' });
    }
    if (verdict === 'broken signature')
      throw keystoreFault('keystore_tampered', {
        file,
        format,
        found: 'the certificate does not fit its own signature',
      });
    entries.push({
      kind: 'trusted',
      alias: `certificate-${entries.length + 1}`,
      created: undefined,
      certificates: [der],
    });
  }
  return { format: 'der', entries, warnings: [], others: [] };
}

/** The elements of a file of DER. A path of certificates (PkiPath, RFC 4346) is a list around them. */
function elementsOf(bytes: Buffer, file: string): Buffer[] {
  const format = FORMAT_NAMES.der;
  const elements: Asn1Element[] = [];
  try {
    for (let offset = 0; offset < bytes.length;) {
      if (offset > 0 && isBlank(bytes.subarray(offset))) break;
      if (offset > 0 && bytes[offset] !== TAG.sequence)
        throw keystoreFault('keystore_damaged', {
          file,
          format,
          found: `it announces ${offset} bytes, and ${bytes.length - offset} follow them`,
        });
      if (elements.length === MAX_ENTRIES)
        throw keystoreFault('keystore_too_large', {
          file,
          found: `more than ${MAX_ENTRIES} certificates`,
          allowed: MAX_ENTRIES,
        });
      const element = new Asn1Element(bytes, offset, bytes.length, 'ber');
      elements.push(element);
      offset = element.next;
    }
    const [only, ...more] = elements;
    const inner = more.length === 0 && only?.tag === TAG.sequence ? only.children() : [];
    const path = inner.length > 0 && inner.every(({ whole }) => certificateFields(whole) !== undefined);
    return (path ? inner : elements).map(({ whole }) => whole);
  } catch (error) {
    if (!(error instanceof Asn1Fault)) throw error;
    const code = error.truncated ? 'keystore_truncated' : 'keystore_damaged';
    throw keystoreFault(code, { file, format, found: error.message }, error);
  }
}

/** Line breaks, zeros and the end mark of DOS (Ctrl-Z), as editors and copying in text mode append them. */
export function isBlank(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0x0a || byte === 0x0d || byte === 0x20 || byte === 0x00 || byte === 0x1a);
}
