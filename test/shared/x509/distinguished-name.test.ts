import { describe, expect, it } from 'vitest';
import { readDistinguishedName } from '../../../shared/x509/distinguished-name.ts';

const text = (type: string, value: string) => ({ type, value, hex: false });

describe('a distinguished name', () => {
  it('is read as its relative names with their attributes, in order', () => {
    expect(readDistinguishedName('CN=a,O=b+OU=c,2.5.4.6=DE')).toEqual([
      [text('CN', 'a')],
      [text('O', 'b'), text('OU', 'c')],
      [text('2.5.4.6', 'DE')],
    ]);
  });

  it('loses blanks around types and values, and keeps those that are escaped, quoted or inside', () => {
    expect(readDistinguishedName(String.raw` CN = a b  , O =\ c\ , OU=" d "`)).toEqual([
      [text('CN', 'a b')],
      [text('O', ' c ')],
      [text('OU', ' d ')],
    ]);
  });

  it('is read without its escapes: characters, bytes of UTF-8, quotation marks', () => {
    expect(readDistinguishedName(String.raw`CN=a\,b\+c\"d,O=\C3\A4\e2\82\ac,OU="x, y+z"`)).toEqual([
      [text('CN', 'a,b+c"d')],
      [text('O', 'ä€')],
      [text('OU', 'x, y+z')],
    ]);
  });

  it('keeps a value of hexadecimal digits as digits', () => {
    expect(readDistinguishedName('CN=#0c0161,O=b')).toEqual([
      [{ type: 'CN', value: '0c0161', hex: true }],
      [text('O', 'b')],
    ]);
  });

  it.each([
    ['', 'it is empty'],
    ['   ', 'it is empty'],
    ['CN', '"CN" has no "="'],
    ['CN=a,', '"" has no "="'],
    ['=a', 'not an attribute type'],
    ['C N=a', 'not an attribute type'],
    ['1.=a', 'not an attribute type'],
    ['3.1=a', 'not an attribute type'],
    ['CN=', 'the value of CN is empty'],
    ['CN=,O=a', 'the value of CN is empty'],
    ['CN=a"b', 'needs a backslash'],
    ['CN="a', 'not closed'],
    ['CN="a"b', 'follows a closing quotation mark'],
    ['CN=a\\', 'ends with a backslash'],
    ['CN=#', 'not hexadecimal'],
    ['CN=#0', 'not hexadecimal'],
    ['CN=#0g', 'not hexadecimal'],
  ])('%j is refused: %s', (name, fault) => {
    expect(() => readDistinguishedName(name)).toThrow(fault);
  });

  it('is bounded in length and in attributes', () => {
    expect(readDistinguishedName(Array.from({ length: 256 }, () => 'CN=a').join(','))).toHaveLength(256);
    expect(() => readDistinguishedName(Array.from({ length: 257 }, () => 'CN=a').join('+'))).toThrow('more than 256');
    expect(() => readDistinguishedName(`CN=${'a'.repeat(64 * 1024)}`)).toThrow('allowed are 65536');
  });
});
