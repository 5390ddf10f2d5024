// Ends a request whose body comes too slowly: in each minute it has to bring some bytes, or its end. A bound for the
// whole request, as that of Node.js, would cut a large upload over a slow line however steadily it comes.
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { whenClosed } from '../../../shared/http/closed.ts';

const WINDOW_MS = 60_000;
/** 4.3 KiB/s. A body of no more than this has to be complete within one window: all but files are smaller. */
const LEAST_BYTES = 256 * 1024;

interface UploadPaceOptions {
  readonly windowMs?: number;
  readonly leastBytes?: number;
  /** Runs something later, unless the function that it gives is called before. */
  readonly after?: (ms: number, run: () => void) => () => void;
}

/** Such a request ends as one that Node.js has timed out: the server gets `clientError`. */
export function boundUploads(server: Server, options: UploadPaceOptions = {}): void {
  const { windowMs = WINDOW_MS, leastBytes = LEAST_BYTES, after = afterTimeout } = options;
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    if (!('content-length' in request.headers || 'transfer-encoding' in request.headers)) return;
    const { socket } = request;
    let before = socket.bytesRead;
    const check = (): void => {
      // An answered one has another end (shared/gathered-body.ts).
      if (request.complete || socket.destroyed || response.writableEnded) return;
      const now = socket.bytesRead;
      // What waits to be read keeps the peer from sending: Central is slow, and not the peer.
      if (request.readableLength === 0 && now - before < leastBytes) {
        server.emit('clientError', timedOut(), socket);
        return;
      }
      before = now;
      cancel = after(windowMs, check);
    };
    let cancel = after(windowMs, check);
    whenClosed(response, () => cancel());
  });
}

function timedOut(): Error {
  return Object.assign(new Error('the body comes too slowly'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' });
}

function afterTimeout(ms: number, run: () => void): () => void {
  const timer = setTimeout(run, ms).unref();
  return () => clearTimeout(timer);
}
