// /handshake-failures: who did not get in, and why, since this process began.
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { VIEWER } from '../access.ts';
import { queryOf } from '../checked.ts';
import { limit, timeOf } from '../page.ts';
import type { AdminServices } from '../services.ts';

const word = Type.Optional(Type.String({ minLength: 1, maxLength: 64 }));
const readQuery = queryOf(
  Type.Object({ listener: word, cause: word, address: word, limit }, { additionalProperties: false }),
);

export function handshakeRoutes(app: FastifyInstance, { handshakeFailures, status }: AdminServices): void {
  app.get('/handshake-failures', VIEWER, (request) => ({
    since: timeOf(status().startedAt),
    forgotten: handshakeFailures.forgotten,
    failures: handshakeFailures
      .list(readQuery(request.query))
      .map(({ firstAt, lastAt, ...failure }) => ({ ...failure, firstAt: timeOf(firstAt), lastAt: timeOf(lastAt) })),
  }));
}
