// Gathers what Node's HTTP parser hands over of a body into pieces of some size. In the chunked coding (RFC 9112 section 7.1) a peer
// decides how small they are: a piece of one byte is six bytes on the line, and holds 400 bytes of memory for as long as the body is
// collected (measured), so that bounds in bytes of the body would be worth nothing.
import type { IncomingMessage } from 'node:http';

/** What comes in larger pieces passes as it is. */
const PIECE_BYTES = 16 * 1024;
/** So often what has come is handed over at once, so that a body that is too long is refused while its sender waits; then in pieces only. */
const MAX_AT_ONCE = 16;

/** To be called when the request is made, before anything of its body has been parsed. The end of the body loses nothing. */
export function gatherBody(request: IncomingMessage): void {
  const push = request.push.bind(request);
  let gathered: Buffer = Buffer.alloc(0);
  let used = 0;
  let atOnce = 0;
  let soon: NodeJS.Immediate | undefined;
  const flush = (): boolean => {
    const piece = gathered.subarray(0, used);
    gathered = Buffer.alloc(0);
    used = 0;
    return piece.length === 0 || push(piece);
  };
  request.push = (piece: unknown): boolean => {
    if (!Buffer.isBuffer(piece)) {
      flush();
      return push(piece);
    }
    const goesOn = used + piece.length <= PIECE_BYTES || flush();
    if (piece.length >= PIECE_BYTES) return push(piece) && goesOn;
    if (used + piece.length > gathered.length) gathered = grown(gathered, used, piece.length);
    used += piece.copy(gathered, used);
    if (soon === undefined && atOnce < MAX_AT_ONCE) {
      atOnce += 1;
      soon = setImmediate(() => {
        soon = undefined;
        flush();
      });
    }
    return goesOn;
  };
}

/** Twice the room each time: small bodies stay small, and nothing is copied often. */
function grown(gathered: Buffer, used: number, more: number): Buffer {
  const room = Buffer.allocUnsafeSlow(Math.min(PIECE_BYTES, Math.max(1024, 2 * (used + more))));
  gathered.copy(room, 0, 0, used);
  return room;
}
