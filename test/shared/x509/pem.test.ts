import { describe, expect, it } from 'vitest';
import { decodeBlock, derInPem, PEM_LIMITS, pemBlocks, type PemFault, pemOf } from '../../../shared/x509/pem.ts';

const bytes = Buffer.from(Array.from({ length: 100 }, (_, i) => i));
const block = pemOf('CERTIFICATE', bytes);

describe('PEM', () => {
  it('is written in lines of 64 characters, and read back', () => {
    expect(block).toMatch(/^-----BEGIN CERTIFICATE-----\n(?:.{64}\n)+.{1,64}\n-----END CERTIFICATE-----\n$/);
    expect(derInPem(block, ['CERTIFICATE'])).toEqual([bytes]);
  });

  it('is read with any line ends, blanks at the edges and text between the blocks', () => {
    const noise: string[] = [];
    const text = `first\r\n${block.replaceAll('\n', '\r\n')}  between  \r${block.replaceAll('\n', '\r')}last`;
    const found = [...pemBlocks(text, PEM_LIMITS, { onText: (line) => noise.push(line) })];
    expect(found.map((one) => decodeBlock(one))).toEqual([bytes, bytes]);
    expect(noise).toEqual(['first', 'between', 'last']);
    expect(found[0]).toMatchObject({ label: 'CERTIFICATE', line: 2, lastLine: 6 });
  });

  it('passes over blocks that are not asked for, whatever they hold', () => {
    const other = '-----BEGIN X-----\nnot base64!\n-----END X-----\n';
    expect(derInPem(`${other}${block}`, ['CERTIFICATE'])).toEqual([bytes]);
    expect(() => derInPem(other, ['X'])).toThrow('the lines of "X" on line 1 are not base64');
  });

  it('takes only padded base64 for the bytes of a block', () => {
    expect(decodeBlock({ body: ['QU', 'JD'] })).toEqual(Buffer.from('ABC'));
    expect(decodeBlock({ body: ['QU I=', ' '] })).toEqual(Buffer.from('AB'));
    for (const body of [[], [''], ['QUJ'], ['QUJD='], ['QQ==QQ=='], ['QU-D']])
      expect(decodeBlock({ body })).toBeUndefined();
  });

  it.each([
    ['open', '-----BEGIN A-----\nQUJD\n', '"BEGIN A" of line 1 has no END'],
    ['crossed', '-----BEGIN A-----\n-----BEGIN B-----\n', '"BEGIN A" of line 1 meets "BEGIN B" on line 2'],
    ['crossed', '-----BEGIN A-----\n-----END B-----\n', '"BEGIN A" of line 1 meets "END B" on line 2'],
  ])('is refused when a block is %s', (kind, text, fault) => {
    expect(() => [...pemBlocks(text, PEM_LIMITS)]).toThrow(fault);
    expect(() => derInPem(text, [])).toThrow(expect.objectContaining({ kind }) as PemFault);
  });

  it('is bounded in length and in blocks', () => {
    const limits = { maxLength: block.length * 2, maxBlocks: 1 };
    expect(derInPem(block, ['CERTIFICATE'], limits)).toHaveLength(1);
    expect(() => derInPem(block.repeat(2), ['CERTIFICATE'], limits)).toThrow('more than 1 PEM blocks');
    expect(() => derInPem(`${block.repeat(2)} `, ['CERTIFICATE'], limits)).toThrow('allowed are');
  });

  it('takes an END without a BEGIN, and a label that is too long, for text', () => {
    const long = `-----BEGIN ${'A'.repeat(65)}-----`;
    expect([...pemBlocks(`-----END A-----\n${long}\n`, PEM_LIMITS)]).toEqual([]);
    expect([
      ...pemBlocks(`-----BEGIN ${'A'.repeat(64)}-----\n-----END ${'A'.repeat(64)}-----`, PEM_LIMITS),
    ]).toHaveLength(1);
  });
});

describe('blocks without their end', () => {
  const read = (count: number): number => {
    let passedOver = 0;
    const text = '-----BEGIN CERTIFICATE-----\n'.repeat(count);
    for (const _block of pemBlocks(text, { maxLength: 1e6, maxBlocks: 1e5 }, { onFault: () => (passedOver += 1) }));
    return passedOver;
  };

  it('are passed over up to a thousand; a file with more is refused', () => {
    expect(read(1_000)).toBe(1_000);
    expect(() => read(1_001)).toThrow('more than 1000 PEM blocks without their end');
  });
});
