// The routes of the revocation lists, with the same paths on the agents' ports and on the administration.
import { createHash } from 'node:crypto';
import type { FastifyInstance, FastifyReply, RouteShorthandOptions } from 'fastify';
import { isKnown } from './etag.ts';

export interface RevocationListsPort {
  /** The same buffer until the list changes: all responses share it. */
  der(): Promise<Buffer>;
  pem(): Promise<Buffer | string>;
}

/** No cache may hold back a revocation for longer than a minute. */
const CACHE = 'max-age=60';

export function revocationRoutes(
  app: FastifyInstance,
  lists: RevocationListsPort,
  options: RouteShorthandOptions = {},
): void {
  // RFC 2585 section 4.2. Of the authority that signs now; the others are in the PEM.
  app.get(
    '/crl.der',
    options,
    async (_request, reply) => await sendList(reply.type('application/pkix-crl'), await lists.der()),
  );
  app.get(
    '/crl.pem',
    options,
    async (_request, reply) => await sendList(reply.type('application/x-pem-file'), await lists.pem()),
  );
}

/** Computed once for each list. */
const tags = new WeakMap<Buffer, string>();

async function sendList(reply: FastifyReply, found: Buffer | string): Promise<FastifyReply> {
  const list = Buffer.isBuffer(found) ? found : Buffer.from(found);
  let tag = tags.get(list);
  if (tag === undefined) tags.set(list, (tag = `"${createHash('sha256').update(list).digest('base64url')}"`));
  void reply.header('cache-control', CACHE);
  return await (isKnown(reply, tag) ? reply.code(304).send() : reply.send(list));
}
