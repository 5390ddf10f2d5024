// Composes the administration's REST: one scope under /api/v1, one plugin per resource, the same access rules, content
// types and errors for all of them. Listens nowhere and makes no service.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { acceptsGzip, compressed } from '../../shared/http/gzip.ts';
import { createAccess, type Access } from './access.ts';
import { agentActionRoutes } from './agents/actions.ts';
import { agentRoutes } from './agents/agents.ts';
import { agentChangeRoutes } from './agents/changes.ts';
import { auditRoutes } from './audit/audit.ts';
import { authorityRoutes } from './certificates/ca.ts';
import { parseJsonBodies } from './body.ts';
import { certificateRoutes } from './certificates/server-certificate.ts';
import { changeRoutes } from './changes/changes.ts';
import { drainRoutes } from './agents/drains.ts';
import { enrollmentRoutes } from './agents/enrollment.ts';
import { eventRoutes } from './messages/events.ts';
import { takeIdempotencyKeys } from './idempotency/replays.ts';
import { handshakeRoutes } from './agents/handshake-failures.ts';
import { commandRoutes } from './messages/command-states.ts';
import { messageRoutes } from './messages/commands.ts';
import { exposureRoutes } from './exposures/exposures.ts';
import { subscriptionRoutes } from './messages/subscriptions.ts';
import { dashboardRoutes } from '../dashboard/files.ts';
import { noteRoutes } from './openapi/registered.ts';
import { openApiRoutes } from './openapi/routes.ts';
import { parameterRoutes } from './changes/parameters.ts';
import { allowedMethods } from '../listeners/http.ts';
import { sendError } from '../listeners/problem.ts';
import { agentRevocationRoutes, publishedLists } from './agents/revocation.ts';
import { profileFileRoutes } from './releases/profile-files.ts';
import { profileReleaseRoutes } from './releases/profile-releases.ts';
import { profileRoutes } from './releases/profiles.ts';
import { softwareReleaseRoutes } from './releases/software-releases.ts';
import type { AdminServices } from './services.ts';
import { agentProfileRoutes, rolloutRoutes } from './releases/rollouts.ts';
import { rotationRoutes } from './certificates/rotation.ts';
import { oidcRoutes } from './login/oidc.ts';
import { loginRoutes } from './login/login.ts';
import { maintenanceRoutes } from './agents/maintenance.ts';
import { nodeRoutes } from './nodes/nodes.ts';
import { watchRoutes } from './changes/watch.ts';
import { metricsRoute, statusRoutes } from './status.ts';
import { backupRoutes } from './store.ts';
import { taskRoutes } from './tasks/tasks.ts';
import { tokenRoutes } from './tokens.ts';

const PREFIX = '/api/v1';
/** Of everything but messages: a change of all parameters is a tenth of it. */
export const MAX_ADMIN_BODY_BYTES = 256 * 1024;

/** Adds the administration to a listener's app. Call it once per app, before the app is ready. */
export async function adminRoutes(app: FastifyInstance, services: AdminServices): Promise<void> {
  const access = createAccess(app, services);
  const routes = noteRoutes(app, PREFIX);
  await app.register(
    async (scope: FastifyInstance) => {
      prepare(scope, services, access);
      allowedMethods(scope);
      parseJsonBodies(scope);
      takeIdempotencyKeys(scope, services, access);
      parameterRoutes(scope, services, access);
      changeRoutes(scope, services, access);
      agentRoutes(scope, services, access);
      agentChangeRoutes(scope, services, access);
      agentActionRoutes(scope, services, access);
      drainRoutes(scope, services, access);
      agentRevocationRoutes(scope, services, access);
      rolloutRoutes(scope, services, access);
      taskRoutes(scope, services, access);
      agentProfileRoutes(scope, services, access);
      handshakeRoutes(scope, services, access);
      messageRoutes(scope, services, access);
      commandRoutes(scope, services, access);
      eventRoutes(scope, services, access);
      watchRoutes(scope, services, access);
      subscriptionRoutes(scope, services, access);
      exposureRoutes(scope, services, access);
      auditRoutes(scope, services);
      loginRoutes(scope, services, access);
      tokenRoutes(scope, services, access);
      enrollmentRoutes(scope, services, access);
      backupRoutes(scope, services, access);
      maintenanceRoutes(scope, services, access);
      nodeRoutes(scope, services, access);
      authorityRoutes(scope, services, access);
      rotationRoutes(scope, services, access);
      certificateRoutes(scope, services, access);
      statusRoutes(scope, services, access);
      profileRoutes(scope, services, access);
      softwareReleaseRoutes(scope, services, access);
      profileFileRoutes(scope, services, access);
      profileReleaseRoutes(scope, services, access);
    },
    { prefix: PREFIX, bodyLimit: MAX_ADMIN_BODY_BYTES },
  );
  await app.register(async (scope: FastifyInstance) => {
    prepare(scope, services, access);
    metricsRoute(scope, services);
    publishedLists(scope, services.revocationLists);
    openApiRoutes(scope, routes);
  });
}

/** Adds the pages of the dashboard beside REST. They are public, by the same rules of addresses. */
export async function dashboardPages(app: FastifyInstance, services: AdminServices): Promise<void> {
  const access = createAccess(app, services);
  await app.register(async (scope: FastifyInstance) => {
    prepare(scope, services, access);
    dashboardRoutes(scope);
    oidcRoutes(scope, services, access);
  });
}

function prepare(scope: FastifyInstance, services: AdminServices, access: Access): void {
  const { queuegate_http_requests_total: requests } = services.metrics.instruments;
  access.guard(scope);
  scope.setErrorHandler((error, request, reply) =>
    sendError(reply, error, (unexpected) => services.onUnexpected(unexpected, request.url, request.id)),
  );
  scope.addHook('onSend', compress);
  // A route that may be kept says so itself.
  scope.addHook('onRequest', (_request, reply, done) => {
    void reply.header('cache-control', 'no-store');
    done();
  });
  scope.addHook('onResponse', (request, reply, done) => {
    // The route's pattern, not the path: a path has an id in it, and labels without bound fill memory.
    requests.inc({
      method: request.method,
      route: request.routeOptions.url ?? '(none)',
      status: String(reply.statusCode),
    });
    done();
  });
}

const COMPRESSIBLE = /^(?:application\/(?:[\w.+-]+\+)?json|application\/x-ndjson|text\/plain)\b/;

/**
 * Secrets are in answers of POST, and in what only administrators may read: neither is compressed, since the length of
 * a compressed answer tells about a secret beside what the requester chose (BREACH, CVE-2013-3587).
 */
async function compress(request: FastifyRequest, reply: FastifyReply, payload: unknown): Promise<unknown> {
  const { role } = request.routeOptions.config;
  if (reply.hasHeader('content-encoding')) return payload;
  if (request.method !== 'GET' || role === 'administrator' || !acceptsGzip(request.headers['accept-encoding']))
    return payload;
  if (typeof payload !== 'string' && !Buffer.isBuffer(payload)) return payload;
  if (!COMPRESSIBLE.test(String(reply.getHeader('content-type') ?? ''))) return payload;
  const packed = await compressed(payload);
  if (packed === undefined) return payload;
  const tag = reply.getHeader('etag');
  // Other bytes than those that the tag names (RFC 9110 section 8.8.3.3).
  if (typeof tag === 'string' && !tag.startsWith('W/')) void reply.header('etag', `W/${tag}`);
  void reply.header('content-encoding', 'gzip').removeHeader('content-length');
  return packed;
}
