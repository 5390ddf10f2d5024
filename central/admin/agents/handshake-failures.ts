// /handshake-failures: connections and enrollments that failed since this process started, with their causes.
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { normalAddress } from '../../parameters/address-access.ts';
import { VIEWER, reads, type Access } from '../access.ts';
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
      /** Those from where it had its last session. */
      agent: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
    },
    { additionalProperties: false },
  ),
);

export function handshakeRoutes(
  app: FastifyInstance,
  { handshakeFailures, status }: Pick<AdminServices, 'handshakeFailures' | 'status'>,
  access: Access,
): void {
  /** Which of them are an agent's is not known, only where it was last. Errors: agent_unknown, agent_ambiguous. */
  async function inferredFrom(request: FastifyRequest, reference: string | undefined) {
    if (reference === undefined) return null;
    const { id, session } = await access.agentsOf(request).find(reference);
    return { agentId: id, address: session === null ? null : session.address };
  }

  app.get('/handshake-failures', reads(VIEWER, { query: readQuery }), async (request, reply) => {
    const { limit, after, agent, ...filter } = readQuery(request.query);
    const inferred = await inferredFrom(request, agent);
    const found = handshakeFailures
      .list(filter)
      .filter(({ address }) => inferred === null || (inferred.address !== null && isSame(address, inferred.address)));
    return {
      startedAt: timeOf(status().startedAt),
      droppedCount: handshakeFailures.dropped,
      inferredFrom: inferred,
      ...pageOf(request, reply, { limit, after }, found, {
        position: ({ listener, cause, address }) => `${listener} ${cause} ${address}`,
        json: ({ firstAt, lastAt, ...failure }) => ({ ...failure, firstAt: timeOf(firstAt), lastAt: timeOf(lastAt) }),
      }),
    };
  });
}

function isSame(address: string, other: string): boolean {
  return normalAddress(address) === normalAddress(other);
}
