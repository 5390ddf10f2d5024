// Prepares entries for the format that they are written in: aliases that it can hold, no two alike to Java, and chains
// that PKCS#12, which links certificates by their names, reads back. Reports what is not as it was.
import { aliasLine, parseCertificate, printableLine, type KeyEntry, type StoreEntry } from '../keystore/material.ts';
import { aliasKey, EntryIndex } from './entries.ts';
import { truststoreFault } from './errors.ts';
import type { WritableFormat } from './write.ts';

interface Prepared {
  readonly entries: StoreEntry[];
  /** What is not as it was, as parts of a sentence. */
  readonly notes: readonly string[];
}

/** JKS has two bytes for the length of an alias (java.io.DataOutput.writeUTF), with up to three bytes a character. */
const MAX_JKS_ALIAS = 0xffff;
/** Of a PEM comment, and of what is left of an alias that is too long. */
const MAX_ALIAS = 255;

/** The entries as `format` holds them. Throws truststore_chain_invalid. */
export function prepareEntries(file: string, entries: readonly StoreEntry[], format: WritableFormat): Prepared {
  const index = new EntryIndex([]);
  const notes: string[] = [];
  const prepared = entries.map((entry) => {
    const alias = index.freeAlias(fittingAlias(entry.alias, format));
    index.add({ ...entry, alias });
    if (aliasKey(alias) !== aliasKey(entry.alias))
      notes.push(`the alias "${aliasLine(entry.alias)}" is "${aliasLine(alias)}" there`);
    return entry.kind === 'key' && format === 'pkcs12'
      ? { ...entry, alias, certificates: chainOf(file, entry, notes) }
      : { ...entry, alias };
  });
  return { entries: prepared, notes };
}

function fittingAlias(alias: string, format: WritableFormat): string {
  // A PEM comment is one line, whose blanks at the ends do not count.
  if (format === 'pem') return printableLine(alias).trim().slice(0, MAX_ALIAS).trim() || 'certificate';
  const name = alias.toLowerCase();
  return format === 'jks' && modifiedLength(name) > MAX_JKS_ALIAS ? name.slice(0, MAX_ALIAS) : name;
}

/** Of Java's modified UTF-8. */
function modifiedLength(text: string): number {
  let length = 0;
  for (let i = 0; i < text.length; i += 1) {
    const unit = text.charCodeAt(i);
    length += unit !== 0 && unit < 0x80 ? 1 : unit < 0x800 ? 2 : 3;
  }
  return length;
}

/**
 * Why PKCS#12 cannot hold the chain, as the end of a sentence. As for keytool (PKCS12KeyStore.validateChain) each
 * certificate is issued by the next, and none is there twice.
 */
export function chainFault({ certificates }: KeyEntry): string | undefined {
  const parsed = certificates.map((der) => parseCertificate(der));
  const seen = new Set<string>();
  for (const [place, certificate] of parsed.slice(0, -1).entries()) {
    const next = parsed[place + 1];
    if (certificate === undefined || next === undefined)
      return `certificate ${place + (certificate === undefined ? 1 : 2)} cannot be read`;
    seen.add(certificate.fingerprint256);
    if (seen.has(next.fingerprint256)) return `certificate ${place + 2} is in it twice`;
    if (certificate.issuer !== next.subject)
      return `certificate ${place + 2} is not the issuer of certificate ${place + 1}`;
  }
  return undefined;
}

function chainOf(file: string, entry: KeyEntry, notes: string[]): readonly Buffer[] {
  const { alias, certificates } = entry;
  const found = chainFault(entry);
  if (found !== undefined) throw truststoreFault('truststore_chain_invalid', { file, alias: aliasLine(alias), found });
  const parsed = certificates.map((der) => parseCertificate(der));
  // There the readers of PKCS#12, Java's too, take the chain for complete.
  const end = parsed.findIndex(
    (certificate) => certificate !== undefined && certificate.subject === certificate.issuer,
  );
  if (end === -1 || end === certificates.length - 1) return certificates;
  notes.push(
    `the chain of "${aliasLine(alias)}" ends there with certificate ${end + 1}, whose subject and issuer are alike`,
  );
  return certificates.slice(0, end + 1);
}
