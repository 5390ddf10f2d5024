// The routes of releases on the agents' ports: a manifest and the signature of the build by the digest of the release,
// a file by its SHA-256. All are immutable, may be read in parts, and need the ticket of an offer.
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { isCoded } from '../../../shared/errors.ts';
import { whenClosed } from '../../../shared/http/closed.ts';
import { COMPRESSED_TYPE, ENCODING } from '../../../shared/releases/compressed.ts';
import { MANIFEST_TYPE } from '../../../shared/releases/manifest.ts';
import type { Downloads, Wanted } from '../../profiles/downloads/downloads.ts';
import { downloadFault } from '../../profiles/downloads/errors.ts';
import { isKnown } from '../etag.ts';
import { requestedPart } from './range.ts';

export type DownloadsPort = Pick<Downloads, 'begin' | 'compressed' | 'find' | 'read' | 'refused'>;

/** For the agent that has the ticket only; a proxy must not compress it, since ranges are counted in these bytes. */
const CACHE = 'private, max-age=31536000, immutable, no-transform';
const BEARER = /^Bearer +([A-Za-z0-9._~-]{16,512})$/i;

export function downloadRoutes(app: FastifyInstance, downloads: DownloadsPort): void {
  const bounded = { config: { boundsItself: true } } as const;
  app.get<{ Params: { digest: string } }>('/releases/:digest/manifest', bounded, async (request, reply) =>
    send(downloads, request, reply.type(MANIFEST_TYPE), { manifestOf: request.params.digest }),
  );
  app.get<{ Params: { digest: string } }>('/releases/:digest/signature', bounded, async (request, reply) =>
    send(downloads, request, reply.type('application/json'), { signatureOf: request.params.digest }),
  );
  app.get<{ Params: { sha256: string }; Querystring: { encoding?: unknown } }>(
    '/blobs/:sha256',
    bounded,
    async (request, reply) => {
      const wanted = { blob: request.params.sha256, isCompressed: request.query.encoding === ENCODING };
      return await send(downloads, request, reply.type('application/octet-stream'), wanted);
    },
  );
}

async function send(...call: Parameters<typeof sendContent>): Promise<FastifyReply> {
  try {
    return await sendContent(...call);
  } catch (error) {
    if (isCoded(error)) call[0].refused(error.code);
    throw error;
  }
}

async function sendContent(
  downloads: DownloadsPort,
  request: FastifyRequest,
  reply: FastifyReply,
  { isCompressed = false, ...wanted }: Wanted & { readonly isCompressed?: boolean },
): Promise<FastifyReply> {
  const ticket = BEARER.exec(request.headers.authorization ?? '')?.[1];
  if (ticket === undefined) throw downloadFault('ticket_invalid', {});
  const found = await downloads.find(ticket, wanted);
  const aborted = new AbortController();
  const end = downloads.begin(found.agentId);
  let close = (): void => undefined;
  whenClosed(reply.raw, () => {
    end();
    close();
    aborted.abort();
  });
  const packed = isCompressed ? await downloads.compressed(found, aborted.signal) : undefined;
  if (packed !== undefined) {
    void reply.type(COMPRESSED_TYPE);
    if (aborted.signal.aborted) packed.close();
    else ({ close } = packed);
  }
  const content = packed ?? found;
  const { sha256, size } = content;
  const tag = `"${sha256}"`;
  void reply.headers({ 'cache-control': CACHE, 'accept-ranges': 'bytes' });
  // Before the range (RFC 9110 section 13.2.2).
  if (isKnown(reply, tag)) return await reply.code(304).send();
  const part = requestedPart(request.headers, size, tag);
  if (part === null) {
    void reply.header('content-range', `bytes */${size}`);
    throw downloadFault('range_unsatisfiable', { found: String(request.headers.range).slice(0, 64), size });
  }
  const { from, to } = part ?? { from: 0, to: size };
  if (part !== undefined) void reply.code(206).header('content-range', `bytes ${from}-${to - 1}/${size}`);
  void reply.header('content-length', String(to - from));
  if (request.method === 'HEAD') return await reply.send(Readable.from([]));
  const isSent = (): boolean => pieces.readableLength === 0 && reply.raw.writableLength === 0;
  const pieces = Readable.from(downloads.read(content, { from, to, isSent, signal: aborted.signal }), {
    objectMode: false,
    highWaterMark: 1,
  });
  return await reply.send(pieces);
}
