import { describe, expect, it } from 'vitest';
import { facts, fingerprint, recordOf, shown, table } from '../../../central/cli/print.ts';

const PLAIN = { isWide: false, width: undefined } as const;

describe('what queuegate prints', () => {
  it('shortens ids to 8 digits, and to more where 8 are ambiguous; wide shows them whole', () => {
    const ids = [`01234567${'0'.repeat(56)}`, `89abcdef0${'1'.repeat(55)}`, `89abcdef1${'1'.repeat(55)}`, 'named'];
    const rows = ids.map((id) => [id, 'ab'.repeat(32)]);
    const lines = (isWide: boolean): string[] =>
      table(['id', 'key (sha256)'], rows, '', { isWide, width: undefined }).split('\n').slice(1);
    expect(lines(false)).toEqual(
      ['012345670', '89abcdef0', '89abcdef1', 'named    '].map((id) => `${id}  ${'ab'.repeat(32)}`),
    );
    expect(lines(true).map((line) => line.split(' ')[0])).toEqual(ids);
    expect(table(['id'], [ids.slice(0, 1)], '', PLAIN)).toBe('ID\n01234567');
  });

  it('cuts lines that are longer than the terminal, and nothing elsewhere or with wide', () => {
    const rows = [['a', 'a long text']];
    expect(table(['x', 'y'], rows, '', { isWide: false, width: 9 })).toBe('X  Y\na  a lon\u2026');
    expect(table(['x', 'y'], rows, '', { isWide: false, width: 14 })).toBe('X  Y\na  a long text');
    expect(table(['x', 'y'], rows, '', { isWide: true, width: 9 })).toBe('X  Y\na  a long text');
    expect(table(['x', 'y'], rows, '', PLAIN)).toBe('X  Y\na  a long text');
  });

  it('is a table with columns as wide as their widest cell, without blanks at the end of a line', () => {
    expect(
      table(
        ['name', 'state'],
        [
          ['a', 'online'],
          ['longer', null],
        ],
        'none',
        PLAIN,
      ),
    ).toBe('NAME    STATE\na       online\nlonger  -');
    expect(table(['name'], [], 'No agents.', PLAIN)).toBe('No agents.');
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
