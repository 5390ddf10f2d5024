import { describe, expect, it } from 'vitest';
import { escapeLine, escapeLines } from '../../../shared/terminal/escape.ts';

describe('text for a terminal', () => {
  it('has no control of C0 or C1, no bidirectional control, no separator and no half of a surrogate pair', () => {
    expect(escapeLine('a\u001b[2J\u009b1m\u202egpj.exe\u2066\u2028\ufeff\ud800b')).toBe(
      'a\\u001b[2J\\u009b1m\\u202egpj.exe\\u2066\\u2028\\ufeff\\ud800b',
    );
    expect(escapeLine('one\ntwo\tthree')).toBe('one\\u000atwo\\u0009three');
  });

  it('of several lines keeps line feeds and tabs, and escapes the rest', () => {
    expect(escapeLines('one\ntwo\tthree\r\u0007')).toBe('one\ntwo\tthree\\u000d\\u0007');
  });

  it('leaves every other letter as it is, and is the same string inside JSON', () => {
    const text = 'Zürich 東京 שלום 😀 "\\"';
    expect(escapeLine(text)).toBe(text);
    const bidi = 'a\u202eb';
    expect(JSON.parse(escapeLine(JSON.stringify(bidi)))).toBe(bidi);
  });
});
