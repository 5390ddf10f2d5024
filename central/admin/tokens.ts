// /tokens (for the API) and /enrollment-tokens (for machines that become agents). A token's text is in the answer that made
// it and nowhere else.
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { HELLO } from '../../shared/wire/messages.ts';
import {
  DEFAULT_ENROLLMENT_MINUTES,
  MAX_ENROLLMENT_MINUTES,
  MAX_ENROLLMENT_USES,
  type EnrollmentTokenView,
} from '../enrollment/tokens.ts';
import { ROLES, type ApiTokenView } from '../auth/api-tokens.ts';
import { enrollmentLine } from '../enrollment/enrollment.ts';
import { ADMINISTRATOR, type Access } from './access.ts';
import { bodyOf } from './checked.ts';
import { timeOf } from './page.ts';
import type { AdminServices } from './services.ts';

const readToken = bodyOf(
  Type.Object(
    {
      name: Type.String({ minLength: 1, maxLength: 128, pattern: String.raw`^[^\p{Cc}]+$` }),
      role: Type.Union(ROLES.map((role) => Type.Literal(role))),
      /** Absent: until it is removed. */
      days: Type.Optional(Type.Integer({ minimum: 1, maximum: 3650 })),
    },
    { additionalProperties: false },
  ),
);

const { maxLength, pattern } = HELLO.properties.name;
const readEnrollmentToken = bodyOf(
  Type.Object(
    {
      minutes: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_ENROLLMENT_MINUTES })),
      uses: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_ENROLLMENT_USES })),
      agentName: Type.Optional(Type.String({ minLength: 1, maxLength, pattern })),
    },
    { additionalProperties: false },
  ),
);

const DAY_MS = 86_400_000;

export function tokenRoutes(
  app: FastifyInstance,
  { operators, enrollmentTokens, authority, advertised, now }: AdminServices,
  access: Access,
): void {
  app.get('/tokens', ADMINISTRATOR, async () => ({ tokens: (await operators.list()).map(tokenJson) }));

  app.post('/tokens', ADMINISTRATOR, async (request, reply) => {
    const { name, role, days } = readToken(request.body);
    const { token, record } = await operators.create(
      { name, role, expiresAt: days === undefined ? null : now() + days * DAY_MS },
      access.actorOf(request),
    );
    return await reply
      .code(201)
      .header('cache-control', 'no-store')
      .send({ ...tokenJson(record), token });
  });

  app.delete<{ Params: { id: string } }>('/tokens/:id', ADMINISTRATOR, async (request, reply) => {
    await operators.remove(request.params.id, access.actorOf(request));
    return await reply.code(204).send();
  });

  app.get('/enrollment-tokens', ADMINISTRATOR, async () => ({
    enrollmentTokens: (await enrollmentTokens.list()).map(enrollmentTokenJson),
  }));

  app.post('/enrollment-tokens', ADMINISTRATOR, async (request, reply) => {
    const { minutes = DEFAULT_ENROLLMENT_MINUTES, uses = 1, agentName = null } = readEnrollmentToken(request.body);
    const { token, record } = await enrollmentTokens.create({ minutes, uses, agentName }, access.actorOf(request));
    const { pin } = authority;
    return await reply
      .code(201)
      .header('cache-control', 'no-store')
      .send({ ...enrollmentTokenJson(record), token, pin, line: enrollmentLine({ ...advertised(), token, pin }) });
  });

  app.delete<{ Params: { id: string } }>('/enrollment-tokens/:id', ADMINISTRATOR, async (request, reply) => {
    await enrollmentTokens.remove(request.params.id, access.actorOf(request));
    return await reply.code(204).send();
  });
}

function tokenJson({ id, name, role, createdAt, createdBy, expiresAt }: ApiTokenView) {
  return { id, name, role, createdAt: timeOf(createdAt), createdBy, expiresAt: timeOf(expiresAt) };
}

function enrollmentTokenJson({ id, createdAt, createdBy, expiresAt, uses, maxUses, agentName }: EnrollmentTokenView) {
  return { id, createdAt: timeOf(createdAt), createdBy, expiresAt: timeOf(expiresAt), uses, maxUses, agentName };
}
