import { describe, expect, it } from 'vitest';
import { facts, fingerprint, recordOf, shown, table } from '../../../central/cli/print.ts';

describe('what queuegate prints', () => {
  it('is a table with columns as wide as their widest cell, without blanks at the end of a line', () => {
    expect(
      table(
        ['name', 'state'],
        [
          ['a', 'online'],
          ['longer', null],
        ],
        'none',
      ),
    ).toBe('NAME    STATE\na       online\nlonger  -');
    expect(table(['name'], [], 'No agents.')).toBe('No agents.');
  });

  it('is names and values, aligned', () => {
    expect(
      facts([
        ['id', 'x'],
        ['name', ['a', 'b']],
      ]),
    ).toBe('id    x\nname  a, b');
  });

  it('shows what is absent as a dash, and anything else as one line', () => {
    expect([null, undefined, '', []].map((value) => shown(value))).toEqual(['-', '-', '-', '-']);
    expect(shown({ a: 1 })).toBe('{"a":1}');
    expect(shown(0)).toBe('0');
    const escaped = shown('a\nb\u001B[2Jc');
    expect([escaped.includes('\n'), escaped.includes('\u001B')]).toEqual([false, false]);
  });

  it('shows a thumbprint in pairs, as keytool and openssl do', () => {
    expect(fingerprint('0a1b2c')).toBe('0A:1B:2C');
    expect(fingerprint(null)).toBe('-');
  });

  it('takes for an object only what is one', () => {
    expect([recordOf({ a: 1 }), recordOf(null), recordOf([1]), recordOf('x')]).toEqual([{ a: 1 }, {}, {}, {}]);
  });
});
