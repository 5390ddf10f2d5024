// Owns where the revocation lists are fetched: under the same paths on the agents' ports and on the administration.
import type { FastifyInstance, RouteShorthandOptions } from 'fastify';

export interface RevocationListsPort {
  der(): Promise<Buffer>;
  pem(): Promise<string>;
}

/** They are fetched again often enough, and no cache may hold back a revocation for longer than a minute. */
const CACHE = 'max-age=60';

export function revocationRoutes(app: FastifyInstance, lists: RevocationListsPort, options: RouteShorthandOptions = {}): void {
  // RFC 2585 section 4.2. Of the authority that signs now; the others are in the PEM.
  app.get('/crl.der', options, async (_request, reply) => await reply.header('cache-control', CACHE).type('application/pkix-crl').send(await lists.der()));
  app.get('/crl.pem', options, async (_request, reply) => await reply.header('cache-control', CACHE).type('application/x-pem-file').send(await lists.pem()));
}
