import fc from 'fast-check';
import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { CHECKSUM_BYTES, hasChecksum, requireChecksum, withChecksum } from '../../../shared/wire/checksum.ts';
import { decodeFromAgent, encode, encodeMessages } from '../../../shared/wire/codec.ts';

const FRAME = encodeMessages(7, [
  '{"specversion":"1.0","id":"é","source":"/s","type":"t","data":{"crc32":"00000000"}}',
]);

describe('the checksum of a frame', () => {
  it('is the CRC-32 of all bytes before it, and leaves the frame what it is', () => {
    const frame = withChecksum(FRAME);
    expect(frame).toBe(`${FRAME.slice(0, -1)},"crc32":"${crc32(FRAME.slice(0, -1)).toString(16).padStart(8, '0')}"}`);
    expect(frame.length - FRAME.length).toBe(CHECKSUM_BYTES);
    expect(hasChecksum(Buffer.from(frame))).toBe(true);
    expect(decodeFromAgent(frame)).toMatchObject({ type: 'messages', first: 7, items: [{ kind: 'object' }] });
    expect(decodeFromAgent(withChecksum(encode({ type: 'ack', through: 9 })))).toMatchObject({
      type: 'ack',
      through: 9,
    });
  });

  it('shows every flipped bit of a frame of messages', () => {
    const sound = Buffer.from(withChecksum(FRAME));
    for (let bit = 0; bit < sound.length * 8; bit += 1) {
      const changed = Buffer.from(sound);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(() => requireChecksum('messages', hasChecksum(changed)), `bit ${bit}`).toThrow(
        expect.objectContaining({ code: 'frame_checksum', close: 4520, retryable: true }),
      );
    }
  });

  it('is asked of messages, and of other frames only validated when it is there', () => {
    expect(() => requireChecksum('messages', false)).toThrow(expect.objectContaining({ code: 'frame_checksum' }));
    expect(() => requireChecksum('ack', hasChecksum(Buffer.from('{"type":"ack","through":9}')))).not.toThrow();
    expect(() => hasChecksum(Buffer.from(withChecksum('{"type":"ack","through":9}').replace('9', '8')))).toThrow(
      expect.objectContaining({ code: 'frame_checksum' }),
    );
  });

  it('is refused with both sums, and with the size of the frame', () => {
    const frame = withChecksum('{"type":"ack","through":9}').replace('9', '8');
    const [found, expected] = [
      withChecksum('{"type":"ack","through":9}'),
      withChecksum('{"type":"ack","through":8}'),
    ].map((text) => text.slice(-10, -2));
    expect(() => hasChecksum(Buffer.from(frame))).toThrow(
      expect.objectContaining({
        parameters: {
          found: `a frame of ${frame.length} bytes has the checksum "${found}", and its bytes give ${expected}`,
        },
      }),
    );
    expect(() => requireChecksum('messages', false)).toThrow(
      expect.objectContaining({
        parameters: { found: 'messages came without a checksum on an unencrypted connection' },
      }),
    );
  });

  it('is not there where it would be all of the frame, or ends before it', () => {
    expect(hasChecksum(Buffer.from(',"crc32":"00000000"}'))).toBe(false);
    expect(hasChecksum(Buffer.from('{,"crc32":"00000000"'))).toBe(false);
    expect(hasChecksum(Buffer.from('"}'))).toBe(false);
  });

  it('is read in any bytes', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => !hasChecksum(Buffer.from(bytes))));
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) =>
        hasChecksum(Buffer.from(withChecksum(JSON.stringify({ text })))),
      ),
    );
    expect.assertions(0);
  });
});
