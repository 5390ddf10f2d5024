// Formats the entries of a store for display.
import type { X509Certificate } from 'node:crypto';
import { certificateFields } from '../x509/fields.ts';
import {
  counted,
  isSignedByAnotherKey,
  MAX_SIGNATURES,
  nameLine,
  oldThumbprint,
  parseCertificate,
  aliasLine,
  printableLine,
  subjectLine,
  thumbprint,
  whyUnreadable,
  type StoreEntry,
  type TrustedEntry,
} from '../keystore/material.ts';
import { hasUnreadableDate, validityOf } from '../x509/validity.ts';
import { day } from './entries.ts';

/** Of the alternative names of a certificate. */
const MAX_NAMES = 2_000;
/** Of one name in a warning, and of all warnings about names. */
const MAX_ALIASES = 10;
const MAX_WARNINGS = 20;

/** An entry in lines, a line break behind the last. */
export function describeEntry(entry: StoreEntry): string {
  const kinds = {
    trusted: 'trusted certificate',
    loose: 'certificate (not trusted)',
    key: `private key, chain of ${counted(entry.certificates.length, 'certificate')}`,
  } as const;
  const lines = [
    aliasLine(entry.alias),
    `  kind         ${kinds[entry.kind]}`,
    ...(entry.created === undefined ? [] : [`  created      ${day(entry.created)}`]),
  ];
  for (const [index, der] of entry.certificates.entries()) {
    if (index > 0) lines.push(`  signed by    certificate ${index + 1} of the chain`);
    lines.push(...certificateLines(der));
  }
  return `${lines.join('\n')}\n`;
}

function certificateLines(der: Buffer): string[] {
  const certificate = parseCertificate(der);
  const fields = certificate ?? certificateFields(der);
  const { from, to } = validityOf({ raw: der });
  return [
    ...(fields === undefined
      ? []
      : [
          `  subject      ${nameLine(fields.subject)}`,
          ...(certificate?.subjectAltName === undefined ? [] : [`  names        ${namesLine(certificate)}`]),
          `  issuer       ${nameLine(fields.issuer)}`,
          `  valid        ${day(from)} until ${day(to)}`,
        ]),
    ...(certificate === undefined ? [`  not used     it cannot be read: ${whyUnreadable(der)}`] : []),
    `  SHA-256      ${thumbprint(der)}`,
    `  SHA-1        ${oldThumbprint(der)}`,
  ];
}

function namesLine({ subjectAltName = '' }: X509Certificate): string {
  return printableLine(
    subjectAltName.length > MAX_NAMES ? `${subjectAltName.slice(0, MAX_NAMES)} ...` : subjectAltName,
  );
}

/**
 * Trusted certificates that are easily taken for each other: of one name with different keys, and one that names itself
 * as its issuer but is not signed by its own key (an authority and its server of one name).
 */
export function nameWarnings(entries: readonly TrustedEntry[]): string[] {
  const known = entries.flatMap(({ alias, certificates: [der] }) => {
    const certificate = parseCertificate(der);
    return certificate === undefined || certificate.subject === '' ? [] : [{ alias, certificate }];
  });
  const warnings: string[] = [];
  let signatures = MAX_SIGNATURES;
  for (const [, group] of Map.groupBy(known, ({ certificate }) => certificate.subject)) {
    const [first] = group;
    if (first === undefined) continue;
    const name = subjectLine(first.certificate);
    const keys = new Set(group.length === 1 ? [] : group.map(({ certificate }) => keyText(certificate)));
    if (keys.size > 1) {
      const aliases = group.slice(0, MAX_ALIASES).map(({ alias }) => `"${aliasLine(alias)}"`);
      if (group.length > MAX_ALIASES) aliases.push(`${group.length - MAX_ALIASES} more`);
      warnings.push(
        `${aliases.join(', ')} have one name (${name}) and different keys: only their fingerprints tell them apart.`,
      );
    }
    for (const { alias, certificate } of group.slice(0, MAX_ALIASES)) {
      if (certificate.subject !== certificate.issuer || signatures === 0) continue;
      signatures -= 1;
      if (isSignedByAnotherKey(certificate))
        warnings.push(
          `"${aliasLine(alias)}" (${name}) names itself as its issuer, but is not signed by its own key: another certificate of that name issued it.`,
        );
    }
  }
  return warnings.length > MAX_WARNINGS
    ? [...warnings.slice(0, MAX_WARNINGS), `${warnings.length - MAX_WARNINGS} more warnings about equal names.`]
    : warnings;
}

function keyText({ publicKey }: X509Certificate): string {
  try {
    return publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
  } catch {
    return 'unreadable'; // a key that OpenSSL does not read: two of them are not compared
  }
}

/** What is wrong with the dates of a certificate that is to be trusted; undefined when nothing is. */
export function dateWarning(der: Buffer, now: Date): string | undefined {
  const certificate = parseCertificate(der);
  if (certificate === undefined) return undefined;
  const name = subjectLine(certificate);
  if (hasUnreadableDate(certificate))
    return `${name} has an unreadable date: peers with a certificate under it are refused.`;
  const { from, to } = validityOf(certificate);
  if (to < now) return `${name} expired on ${day(to)}: peers with a certificate under it are refused.`;
  if (from > now) return `${name} is valid from ${day(from)} on only; the clock of this machine shows ${day(now)}.`;
  return undefined;
}
