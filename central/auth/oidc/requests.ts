// The requests of Central to the OpenID provider: TLS is always verified, redirects are not followed, and what comes back
// is bounded in size and time.
import { request } from 'node:https';
import { getCACertificates } from 'node:tls';
import { TLS_PROTOCOL } from '../../pki/tls-protocol.ts';

/** Metadata and keys of a provider have some tens of kilobytes. */
const MAX_ANSWER_BYTES = 512 * 1024;
/** Of one request, from the look-up of the name to the last byte. */
const REQUEST_TIMEOUT_MS = 10_000;

interface Sent {
  readonly method: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: unknown;
}

/**
 * In place of `fetch`, with these roots (PEM); undefined: those of the system and of Node.js. Rejects with the error of
 * the connection, or of what was too long.
 */
export function providerFetch(roots: string | undefined, timeoutMs: number = REQUEST_TIMEOUT_MS) {
  const ca = roots ?? [...getCACertificates('system'), ...getCACertificates('bundled')];
  return async (address: string, { method, headers, body }: Sent): Promise<Response> => {
    const url = new URL(address);
    if (url.protocol !== 'https:')
      throw new Error(`its metadata name ${url.protocol}//${url.host}, which is not https`);
    const content = body === undefined || body === null ? undefined : textOfBody(body);
    const signal = AbortSignal.timeout(timeoutMs);
    return await new Promise<Response>((resolve, reject) => {
      const fail = (error: Error): void =>
        reject(signal.aborted ? new Error(`it did not answer within ${timeoutMs / 1000} s`) : error);
      const sent = request(
        url,
        {
          method,
          signal,
          agent: false,
          ca,
          ...TLS_PROTOCOL,
          headers: { ...headers, ...(content === undefined ? {} : { 'content-length': Buffer.byteLength(content) }) },
        },
        (response) => {
          const pieces: Buffer[] = [];
          let bytes = 0;
          response.on('data', (piece: Buffer) => {
            bytes += piece.length;
            pieces.push(piece);
            if (bytes > MAX_ANSWER_BYTES)
              response.destroy(new Error(`its answer is longer than ${MAX_ANSWER_BYTES / 1024} KiB`));
          });
          response.on('error', fail);
          response.on('end', () => {
            const { statusCode: status = 0, headers: found } = response;
            const type = found['content-type'];
            // Of the headers, only the type is read.
            const kept: Record<string, string> = type === undefined ? {} : { 'content-type': type };
            if (status < 200 || status > 599) fail(new Error(`it answered with the status ${status}`));
            else resolve(new Response(NO_BODY.has(status) ? null : Buffer.concat(pieces), { status, headers: kept }));
          });
        },
      );
      sent.on('error', fail);
      sent.end(content);
    });
  };
}

/** A Response with one of these has no body. */
const NO_BODY: ReadonlySet<number> = new Set([204, 205, 304]);

function textOfBody(body: unknown): string {
  if (typeof body === 'string' || body instanceof URLSearchParams) return body.toString();
  throw new TypeError('a request to the provider has a text as its body');
}
