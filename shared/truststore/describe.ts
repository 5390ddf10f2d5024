// Formats the entries of a store for display.
import {
  counted,
  nameLine,
  oldThumbprint,
  parseCertificate,
  printableLine,
  thumbprint,
  type StoreEntry,
} from '../keystore/material.ts';
import { day } from './entries.ts';

/** An entry in lines, a line break behind the last. */
export function describeEntry(entry: StoreEntry): string {
  const kinds = {
    trusted: 'trusted certificate',
    loose: 'certificate (not trusted)',
    key: `private key, chain of ${counted(entry.certificates.length, 'certificate')}`,
  } as const;
  const lines = [
    printableLine(entry.alias),
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
  const facts =
    certificate === undefined
      ? ['  certificate  not readable']
      : [
          `  subject      ${nameLine(certificate.subject)}`,
          `  issuer       ${nameLine(certificate.issuer)}`,
          `  valid        ${day(certificate.validFromDate)} until ${day(certificate.validToDate)}`,
        ];
  return [...facts, `  SHA-256      ${thumbprint(der)}`, `  SHA-1        ${oldThumbprint(der)}`];
}

/** What is wrong with the dates of a certificate that is to be trusted; undefined when nothing is. */
export function dateWarning(der: Buffer, now: Date): string | undefined {
  const certificate = parseCertificate(der);
  if (certificate === undefined) return undefined;
  const name = nameLine(certificate.subject);
  if (certificate.validToDate < now)
    return `${name} expired on ${day(certificate.validToDate)}: peers with a certificate under it are refused.`;
  if (certificate.validFromDate > now)
    return `${name} is valid from ${day(certificate.validFromDate)} on only; the clock of this machine shows ${day(now)}.`;
  return undefined;
}
