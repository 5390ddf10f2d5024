// The binary frames of streams: `u8 type | u32 stream | payload`, and on ws the CRC-32 of all that as four more bytes.
//
//   OPEN    JSON {kind, ...}: begins a stream; Central's have odd numbers, the agent's even ones, always growing
//   HEAD    JSON: once, from the side that was opened to, before its data
//   DATA    1 byte to 16 KiB
//   END     no more data from this side
//   RESET   JSON {code}: nothing more from this side, and nothing more is wanted. Answered with END or RESET
//   CREDIT  u32: so many more bytes of data may come, on this stream or (stream 0) on the connection
import { crc32 } from 'node:zlib';
import { refusal } from '../../wire/refusals.ts';

/** Of an agent that takes and opens streams; older ones end the session at any binary frame. */
export const STREAMS_CAPABILITY = 'streams.1';

export const FRAME = { open: 1, head: 2, data: 3, end: 4, reset: 5, credit: 6 } as const;
type FrameType = (typeof FRAME)[keyof typeof FRAME];

/** What Central announces in its welcome. */
export interface StreamLimits {
  /** Bytes of one stream that may be on the way or unread: bounds the memory of the receiver. */
  readonly streamWindowBytes: number;
  /** Bytes of all streams that may be on the way: bounds what a heartbeat waits for. */
  readonly connectionWindowBytes: number;
  /** Streams that one side may have opened at once. */
  readonly maxStreamCount: number;
}

/**
 * Measured on a line of 2.5 MB/s and 80 ms: a heartbeat takes 170 ms behind a full connection window. 64 windows of
 * 256 KiB are what one agent can make Central keep.
 */
export const STREAM_LIMITS: StreamLimits = {
  streamWindowBytes: 256 * 1024,
  connectionWindowBytes: 512 * 1024,
  maxStreamCount: 64,
};

/** A frame holds up a message by no more than this. */
export const MAX_DATA_BYTES = 16 * 1024;
/** OPEN and HEAD. */
const MAX_JSON_BYTES = 16 * 1024;
const MAX_RESET_BYTES = 256;
/** Data of so many bytes, and credit for so many, is bounded by credit: frames of less cost more than they bring. */
export const LARGE_BYTES = 1024;
const HEAD_BYTES = 5;
const CHECKSUM_BYTES = 4;
const MAX_CODE_LENGTH = 64;

export interface StreamFrame {
  readonly type: FrameType;
  readonly stream: number;
  readonly payload: Buffer;
}

/** Bytes of payload by type: at least and at most. */
const SIZES: Readonly<Record<FrameType, readonly [number, number]>> = {
  [FRAME.open]: [2, MAX_JSON_BYTES],
  [FRAME.head]: [2, MAX_JSON_BYTES],
  [FRAME.data]: [1, MAX_DATA_BYTES],
  [FRAME.end]: [0, 0],
  [FRAME.reset]: [2, MAX_RESET_BYTES],
  [FRAME.credit]: [4, 4],
};

export function encodeStreamFrame(type: FrameType, stream: number, payload: Uint8Array, hasChecksums: boolean): Buffer {
  const end = HEAD_BYTES + payload.length;
  const frame = Buffer.allocUnsafe(hasChecksums ? end + CHECKSUM_BYTES : end);
  frame.writeUInt8(type, 0);
  frame.writeUInt32BE(stream, 1);
  frame.set(payload, HEAD_BYTES);
  if (hasChecksums) frame.writeUInt32BE(crc32(frame.subarray(0, end)), end);
  return frame;
}

/** The payload is part of `data`. Errors: bad_frame, frame_checksum. */
export function decodeStreamFrame(data: Buffer, hasChecksums: boolean): StreamFrame {
  const end = hasChecksums ? data.length - CHECKSUM_BYTES : data.length;
  if (end < HEAD_BYTES) throw badStream(`a binary frame of ${data.length} bytes`);
  if (hasChecksums && data.readUInt32BE(end) !== crc32(data.subarray(0, end)))
    throw refusal('frame_checksum', { found: 'the checksum of a binary frame is wrong' });
  const [type, stream] = [data.readUInt8(0), data.readUInt32BE(1)];
  if (!isFrameType(type)) throw badStream(`a binary frame of the type ${type}; allowed: 1 to 6`);
  const [least, most] = SIZES[type];
  const bytes = end - HEAD_BYTES;
  if (bytes < least || bytes > most)
    throw badStream(`a binary frame of the type ${type} with ${bytes} bytes; allowed: ${least} to ${most}`);
  return { type, stream, payload: data.subarray(HEAD_BYTES, end) };
}

/** A JSON object as payload; undefined: it is larger than a frame may be. */
export function jsonPayload(value: object): Buffer | undefined {
  const payload = Buffer.from(JSON.stringify(value));
  return payload.length > MAX_JSON_BYTES ? undefined : payload;
}

/** The JSON object of an OPEN or a HEAD. Errors: bad_frame. */
export function objectOf({ type, payload }: StreamFrame): Readonly<Record<string, unknown>> {
  try {
    const value: unknown = JSON.parse(payload.toString('utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value))
      return value as Readonly<Record<string, unknown>>;
  } catch {
    // Refused below, as everything else that is not an object.
  }
  throw badStream(`a binary frame of the type ${type} without a JSON object`);
}

/** The code of a RESET. Errors: bad_frame. */
export function codeOf(frame: StreamFrame): string {
  const { code } = objectOf(frame);
  if (typeof code !== 'string' || code.length > MAX_CODE_LENGTH || !/^[a-z0-9_]+$/.test(code))
    throw badStream('a RESET without a code');
  return code;
}

export function badStream(found: string): Error {
  return refusal('bad_frame', { found });
}

/** The frame opens a stream, whatever else is wrong with it. */
export function isOpening(data: Buffer): boolean {
  return data[0] === FRAME.open;
}

/**
 * A frame of an agent that neither credit nor the streams that Central has opened bound: little data, little credit,
 * and all of streams that the agent has opened itself.
 */
export function isSmallFrame(data: Buffer): boolean {
  if (data.length < HEAD_BYTES) return true;
  switch (data.readUInt8(0)) {
    case FRAME.data:
      return data.length < HEAD_BYTES + LARGE_BYTES;
    case FRAME.credit:
      return data.length < HEAD_BYTES + 4 || data.readUInt32BE(HEAD_BYTES) < LARGE_BYTES;
    default:
      // One HEAD, one END and one RESET of each stream are taken, and a few that come too late.
      return data.readUInt32BE(1) % 2 === 0;
  }
}

function isFrameType(type: number): type is FrameType {
  return type >= FRAME.open && type <= FRAME.credit;
}
