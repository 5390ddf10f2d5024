// Gathers what Node's HTTP parser hands over of a body into pieces of some size, and bounds what a body may cost beside
// its bytes. In the chunked coding (RFC 9112 section 7.1) a peer decides how small the pieces are: a piece of one byte
// is six bytes on the line, costs a call, and holds 400 bytes of memory for as long as the body is collected
// (measured), so that bounds in bytes of the body would be worth nothing.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { skipBody } from './http/parser.ts';

/** What comes in larger pieces passes as it is. */
const PIECE_BYTES = 16 * 1024;
/**
 * So often what has come is handed over at once, so that a body that is too long is refused while its sender waits;
 * then in pieces only.
 */
const MAX_AT_ONCE = 16;
/**
 * 64 KiB hold 11,000 pieces of one byte, which take longer than a commit; no client writes a thousand pieces of less
 * than a word.
 */
const SMALL_BYTES = 32;
const MAX_SMALL_PIECES = 1_024;
/** So long a peer that still sends its body may read the answer. */
const LINGER_MS = 1_000;

/**
 * To be called when the request is made, before anything of its body has been parsed. The end of the body loses
 * nothing. The connection ends with a body in too many small pieces, and with one whose request is answered already.
 */
export function gatherBody(request: IncomingMessage, response: ServerResponse): void {
  const { socket } = request;
  response.once('close', () => request.complete || endUnfinished(socket));
  const push = request.push.bind(request);
  let gathered: Buffer = Buffer.alloc(0);
  let used = 0;
  let atOnce = 0;
  let smallPieces = 0;
  let isCut = false;
  let soon: NodeJS.Immediate | undefined;
  const flush = (): boolean => {
    const piece = gathered.subarray(0, used);
    gathered = Buffer.alloc(0);
    used = 0;
    return piece.length === 0 || push(piece);
  };
  request.push = (piece: unknown): boolean => {
    // Of the same packet Node still parses the rest, whose end would make a whole body of what is not one.
    if (isCut) return false;
    if (!Buffer.isBuffer(piece)) {
      flush();
      return push(piece);
    }
    if (piece.length < SMALL_BYTES && (smallPieces += 1) > MAX_SMALL_PIECES) {
      isCut = true;
      socket.destroy();
      skipBody(socket);
      return false;
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

/** Node would read, parse and discard the rest of such a body for as long as it comes. */
function endUnfinished(socket: Socket): void {
  if (socket.destroyed) return;
  // Not read any more, and not destroyed at once either: a reset could overtake the answer.
  socket.pause();
  const cut = setTimeout(() => socket.destroy(), LINGER_MS);
  socket.once('close', () => clearTimeout(cut));
}

/** Twice the room each time: small bodies stay small, and nothing is copied often. */
function grown(gathered: Buffer, used: number, more: number): Buffer {
  const room = Buffer.allocUnsafeSlow(Math.min(PIECE_BYTES, Math.max(1024, 2 * (used + more))));
  gathered.copy(room, 0, 0, used);
  return room;
}
