// /oidc/login and /oidc/callback: a browser signs in with the OpenID provider of the organization. They are for browsers,
// beside REST: success leads to the dashboard, a refusal to its sign-in page, which shows why.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { isCoded, type CodedError } from '../../../shared/errors.ts';
import { problemOf, PROBLEM_TYPE } from '../../../shared/http/problem.ts';
import { oidcFault } from '../../auth/oidc/errors.ts';
import type { Oidc } from '../../auth/oidc/oidc.ts';
import { PENDING_MS } from '../../auth/oidc/pending.ts';
import { clearPending, keepPending, keepSession, pendingCookie, sessionCookie } from '../../auth/sign-in/cookie.ts';
import { DASHBOARD_POLICY, pageWithProblem } from '../../dashboard/files.ts';
import { httpFault } from '../../listeners/errors.ts';
import { normalAddress } from '../../parameters/address-access.ts';
import type { Access } from '../access.ts';
import type { AdminServices } from '../services.ts';

/** Public, and any query: the provider adds terms of its own. The type is that of central/admin/access.ts. */
const PUBLIC = { config: { role: 'anyone', query: Object.assign(() => ({}), { schema: {} }) } } as const;
/** Of a browser that was sent to the address of oidc.redirectUri: it is not sent there again. */
const MOVED = 'moved';

type OidcServices = Pick<AdminServices, 'now' | 'oidc' | 'onUnexpected' | 'signIns' | 'streams'>;

export function oidcRoutes(app: FastifyInstance, services: OidcServices, access: Access): void {
  const { signIns, streams, now } = services;

  /** Answers with what `act` says, or with a refusal that the sign-in page shows. */
  const answered = (act: (oidc: Oidc, request: FastifyRequest, reply: FastifyReply) => Promise<string>) =>
    async function (request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
      try {
        if (services.oidc === undefined) throw oidcFault('oidc_off', {});
        return await reply.redirect(await act(services.oidc, request, reply), 302);
      } catch (error) {
        // The query of the callback has the code: it is in no log.
        if (!isCoded(error)) services.onUnexpected(error, request.routeOptions.url ?? '', request.id);
        const fault = isCoded(error) ? error : httpFault('request_failed', {});
        access.refused(request, fault);
        return await refuse(fault, request, reply);
      }
    };

  app.get(
    '/oidc/login',
    PUBLIC,
    answered(async (oidc, request, reply) => {
      const here = new URL(oidc.redirectUri);
      // The cookie has to be where the provider sends the browser back to.
      if (request.headers.host !== here.host && queryOf(request).get(MOVED) === null)
        return new URL(`/oidc/login?${MOVED}=true`, here).href;
      const { location, id } = await oidc.begin(addressOf(request), sessionCookie(request.raw));
      void reply.header('set-cookie', keepPending(request.raw, id, PENDING_MS / 1000));
      return location;
    }),
  );

  app.get(
    '/oidc/callback',
    PUBLIC,
    answered(async (oidc, request, reply) => {
      const id = pendingCookie(request.raw);
      void reply.header('set-cookie', clearPending(request.raw));
      const { person, replaced } = await oidc.finish(addressOf(request), id, queryOf(request));
      const owner = access.signInPerson(request, person);
      const { session, caller } = await signIns.begin(owner, access.actorOf(request), replaced);
      streams.look();
      const seconds = ((caller.expiresAt ?? now()) - now()) / 1000;
      void reply.header('set-cookie', keepSession(request.raw, session, seconds));
      return '/';
    }),
  );
}

/** The sign-in page with the problem, or the problem alone where there is no page. */
async function refuse(fault: CodedError, request: FastifyRequest, reply: FastifyReply): Promise<FastifyReply> {
  const problem = problemOf(fault, request.id);
  void reply.code(fault.status);
  if (fault.status === 503) void reply.header('retry-after', '5');
  try {
    const page = await pageWithProblem(problem);
    void reply.header('content-security-policy', DASHBOARD_POLICY);
    return await reply.type('text/html; charset=utf-8').send(page);
  } catch {
    return await reply.type(PROBLEM_TYPE).send(problem);
  }
}

function addressOf({ raw: { socket } }: FastifyRequest): string {
  return normalAddress(socket.remoteAddress);
}

function queryOf({ raw: { url = '' } }: FastifyRequest): URLSearchParams {
  const at = url.indexOf('?');
  return new URLSearchParams(at === -1 ? '' : url.slice(at + 1));
}
