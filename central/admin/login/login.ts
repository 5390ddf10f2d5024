// /login: the session of a browser. POST begins one with an API token, GET says who sends the request, DELETE ends it.
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { Caller } from '../../auth/api-tokens.ts';
import { clearSession, keepSession, sessionCookie } from '../../auth/sign-in/cookie.ts';
import { ANYONE, reads, VIEWER, type Access } from '../access.ts';
import { bodyOf } from '../checked.ts';
import { timeOf } from '../page.ts';
import type { AdminServices } from '../services.ts';

/** The text of an API token has 64 characters. Read before anyone is authenticated. */
const MAX_LOGIN_BYTES = 1_024;

const readLogin = bodyOf(
  Type.Object({ token: Type.String({ minLength: 1, maxLength: 256 }) }, { additionalProperties: false }),
);

export function loginRoutes(
  app: FastifyInstance,
  { signIns, streams, now }: Pick<AdminServices, 'now' | 'signIns' | 'streams'>,
  access: Access,
): void {
  app.get('/login', VIEWER, async (request) => loginJson(access.callerOf(request)));

  app.post('/login', { ...reads(ANYONE, { body: readLogin }), bodyLimit: MAX_LOGIN_BYTES }, async (request, reply) => {
    const owner = await access.signIn(request, readLogin(request.body).token);
    // Never the session that the browser had: it may be one that somebody else has put there.
    const replaced = sessionCookie(request.raw);
    const { session, caller } = await signIns.begin(owner, access.actorOf(request), replaced);
    streams.look();
    const seconds = ((caller.expiresAt ?? now()) - now()) / 1000;
    return await reply.header('set-cookie', keepSession(request.raw, session, seconds)).send(loginJson(caller));
  });

  app.delete('/login', VIEWER, async (request, reply) => {
    await signIns.end(access.callerOf(request), access.actorOf(request));
    streams.look();
    return await reply.header('set-cookie', clearSession(request.raw)).code(204).send();
  });
}

function loginJson({ tokenId, name, role, scope, expiresAt, person }: Caller) {
  return { id: person === undefined ? tokenId : null, name, role, scope, expiresAt: timeOf(expiresAt) };
}
