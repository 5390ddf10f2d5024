// Loads the trusted certificates of the profile's truststore as PEM for TLS. Any fault of the store is an error:
// there is no connection without verification, and no partial list. Listing and changing stores is
// shared/truststore/.
import type { X509Certificate } from 'node:crypto';
import { readBoundedFile } from '../../shared/files/bounded-file.ts';
import { keystoreFault } from '../../shared/keystore/errors.ts';
import {
  FORMAT_NAMES,
  MAX_STORE_BYTES,
  parseCertificate,
  aliasLine,
  subjectLine,
  thumbprint,
  whyUnreadable,
  type StoreFormat,
} from '../../shared/keystore/material.ts';
import { openStore } from '../../shared/keystore/open.ts';
import { pemOf } from '../../shared/x509/pem.ts';
import { day, namesOf, trustedEntries } from '../../shared/truststore/entries.ts';
import { hasUnreadableDate, validityOf } from '../../shared/x509/validity.ts';
import { agentFault } from '../errors.ts';
import { importCommand } from './import-command.ts';

interface TruststoreRequest {
  readonly path: string;
  /** Unknown: `changeit` is tried. */
  readonly password?: string | undefined;
  /** trustStoreType; a wrong one is a warning. */
  readonly declaredType?: string | undefined;
  readonly now?: Date;
  /** The setting that names the store of the operating system instead of a file. */
  readonly system?: string | undefined;
  /** What is wrong with the path, should there be no file. */
  readonly hints?: readonly string[];
  /** Where the password is set. */
  readonly passwordHint?: string | undefined;
}

export interface TrustedCertificate {
  readonly alias: string;
  readonly subject: string;
  readonly notAfter: Date;
  /** SHA-256, AB:CD:... */
  readonly thumbprint: string;
  readonly pem: string;
}

export interface Truststore {
  readonly format: StoreFormat;
  /**
   * For `ca` of tls.connect, beside `allowPartialTrustChain: true`: to Java every entry is an anchor, an intermediate
   * or a server's own certificate too, to OpenSSL only a self-signed one is without that option.
   */
  readonly ca: readonly string[];
  readonly certificates: readonly TrustedCertificate[];
  readonly warnings: readonly string[];
}

/** Loads the store at `path`. Throws file and keystore faults; never returns an empty `ca`. */
export async function loadTruststore({
  path,
  password,
  declaredType,
  now = new Date(),
  system,
  hints = [],
  passwordHint,
}: TruststoreRequest): Promise<Truststore> {
  const bytes = await readBoundedFile({
    path,
    what: 'The truststore',
    maxBytes: MAX_STORE_BYTES,
    hint:
      hints.length > 0
        ? hints.join(' ')
        : `Copy it there, or make one from the root certificate of Central: ${importCommand(path, 'central-root.cer')}`,
    ...(system === undefined ? {} : { ifMissing: 'ignore' }),
  });
  if (bytes === undefined)
    throw agentFault('truststore_of_system', {
      file: path,
      found: system ?? '',
      command: importCommand(path, 'central-root.cer'),
    });
  const store = await openStore({ bytes, file: path, password, declaredType, passwordHint });
  const warnings = [...store.warnings];
  for (const other of namedOthers(store.others)) warnings.push(`${path} holds ${other}, which is not used.`);
  if (system !== undefined)
    warnings.push(
      `${system} in jetty.jvm.args means the store of the operating system, which this agent does not read; ${path} is used instead.`,
    );
  const read = readTrusted(
    trustedEntries(store, path).map(({ alias, certificates: [der] }) => ({ alias, der })),
    path,
    now,
  );
  if (read.ca.length === 0)
    throw keystoreFault('keystore_no_certificate', {
      file: path,
      format: FORMAT_NAMES[store.format],
      found: 'certificates that OpenSSL does not read',
    });
  return { ...read, format: store.format, warnings: [...warnings, ...read.warnings] };
}

/** Of certificates in `file`, those that OpenSSL reads; the others are warnings. */
export function readTrusted(
  entries: Iterable<{ readonly alias: string; readonly der: Buffer }>,
  file: string,
  now: Date,
): Omit<Truststore, 'format'> {
  const warnings: string[] = [];
  const certificates: TrustedCertificate[] = [];
  for (const { alias, der } of entries) {
    const certificate = parseCertificate(der);
    // Java tolerates certificates that OpenSSL does not read. One of them must not take the others with it.
    if (certificate === undefined) {
      warnings.push(`"${aliasLine(alias)}" in ${file} cannot be read and is left out: ${whyUnreadable(der)}.`);
      continue;
    }
    if (hasUnreadableDate(certificate)) {
      warnings.push(
        `"${aliasLine(alias)}" in ${file} (${subjectLine(certificate)}) has an unreadable date and is left out.`,
      );
      continue;
    }
    const validity = validityWarning(certificate, now);
    if (validity !== undefined) warnings.push(`"${aliasLine(alias)}" in ${file} ${validity}`);
    certificates.push({
      alias,
      subject: subjectLine(certificate),
      notAfter: validityOf(certificate).to,
      thumbprint: thumbprint(der),
      pem: pemOf('CERTIFICATE', der),
    });
  }
  return { ca: certificates.map(({ pem }) => pem), certificates, warnings };
}

/** Private keys do not belong in a truststore, but they do no harm there. */
function namedOthers(others: readonly string[]): string[] {
  const odd = others.filter((label) => !label.endsWith('PRIVATE KEY'));
  return odd.length === 0 ? [] : [namesOf(odd)];
}

/** What is wrong with the dates of a trusted certificate, to follow its alias and file; undefined: nothing. */
function validityWarning(certificate: X509Certificate, now: Date): string | undefined {
  const { from, to } = validityOf(certificate);
  if (to < now)
    return `expired on ${day(to)} (${subjectLine(certificate)}): a Central that shows a certificate under it is refused.`;
  if (from > now)
    return `is valid from ${day(from)} on only (${subjectLine(certificate)}): look at the clock of this machine, ${day(now)}.`;
  return undefined;
}
