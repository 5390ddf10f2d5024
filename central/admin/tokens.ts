// /api-tokens and /enrollment-tokens (for machines that become agents). The secret of a
// token is only in the answer that created it.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { HELLO } from '../../shared/wire/messages.ts';
import {
  DEFAULT_ENROLLMENT_SECONDS,
  MAX_ENROLLMENT_SECONDS,
  MAX_ENROLLMENT_USES,
  type EnrollmentTokenView,
} from '../enrollment/tokens.ts';
import { isVisible, isWithin, MAX_SCOPE_LENGTH, parseScope } from '../agents/scope.ts';
import { ROLES, type ApiTokenView } from '../auth/api-tokens.ts';
import { enrollmentLine } from '../enrollment/command-lines.ts';
import { ADMINISTRATOR, type Access, reads } from './access.ts';
import { ifMatchOf } from './changes/if-match.ts';
import { bodyOf, oneOf, queryOf } from './checked.ts';
import { pageMembers, pageOf, timeOf } from './page.ts';
import { storeFault } from '../store/errors.ts';
import { apiTokenVersion } from '../store/token-store.ts';
import type { AdminServices } from './services.ts';

const readPage = queryOf(Type.Object(pageMembers, { additionalProperties: false }));

/** Ten years. */
const MAX_API_TOKEN_SECONDS = 3650 * 86_400;

const NAME = Type.String({ minLength: 1, maxLength: 128, pattern: String.raw`^[^\p{Cc}]+$` });
const SCOPE = Type.Unsafe<string | null>({ type: ['string', 'null'], minLength: 1, maxLength: MAX_SCOPE_LENGTH });
const LIFETIME = { minimum: 60, maximum: MAX_API_TOKEN_SECONDS };
const readToken = bodyOf(
  Type.Object(
    {
      name: NAME,
      role: oneOf(ROLES),
      /** A selector of labels; null or absent: for all agents. */
      scope: Type.Optional(SCOPE),
      /** Absent: it does not expire. */
      lifetimeSeconds: Type.Optional(Type.Integer(LIFETIME)),
    },
    { additionalProperties: false },
  ),
);
const readTokenPatch = bodyOf(
  Type.Object(
    {
      name: Type.Optional(NAME),
      role: Type.Optional(oneOf(ROLES)),
      scope: Type.Optional(SCOPE),
      /** From now on; null: it does not expire. */
      lifetimeSeconds: Type.Optional(Type.Unsafe<number | null>({ type: ['integer', 'null'], ...LIFETIME })),
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

export function tokenRoutes(app: FastifyInstance, services: AdminServices, access: Access): void {
  apiTokenRoutes(app, services, access);
  enrollmentTokenRoutes(app, services, access);
}

function apiTokenRoutes(app: FastifyInstance, { apiTokens, streams, now }: AdminServices, access: Access): void {
  /** Those of the scope of the token that asks, and of narrower ones. */
  const visible = async (request: FastifyRequest): Promise<ApiTokenView[]> =>
    (await apiTokens.list()).filter((token) => isVisible(access.scopeOf(request), token));
  /** Errors: token_unknown. */
  const findVisible = async (request: FastifyRequest<OfToken>): Promise<ApiTokenView> =>
    withId(await visible(request), request.params.token);
  /** A token makes none with a wider scope. Errors: selector_invalid, scope_too_narrow. */
  const assertWithin = (request: FastifyRequest, scope: string | null): void => {
    const wanted = scope === null ? null : parseScope(scope);
    if (isWithin(wanted, access.scopeOf(request))) return;
    const needed = scope === null ? 'a token for all agents' : `a scope that contains ${scope}`;
    throw access.tooNarrow(request, needed);
  };

  app.get('/api-tokens', reads(ADMINISTRATOR, { query: readPage }), async (request, reply) =>
    pageOf(request, reply, readPage(request.query), await visible(request), {
      position: ({ id }) => id,
      json: tokenJson,
    }),
  );

  app.post('/api-tokens', reads(ADMINISTRATOR, { body: readToken }), async (request, reply) => {
    const { name, role, scope = null, lifetimeSeconds } = readToken(request.body);
    assertWithin(request, scope);
    const { token, record } = await apiTokens.create(
      { name, role, scope, expiresAt: lifetimeSeconds === undefined ? null : now() + lifetimeSeconds * 1000 },
      access.actorOf(request),
    );
    return await reply
      .code(201)
      .header('cache-control', 'no-store')
      .send({ ...tokenJson(record), token });
  });

  app.get<OfToken>('/api-tokens/:token', ADMINISTRATOR, async (request, reply) =>
    sendToken(reply, withId(await visible(request), request.params.token)),
  );

  app.patch<OfToken>('/api-tokens/:token', reads(ADMINISTRATOR, { body: readTokenPatch }), async (request, reply) => {
    const { name, role, scope, lifetimeSeconds } = readTokenPatch(request.body);
    const version = ifMatchOf(request, 'an API token') ?? null;
    // Absent members stay absent: the audit entry names what was changed.
    const change = {
      ...(name === undefined ? {} : { name }),
      ...(role === undefined ? {} : { role }),
      ...(scope === undefined ? {} : { scope }),
      ...(lifetimeSeconds === undefined
        ? {}
        : { expiresAt: lifetimeSeconds === null ? null : now() + lifetimeSeconds * 1000 }),
    };
    if (scope !== undefined) assertWithin(request, scope);
    const { id } = await findVisible(request);
    const changed = await apiTokens.change(id, change, version, access.actorOf(request));
    streams.look();
    return sendToken(reply, changed);
  });

  app.delete<OfToken>('/api-tokens/:token', ADMINISTRATOR, async (request, reply) => {
    await apiTokens.remove((await findVisible(request)).id, access.actorOf(request));
    streams.look();
    return await reply.code(204).send();
  });
}

function enrollmentTokenRoutes(
  app: FastifyInstance,
  { enrollmentTokens, pki, advertised }: AdminServices,
  access: Access,
): void {
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

function sendToken(reply: FastifyReply, token: ApiTokenView): FastifyReply {
  return reply.header('etag', `"${apiTokenVersion(token)}"`).send(tokenJson(token));
}

function tokenJson({ createdAt, expiresAt, lastUsedAt, ...token }: ApiTokenView) {
  const { id, name, role, scope, createdBy } = token;
  const [created, expires, lastUsed] = [timeOf(createdAt), timeOf(expiresAt), timeOf(lastUsedAt)];
  return { id, name, role, scope, createdAt: created, createdBy, expiresAt: expires, lastUsedAt: lastUsed };
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
