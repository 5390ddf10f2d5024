// /handshake-failures: connections and enrollments that failed since this process started, with their causes.
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { VIEWER, reads } from '../access.ts';
import { oneOf, queryOf } from '../checked.ts';
import { pageMembers, pageOf, timeOf } from '../page.ts';
import type { AdminServices } from '../services.ts';

const word = Type.Optional(Type.String({ minLength: 1, maxLength: 64 }));
const LISTENERS = ['ws', 'wss', 'http', 'https'] as const;
const readQuery = queryOf(
  Type.Object(
    {
      ...pageMembers,
      listener: Type.Optional(oneOf(LISTENERS)),
      cause: word,
      address: word,
    },
    { additionalProperties: false },
  ),
);

export function handshakeRoutes(app: FastifyInstance, { handshakeFailures, status }: AdminServices): void {
  app.get('/handshake-failures', reads(VIEWER, { query: readQuery }), (request, reply) => {
    const { limit, after, ...filter } = readQuery(request.query);
    return {
      startedAt: timeOf(status().startedAt),
      droppedCount: handshakeFailures.dropped,
      ...pageOf(request, reply, { limit, after }, handshakeFailures.list(filter), {
        position: ({ listener, cause, address }) => `${listener} ${cause} ${address}`,
        json: ({ firstAt, lastAt, ...failure }) => ({ ...failure, firstAt: timeOf(firstAt), lastAt: timeOf(lastAt) }),
      }),
    };
  });
}
