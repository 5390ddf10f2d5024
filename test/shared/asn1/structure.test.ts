// The check of the structure of DER and BER, before a parser that calls itself sees the bytes.
import { describe, expect, test } from 'vitest';
import { CERTIFICATE_LIMITS, structureFault } from '../../../shared/asn1/structure.ts';
import { der, sequence, TAG } from '../../../shared/asn1/writer.ts';
import { nestedDer } from '../../bait.ts';

describe('a structure is refused before a parser that calls itself sees it', () => {
  test.each([
    ['deeper than its limit', nestedDer(2_000), /nested deeper than 32 levels/],
    [
      'deeper than its limit inside of octet strings',
      der(TAG.octets, nestedDer(2_000)),
      /nested deeper than 32 levels/,
    ],
    [
      'of more elements than its limit',
      sequence(Buffer.alloc(20_000, Buffer.from('0500', 'hex'))),
      /more than 4096 elements/,
    ],
    ['larger than its limit', sequence(der(TAG.octets, Buffer.alloc(70_000, 1))), /70\d\d\d bytes; allowed are 65536/],
    ['longer than its parent', Buffer.from('3003020501', 'hex'), /does not fit/],
    ['followed by more', Buffer.from('30000500', 'hex'), /bytes follow its end/],
    ['cut off', Buffer.from('30', 'hex'), /cut off/],
    ['nothing at all', Buffer.alloc(0), /cut off/],
    ['of indefinite length without an end', Buffer.from('30800500', 'hex'), /cut off/],
  ])('%s', (_, bytes, fault) => {
    expect(structureFault(bytes, CERTIFICATE_LIMITS)).toMatch(fault);
  });

  test('what DER allows in one form only is refused in others, where DER is asked for', () => {
    const strict = { ...CERTIFICATE_LIMITS, form: 'der' } as const;
    for (const other of ['308005000000', '30810205 00', '3082000205 00'].map((hex) =>
      Buffer.from(hex.replaceAll(' ', ''), 'hex'),
    )) {
      expect(structureFault(other, CERTIFICATE_LIMITS)).toBeUndefined();
      expect(structureFault(other, strict)).toMatch(/indefinite|shortest form/);
    }
    expect(structureFault(Buffer.from('30020500', 'hex'), strict)).toBeUndefined();
  });
});
