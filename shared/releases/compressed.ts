// How files of releases travel in fewer bytes: `GET /blobs/{sha256}?encoding=zstd` is another content, with its own
// length and its own tag, of which parts may be requested as well. Only of files that are small enough to be compressed
// in memory.

export const ENCODING = 'zstd';
/** RFC 8878 section 7.1. */
export const COMPRESSED_TYPE = 'application/zstd';
/** A program of the agent has 2 MB; Node.js, of 110 MB, changes a few times a year. */
export const MAX_COMPRESSED_SOURCE_BYTES = 4 * 1024 * 1024;
/** Below it the response has as many bytes of headers. */
export const MIN_COMPRESSED_SOURCE_BYTES = 1024;
/** Of the window, as a power of two: what a receiver sets aside for a frame, whatever the sender says. */
export const MAX_WINDOW_LOG = 22;

export function isCompressible(size: number): boolean {
  return size >= MIN_COMPRESSED_SOURCE_BYTES && size <= MAX_COMPRESSED_SOURCE_BYTES;
}
