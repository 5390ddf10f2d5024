// The dates of a certificate: what RFC 5280 allows is read as it is written, everything else is an invalid date, and
// the same one each time. node:crypto returns uninitialized memory for a date that is not in the calendar: one look
// proves nothing.
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { parseCertificate } from '../../../shared/keystore/material.ts';
import { firstInPem } from '../../../shared/x509/certificates.ts';
import { byExpiry, hasUnreadableDate, timeLine, validityOf } from '../../../shared/x509/validity.ts';
import { datedCertificate, generalizedTime, utcTime } from './dated.ts';

const FIELD = new URL('../../fixtures/field-files/', import.meta.url).pathname;
const START = utcTime('250101000000Z');
const TIMES = 200;

const READABLE: readonly (readonly [string, Buffer, string])[] = [
  ['UTCTime 50, the first of the last century', utcTime('500101000000Z'), '1950-01-01T00:00:00.000Z'],
  ['UTCTime 99', utcTime('991231235959Z'), '1999-12-31T23:59:59.000Z'],
  ['UTCTime 00', utcTime('000229120000Z'), '2000-02-29T12:00:00.000Z'],
  ['UTCTime 49, the last of this century', utcTime('491231235959Z'), '2049-12-31T23:59:59.000Z'],
  ['GeneralizedTime before 2050', generalizedTime('20250101000000Z'), '2025-01-01T00:00:00.000Z'],
  ['GeneralizedTime from 2050 on', generalizedTime('20500101000000Z'), '2050-01-01T00:00:00.000Z'],
  ['a leap day', generalizedTime('24000229000000Z'), '2400-02-29T00:00:00.000Z'],
  ['no expiry (RFC 5280 section 4.1.2.5)', generalizedTime('99991231235959Z'), '9999-12-31T23:59:59.000Z'],
  ['a year of three digits', generalizedTime('09990101000000Z'), '0999-01-01T00:00:00.000Z'],
];

const UNREADABLE: readonly (readonly [string, Buffer])[] = [
  ['30 February', utcTime('250230000000Z')],
  ['29 February of another year', utcTime('250229000000Z')],
  ['29 February 2100', generalizedTime('21000229000000Z')],
  ['30 February, GeneralizedTime', generalizedTime('20250230000000Z')],
  ['31 April', utcTime('250431000000Z')],
  ['a day 0', utcTime('250100000000Z')],
  ['a day 32', utcTime('250132000000Z')],
  ['a month 0', utcTime('250001000000Z')],
  ['a month 13', utcTime('251301000000Z')],
  ['an hour 24', utcTime('250101240000Z')],
  ['a minute 60', utcTime('250101006000Z')],
  ['a second 60', utcTime('250630235960Z')],
  ['a year 0', generalizedTime('00000101000000Z')],
  ['no seconds', utcTime('2501010000Z')],
  ['no seconds, GeneralizedTime', generalizedTime('202501010000Z')],
  ['fractions', generalizedTime('20250101000000.5Z')],
  ['an offset', utcTime('250101000000+0100')],
  ['an offset, GeneralizedTime', generalizedTime('20250101000000+0100')],
  ['no zone', generalizedTime('20250101000000')],
  ['a sign', utcTime('-50101000000Z')],
  ['letters', utcTime('25O101000000Z')],
  ['digits of another script', generalizedTime('2025\u00b2101000000Z')],
  ['a line break behind it', utcTime('250101000000Z\n')],
  ['nothing', utcTime('')],
  ['thousands of bytes', generalizedTime('9'.repeat(5_000))],
];

/** Other certificates are read in between, so that what a reader leaves in memory differs at each look. */
function looksAt(der: Buffer): Set<number> {
  const ends = new Set<number>();
  const churn: unknown[] = [];
  for (let look = 0; look < TIMES; look += 1) {
    churn.push(parseCertificate(datedCertificateOf(look)), Buffer.alloc(64 + (look % 7) * 24, look));
    const certificate = parseCertificate(der);
    ends.add(validityOf(certificate ?? { raw: der }).to.getTime());
    if (look % 50 === 49) churn.length = 0;
  }
  return ends;
}

const others = Array.from({ length: 20 }, (_, place) =>
  datedCertificate(START, generalizedTime(`20${30 + place}0102030405Z`)),
);

function datedCertificateOf(look: number): Buffer {
  return others[look % others.length]?.der ?? Buffer.alloc(0);
}

describe('the dates of a certificate', () => {
  test.each(READABLE)('reads %s', (_, time, iso) => {
    const { der } = datedCertificate(START, time);
    const certificate = parseCertificate(der);
    // OpenSSL reads each of them too.
    expect(certificate).toBeDefined();
    expect(timeLine(validityOf({ raw: der }).to)).toBe(iso);
    expect(certificate && hasUnreadableDate(certificate)).toBe(false);
  });

  test.each(UNREADABLE)('does not read %s, however often it looks', (_, time) => {
    const { der } = datedCertificate(START, time);
    expect([...looksAt(der)]).toEqual([Number.NaN]);
    expect(hasUnreadableDate({ raw: der })).toBe(true);
    expect(hasUnreadableDate({ raw: datedCertificate(time, START).der })).toBe(true);
    expect(timeLine(validityOf({ raw: der }).to)).toBe('an unreadable date');
  });

  test('reads certificates of the three versions, and those of the field', () => {
    expect(validityOf(firstInPem(readFileSync(`${FIELD}es.pem`, 'utf8'))).to.getTime()).toBeGreaterThan(0);
    expect(timeLine(validityOf(firstInPem(readFileSync(`${FIELD}bad-feb30.pem`, 'utf8'))).from)).toBe(
      '2025-01-01T00:00:00.000Z',
    );
  });

  test('never throws: a validity of one date or of three, and bytes that are not a certificate', () => {
    for (const raw of [
      datedCertificate(START).der,
      datedCertificate(START, START, START).der,
      datedCertificate().der,
      Buffer.from('3003020100', 'hex'),
      Buffer.from('no certificate'),
      Buffer.alloc(0),
    ])
      expect(hasUnreadableDate({ raw })).toBe(true);
  });

  test('sorts what expires last to the front, and what has no readable date to the end', () => {
    const [long, short, odd] = ['20490101000000Z', '20300101000000Z', '20250230000000Z'].map((text) => ({
      raw: datedCertificate(START, generalizedTime(text)).der,
    }));
    const [first, ...rest] = [odd, short, long, odd, short].filter((one) => one !== undefined).toSorted(byExpiry);
    expect([first, ...rest]).toEqual([long, short, short, odd, odd]);
  });
});
