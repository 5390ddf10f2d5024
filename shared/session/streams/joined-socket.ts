// Joins a stream with a socket, after the protocol on it was switched: bytes in both directions, an end as an end, a
// cut as a cut.
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';

/** A stream of a session, wherever that is. */
interface Resettable extends Duplex {
  reset(code: string): void;
}

/**
 * From now on what the peer of the stream sends goes to the socket. The other direction is the caller's: it pipes the
 * socket into the stream. `code` is that of the RESET where the socket fails. What has ended on one side has `graceMs`
 * to end on the other.
 */
export function joinSocket(
  socket: Socket,
  stream: Resettable,
  { graceMs, code }: { graceMs: number; code: string },
): void {
  let grace: NodeJS.Timeout | undefined;
  stream.pipe(socket);
  // Also at the end of the session.
  stream.once('close', () => {
    clearTimeout(grace);
    const isWhole = stream.errored === null && stream.readableEnded;
    // Its last bytes are on the way, to a peer that may not read them.
    if (isWhole && !socket.destroyed) grace = setTimeout(() => socket.destroy(), graceMs);
    else socket.destroy();
  });
  socket.once('close', () => {
    clearTimeout(grace);
    if (stream.destroyed) return;
    if (!socket.readableEnded) return stream.reset(code);
    // Its last bytes and its end are on the way; what still comes has no reader.
    stream.resume();
    grace = setTimeout(() => stream.reset(code), graceMs);
  });
}
