// Reads from when until when a certificate is valid (RFC 5280 section 4.1.2.5), out of its own bytes: for a date that
// is not in the calendar (30 February), node:crypto returns whatever was in memory before, a different date each time.
// Nothing else may read dates of certificates (test/shared/x509/untrusted-parsers.test.ts).
import { Asn1Element, Asn1Fault, membersOf } from '../asn1/reader.ts';
import { TAG } from '../asn1/writer.ts';

interface Validity {
  /** Each is an Invalid Date where the certificate has no readable one: comparisons with it are false. */
  readonly from: Date;
  readonly to: Date;
}

/** Of node:crypto, or only its bytes. */
interface DerCertificate {
  readonly raw: Buffer;
}

/** [0]: the version of a certificate. */
const VERSION = 0xa0;
/** Behind serial number, signature algorithm and issuer. */
const VALIDITY_PLACE = 3;

/** The dates of a certificate, microseconds each time. Never throws. */
export function validityOf({ raw }: DerCertificate): Validity {
  try {
    const [signed] = membersOf(new Asn1Element(raw, 0, raw.length, 'ber'), 'the certificate');
    const fields = membersOf(signed, 'the certificate');
    const [from, to, ...more] = membersOf(fields[VALIDITY_PLACE + (fields[0]?.tag === VERSION ? 1 : 0)], 'the dates');
    if (more.length === 0) return { from: timeIn(from), to: timeIn(to) };
  } catch (error) {
    if (!(error instanceof Asn1Fault)) throw error;
  }
  return { from: new Date(Number.NaN), to: new Date(Number.NaN) };
}

/** 30 February, a month 13: OpenSSL refuses every chain with such a certificate, so nothing may be trusted by it. */
export function hasUnreadableDate(certificate: DerCertificate): boolean {
  const { from, to } = validityOf(certificate);
  return Number.isNaN(from.getTime()) || Number.isNaN(to.getTime());
}

/** For `toSorted`: what expires last comes first, what has no readable date last. */
export function byExpiry(one: DerCertificate, other: DerCertificate): number {
  const [end, otherEnd] = [one, other].map((certificate) => validityOf(certificate).to.getTime());
  return numberOr(otherEnd) - numberOr(end);
}

function numberOr(time: number | undefined): number {
  return time === undefined || Number.isNaN(time) ? -Number.MAX_SAFE_INTEGER : time;
}

/** A date of a certificate for messages. */
export function timeLine(date: Date): string {
  return Number.isNaN(date.getTime()) ? 'an unreadable date' : date.toISOString();
}

/**
 * A UTCTime or GeneralizedTime in the one form that certificates may have: with seconds, in UTC, without fractions.
 * OpenSSL verifies no certificate with another one.
 */
function timeIn(time: Asn1Element | undefined): Date {
  const form =
    time?.tag === TAG.utcTime ? /^(?<year>\d\d)(?<rest>\d{10})Z$/ : /^(?<year>(?!0000)\d{4})(?<rest>\d{10})Z$/;
  const known = time?.tag === TAG.utcTime || time?.tag === TAG.generalizedTime;
  // No longer text than it may be; latin1 keeps one character for each byte.
  const { year = '', rest = '' } =
    (known ? form.exec(time.content.subarray(0, 16).toString('latin1')) : null)?.groups ?? {};
  const century = year.length === 4 ? '' : Number(year) < 50 ? '20' : '19';
  const [month, day, hour, minute, second] = rest.match(/../g) ?? [];
  const iso = `${century}${year}-${month}-${day}T${hour}:${minute}:${second}.000Z`;
  const date = new Date(iso);
  // JavaScript takes 30 February for 2 March, and 24:00:00 for the next day.
  return !Number.isNaN(date.getTime()) && date.toISOString() === iso ? date : new Date(Number.NaN);
}
