// Reads a stream to its end, and no further than a bound.

/** All bytes. With more than `maxBytes` it throws what `tooLarge` makes, and the rest is not read. */
export async function readBoundedStream(
  stream: AsyncIterable<Uint8Array>,
  maxBytes: number,
  tooLarge: () => Error,
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of stream) {
    bytes += chunk.length;
    if (bytes > maxBytes) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
