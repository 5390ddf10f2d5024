// The checksum of frames on an unencrypted connection: TCP's own has 16 bits and ends at each middlebox, TLS has one,
// plain ws has none. It is the last member of a frame, `,"crc32":"xxxxxxxx"}`, eight hexadecimal digits: the CRC-32
// (ISO 3309, as in zlib) of all bytes of the frame before its comma. So it covers what a frame is and where it begins
// as much as its items, and is validated on the bytes, before anything is parsed. It finds faults of a line, and proves
// nothing against an attacker.
import { crc32 } from 'node:zlib';
import { refusal } from './refusals.ts';

/** Bytes that it adds to a frame. */
export const CHECKSUM_BYTES = ',"crc32":"00000000"'.length;
const MEMBER = Buffer.from(',"crc32":"');
const END = Buffer.from('"}');
/** The member and the closing bracket behind it. */
const TAIL_BYTES = CHECKSUM_BYTES + 1;

/** The frame with its checksum. `text` is a JSON object with members, and ends with its closing bracket. */
export function withChecksum(text: string): string {
  const covered = text.slice(0, -1);
  return `${covered},"crc32":"${hexOf(crc32(covered))}"}`;
}

/** True when the frame carries a checksum. Throws frame_checksum when it carries a wrong one. */
export function hasChecksum(frame: Buffer): boolean {
  const at = frame.length - TAIL_BYTES;
  if (at < 1 || !frame.subarray(at, at + MEMBER.length).equals(MEMBER) || !frame.subarray(-END.length).equals(END))
    return false;
  const found = frame.toString('latin1', at + MEMBER.length, frame.length - END.length);
  const expected = hexOf(crc32(frame.subarray(0, at)));
  if (found !== expected) {
    const sums = `has the checksum ${JSON.stringify(found)}, and its bytes give ${expected}`;
    throw refusal('frame_checksum', { found: `a frame of ${frame.length} bytes ${sums}` });
  }
  return true;
}

/** Refuses messages without a checksum on an unencrypted connection. */
export function requireChecksum(type: string, present: boolean): void {
  if (type !== 'messages' || present) return;
  throw refusal('frame_checksum', { found: 'messages came without a checksum on an unencrypted connection' });
}

function hexOf(sum: number): string {
  return sum.toString(16).padStart(8, '0');
}
