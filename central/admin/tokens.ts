// /api-tokens and /enrollment-tokens (for machines that become agents). The secret of a token is only in the answer
// that created it.
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { HELLO } from '../../shared/wire/messages.ts';
import {
  DEFAULT_ENROLLMENT_SECONDS,
  MAX_ENROLLMENT_SECONDS,
  MAX_ENROLLMENT_USES,
  type EnrollmentTokenView,
} from '../enrollment/tokens.ts';
import { ROLES, type ApiTokenView } from '../auth/api-tokens.ts';
import { enrollmentLine } from '../enrollment/command-lines.ts';
import { ADMINISTRATOR, type Access, reads } from './access.ts';
import { bodyOf, oneOf, queryOf } from './checked.ts';
import { pageMembers, pageOf, timeOf } from './page.ts';
import { storeFault } from '../store/errors.ts';
import type { AdminServices } from './services.ts';

const readPage = queryOf(Type.Object(pageMembers, { additionalProperties: false }));

/** Ten years. */
const MAX_API_TOKEN_SECONDS = 3650 * 86_400;

const readToken = bodyOf(
  Type.Object(
    {
      name: Type.String({ minLength: 1, maxLength: 128, pattern: String.raw`^[^\p{Cc}]+$` }),
      role: oneOf(ROLES),
      /** Absent: it does not expire. */
      lifetimeSeconds: Type.Optional(Type.Integer({ minimum: 60, maximum: MAX_API_TOKEN_SECONDS })),
    },
    { additionalProperties: false },
  ),
);

const { maxLength, pattern } = HELLO.properties.name;
const readEnrollmentToken = bodyOf(
  Type.Object(
    {
      lifetimeSeconds: Type.Optional(Type.Integer({ minimum: 60, maximum: MAX_ENROLLMENT_SECONDS })),
      maxUses: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_ENROLLMENT_USES })),
      agentName: Type.Optional(Type.String({ minLength: 1, maxLength, pattern })),
    },
    { additionalProperties: false },
  ),
);

interface OfToken {
  Params: { token: string };
}

/** Errors: token_unknown. */
function withId<T extends { readonly id: string }>(tokens: readonly T[], id: string): T {
  const found = tokens.find((token) => token.id === id.toLowerCase());
  if (found === undefined) throw storeFault('token_unknown', { id: id.slice(0, 64) });
  return found;
}

export function tokenRoutes(
  app: FastifyInstance,
  { apiTokens, enrollmentTokens, pki, advertised, now }: AdminServices,
  access: Access,
): void {
  app.get('/api-tokens', reads(ADMINISTRATOR, { query: readPage }), async (request, reply) =>
    pageOf(request, reply, readPage(request.query), await apiTokens.list(), {
      position: ({ id }) => id,
      json: tokenJson,
    }),
  );

  app.post('/api-tokens', reads(ADMINISTRATOR, { body: readToken }), async (request, reply) => {
    const { name, role, lifetimeSeconds } = readToken(request.body);
    const { token, record } = await apiTokens.create(
      { name, role, expiresAt: lifetimeSeconds === undefined ? null : now() + lifetimeSeconds * 1000 },
      access.actorOf(request),
    );
    return await reply
      .code(201)
      .header('cache-control', 'no-store')
      .send({ ...tokenJson(record), token });
  });

  app.get<OfToken>('/api-tokens/:token', ADMINISTRATOR, async (request) =>
    tokenJson(withId(await apiTokens.list(), request.params.token)),
  );

  app.delete<OfToken>('/api-tokens/:token', ADMINISTRATOR, async (request, reply) => {
    await apiTokens.remove(request.params.token, access.actorOf(request));
    return await reply.code(204).send();
  });

  app.get('/enrollment-tokens', reads(ADMINISTRATOR, { query: readPage }), async (request, reply) =>
    pageOf(request, reply, readPage(request.query), await enrollmentTokens.list(), {
      position: ({ id }) => id,
      json: enrollmentTokenJson,
    }),
  );

  app.post('/enrollment-tokens', reads(ADMINISTRATOR, { body: readEnrollmentToken }), async (request, reply) => {
    const {
      lifetimeSeconds = DEFAULT_ENROLLMENT_SECONDS,
      maxUses = 1,
      agentName = null,
    } = readEnrollmentToken(request.body);
    const { token, record } = await enrollmentTokens.create(
      { lifetimeSeconds, maxUses, agentName },
      access.actorOf(request),
    );
    const pin = pki.pin();
    return await reply
      .code(201)
      .header('cache-control', 'no-store')
      .send({
        ...enrollmentTokenJson(record),
        token,
        pin,
        commandLine: enrollmentLine({ ...advertised(), token, pin }),
      });
  });

  app.get<OfToken>('/enrollment-tokens/:token', ADMINISTRATOR, async (request) =>
    enrollmentTokenJson(withId(await enrollmentTokens.list(), request.params.token)),
  );

  app.delete<OfToken>('/enrollment-tokens/:token', ADMINISTRATOR, async (request, reply) => {
    await enrollmentTokens.remove(request.params.token, access.actorOf(request));
    return await reply.code(204).send();
  });
}

function tokenJson({ id, name, role, createdAt, createdBy, expiresAt }: ApiTokenView) {
  return { id, name, role, createdAt: timeOf(createdAt), createdBy, expiresAt: timeOf(expiresAt) };
}

function enrollmentTokenJson({ id, createdAt, createdBy, expiresAt, uses, maxUses, agentName }: EnrollmentTokenView) {
  return {
    id,
    createdAt: timeOf(createdAt),
    createdBy,
    expiresAt: timeOf(expiresAt),
    useCount: uses,
    maxUses,
    agentName,
  };
}
