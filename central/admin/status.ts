// /status (version, listeners, problems), /health/live, /health/ready, /store, /ca/trust-bundle.pem, /metrics.
import type { FastifyInstance } from 'fastify';
import { ANYONE, VIEWER } from './access.ts';
import { backupJson } from './store.ts';
import { timeOf } from './page.ts';
import type { AdminServices, StatusReport } from './services.ts';

export function statusRoutes(
  app: FastifyInstance,
  { approvals, status, pki, store, space, parameters }: AdminServices,
): void {
  app.get('/status', VIEWER, async () => statusJson(status(), await approvals.counts()));

  app.get('/store', VIEWER, async () => {
    const { engine, schema, bytes, events, unconvertedEvents, deadLetters, deadLettersDropped } = await store.stats();
    const { state, freeBytes, availableBytes, reserveBytes } = space.current();
    const {
      'deadLetters.maxPerAgent': maxCount,
      'deadLetters.maxBytesPerAgent': maxBytes,
      'agents.eventsPerDay': eventsPerDay,
    } = parameters.values();
    return {
      engine,
      schema,
      bytes,
      eventCount: events,
      unconvertedEventCount: unconvertedEvents,
      deadLetterCount: deadLetters,
      droppedDeadLetterCount: deadLettersDropped,
      reserve: { state, freeBytes, availableBytes, reserveBytes },
      // For each agent; of dead letters in each direction.
      quotas: {
        deadLetterCount: maxCount,
        deadLetterBytes: maxBytes,
        eventsPerDayCount: eventsPerDay === 0 ? null : eventsPerDay,
      },
    };
  });

  // For balancers and monitors without a token: they learn the codes of what is wrong, and no addresses or names.
  app.get(
    '/health/live',
    ANYONE,
    async (_request, reply) => await reply.header('cache-control', 'no-store').send({ state: 'ok', reasons: [] }),
  );
  app.get('/health/ready', ANYONE, async (_request, reply) => {
    const reasons = [...new Set(status().problems.map(({ code }) => code))];
    const ready = reasons.length === 0;
    return await reply
      .code(ready ? 200 : 503)
      .header('cache-control', 'no-store')
      .send({ state: ready ? 'ok' : 'failing', reasons });
  });

  // Public: it is sent in every TLS handshake.
  app.get(
    '/ca/trust-bundle.pem',
    ANYONE,
    async (_request, reply) =>
      await reply
        .type('application/x-pem-file')
        .header('cache-control', 'no-cache')
        .header('content-disposition', 'attachment; filename="queuegate-trust-bundle.pem"')
        .send(pki.trust.pem()),
  );
}

/** Member by member, as it is documented. */
function statusJson(
  report: StatusReport,
  { pending, most, blocks }: Awaited<ReturnType<AdminServices['approvals']['counts']>>,
) {
  const { central, node, version, startedAt, listeners, certificate, restore, problems, advice } = report;
  return {
    central,
    node,
    version,
    startedAt: timeOf(startedAt),
    listeners,
    certificate: certificate === null ? null : certificateJson(certificate),
    restore: restore === null ? null : { ...restore, backup: backupJson(restore.backup) },
    enrollmentRequests: {
      pendingCount: pending,
      maxCount: most,
      // The address blocks with most of them.
      blocks: blocks.map((one) => ({ addressBlock: one.block, pendingCount: one.pending })),
    },
    problems: [...problems, ...advice].map(({ code, detail, hint, startedAt: problemSince }) => ({
      code,
      detail,
      hint,
      startedAt: timeOf(problemSince),
    })),
  };
}

export function metricsRoute(app: FastifyInstance, { metrics }: AdminServices): void {
  app.get(
    '/metrics',
    VIEWER,
    async (_request, reply) => await reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  );
}

/** Member by member: what is passed here may be the server's credentials, private key and all. */
function certificateJson({ subject, names, notAfter, thumbprint }: NonNullable<StatusReport['certificate']>) {
  return { subject, names, notAfter: timeOf(notAfter), thumbprint };
}
