// /openapi.json and /docs: the description of the administration, for programs and for people. Both are public and name
// nothing of this installation. Each is made and compressed once, when it is first read.
import { createHash } from 'node:crypto';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { promisify } from 'node:util';
import { gzip as gzipCallback } from 'node:zlib';
import { acceptsGzip } from '../../../shared/http/gzip.ts';
import { isKnown } from '../../listeners/etag.ts';
import { ANYONE } from '../access.ts';
import type { RegisteredRoute } from './registered.ts';

const gzip = promisify(gzipCallback);

interface Text {
  readonly plain: Buffer;
  readonly packed: Buffer;
  readonly tag: string;
}

/** `routes`: those that are registered with the same app. */
export function openApiRoutes(app: FastifyInstance, routes: readonly RegisteredRoute[]): void {
  // Loaded on demand: Central does not pay for it in memory while no one reads it.
  const document = once(async () => (await import('./document.ts')).openApiDocument(routes));
  const json = once(async () => await textOf(JSON.stringify(await document())));
  const page = once(async () => {
    const { pageOf, PAGE_POLICY } = await import('./page.ts');
    return { ...(await textOf(pageOf(await document()))), policy: PAGE_POLICY };
  });

  app.get('/openapi.json', ANYONE, async (request, reply) =>
    sendText(request, reply.type('application/json; charset=utf-8'), await json()),
  );

  app.get('/docs', ANYONE, async (request, reply) => {
    const { policy, ...text } = await page();
    return sendText(request, reply.type('text/html; charset=utf-8').header('content-security-policy', policy), text);
  });
}

function sendText({ headers }: FastifyRequest, reply: FastifyReply, { plain, packed, tag }: Text): FastifyReply {
  if (isKnown(reply.header('cache-control', 'no-cache'), tag)) return reply.code(304).send();
  if (!acceptsGzip(headers['accept-encoding'])) return reply.send(plain);
  // Other bytes than those that the tag names (RFC 9110 section 8.8.3.3).
  return reply.header('etag', `W/${tag}`).header('content-encoding', 'gzip').send(packed);
}

async function textOf(text: string): Promise<Text> {
  const plain = Buffer.from(text);
  const tag = `"${createHash('sha256').update(plain).digest('base64url')}"`;
  return { plain, packed: await gzip(plain), tag };
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}
