// Elements of DER and BER, and what is read out of them, against the bytes of X.690 and of real files.
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  Asn1Fault,
  bmpTextOf,
  elementsIn,
  expectTag,
  explicitOf,
  membersOf,
  octetsOf,
  oidOf,
  smallIntegerOf,
  withDerLengths,
} from '../../../shared/asn1/reader.ts';
import { CERTIFICATE_LIMITS, readElement } from '../../../shared/asn1/structure.ts';
import * as writer from '../../../shared/asn1/writer.ts';

const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex');
const first = (text: string) => elementsIn(hex(text), 'ber')[0];
const faultOf = (read: () => unknown): Asn1Fault => {
  try {
    read();
  } catch (error) {
    if (error instanceof Asn1Fault) return error;
    throw error;
  }
  throw new Error('it was read');
};

describe('elements', () => {
  test('keep their bytes, header and end mark included', () => {
    const [list] = elementsIn(hex('3080 0201 05 3080 0500 0000 0000'), 'ber');
    expect(list?.whole.toString('hex')).toBe('30800201053080050000000000');
    const [number, inner] = membersOf(list, 'the list');
    expect(number?.whole.toString('hex')).toBe('020105');
    expect(inner?.whole.toString('hex')).toBe('308005000000');
    expect(inner?.content.toString('hex')).toBe('0500');
  });

  test.each([
    ['of indefinite length in DER', '30800000', 'der', /indefinite/, false],
    ['with a length that is not the shortest', '308102 0500', 'der', /shortest form/, false],
    ['with a tag of two bytes', '1f8101 00', 'ber', /more than one byte/, false],
    ['longer than the bytes', '3005 0201', 'ber', /does not fit into the 2 that are left/, true],
    ['cut off in its length', '3082 01', 'ber', /length at offset 1/, true],
    ['without its end mark', '3080 0201 05', 'ber', /cut off/, true],
    ['of lengths that stay open 40 times', '3080'.repeat(40), 'ber', /nested deeper than 32/, false],
  ] as const)('are refused %s', (_, text, form, message, truncated) => {
    const fault = faultOf(() => elementsIn(hex(text), form));
    expect(fault.message).toMatch(message);
    expect(fault.truncated).toBe(truncated);
  });

  test('are refused with more than one at the top, or with another tag', () => {
    expect(() => readElement(hex('0500 0500'), CERTIFICATE_LIMITS, 'the key')).toThrow(
      'the key is not valid ASN.1: 2 bytes follow its end',
    );
    expect(() => expectTag(first('0500'), writer.TAG.set, 'the set')).toThrow('the set is missing or malformed');
    expect(() => membersOf(first('0500'), 'the list')).toThrow('the list is not a list');
    expect(() => explicitOf(first('a000'), 'the content')).toThrow('the content is missing');
  });
});

describe('values', () => {
  test.each([
    ['1.2.840.113549.1.7.1', '06092a864886f70d010701'],
    ['2.16.840.1.113894.746875.1.1', '060c6086480186f966adca7b0101'],
    ['2.999.3', '0603883703'],
    ['0.9', '060109'],
  ])('object identifier %s', (text, bytes) => {
    expect(writer.oid(text).toString('hex')).toBe(bytes);
    expect(oidOf(first(bytes), 'it')).toBe(text);
  });

  test('each object identifier that is written is read again', () => {
    const part = fc.integer({ min: 0, max: 2 ** 40 });
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 2 }), fc.integer({ min: 0, max: 39 }), fc.array(part), (a, b, parts) => {
        const text = [a, b, ...parts.slice(0, 8)].join('.');
        expect(oidOf(elementsIn(writer.oid(text), 'der')[0], 'it')).toBe(text);
      }),
    );
  });

  test.each([
    ['empty', '0600'],
    ['cut off', '06022a86'],
    ['with zeros before a part', '06032a8001'],
    ['of 65 bytes', `0641${'01'.repeat(65)}`],
    ['of another tag', '04012a'],
  ])('an object identifier is refused %s', (_, text) => {
    expect(() => oidOf(first(text), 'the type')).toThrow('the type is not an object identifier');
  });

  test('an octet string in pieces, and under an implicit tag', () => {
    expect(octetsOf(first('2480 0402 0102 2403 0401 03 0000'), 'it').toString('hex')).toBe('010203');
    expect(octetsOf(first('8002 0102'), 'it').toString('hex')).toBe('0102');
    expect(() => octetsOf(first('2403 0201 05'), 'the salt')).toThrow('the salt is not an octet string');
  });

  test('numbers below 2^31 and no others', () => {
    expect(smallIntegerOf(elementsIn(writer.integer(2 ** 31 - 1), 'der')[0], 'it')).toBe(2 ** 31 - 1);
    expect(writer.integer(0).toString('hex')).toBe('020100');
    expect(writer.integer(128).toString('hex')).toBe('02020080');
    for (const text of ['0201ff', '02050080000000', '0200'])
      expect(() => smallIntegerOf(first(text), 'the count')).toThrow('the count is not a small number');
  });

  test('the text of a BMPString', () => {
    expect(bmpTextOf(elementsIn(writer.bmp('Zürich €'), 'der')[0])).toBe('Zürich €');
    expect(bmpTextOf(first('1e03 004100'))).toBeUndefined();
    expect(bmpTextOf(first('0c01 41'))).toBeUndefined();
  });
});

test('BER gets the lengths of DER, and keeps all else', () => {
  const ber = hex('3080 24800401010000 3082 0003 020105 0000');
  const element = readElement(ber, { ...CERTIFICATE_LIMITS, octets: false }, 'it');
  expect(withDerLengths(element).toString('hex')).toBe('300a24030401013003020105');
  const long = writer.sequence(writer.octets(Buffer.alloc(300, 1)));
  expect(withDerLengths(readElement(long, CERTIFICATE_LIMITS, 'it')).equals(long)).toBe(true);
});
