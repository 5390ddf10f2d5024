// Stops Node's HTTP parser in the middle of what has come. One packet holds a thousand requests; Node makes all of them
// before anything else is done, also after the connection was destroyed by one of them.
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

/**
 * What Node keeps at a socket of HTTP. An answer of `onIncoming` below zero ends the parsing, before the next request
 * is made. Without the function for bodies, which is called for each piece, pieces are parsed and not made.
 */
interface Parser {
  onIncoming?: (request: ParsedRequest, keepAlive: boolean) => number;
  [body: number]: unknown;
}

interface ParserClass {
  readonly kOnBody?: number;
}

type ParsedRequest = IncomingMessage & { readonly upgrade?: boolean | null };

/**
 * Calls `mayBegin` for each request whose header was parsed, also those that Node answers itself, before anything else
 * sees it. With false, the rest of the packet is not parsed; the caller destroys the socket. To be called behind Node's
 * own listener for connections.
 */
export function watchParser(socket: Socket, mayBegin: (request: ParsedRequest) => boolean): void {
  const { parser } = socket as { parser?: Parser | null };
  const incoming = parser?.onIncoming;
  if (!parser || incoming === undefined) return;
  parser.onIncoming = (request, keepAlive) => (mayBegin(request) ? incoming(request, keepAlive) : -1);
}

/**
 * For a socket that was destroyed in the middle of a body: the rest of the packet costs a sixth. Parsers are used again
 * for other connections, but not before this turn of the event loop has ended.
 */
export function skipBody(socket: Socket): void {
  const { parser } = socket as { parser?: Parser | null };
  const index = (parser?.constructor as ParserClass | undefined)?.kOnBody;
  if (!parser || index === undefined) return;
  const made = parser[index];
  if (typeof made !== 'function') return;
  parser[index] = null;
  setImmediate(() => (parser[index] = made));
}
