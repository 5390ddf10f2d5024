// /status (version, listeners, problems), /health/live, /health/ready, /store, /ca/trust-bundle.pem, /metrics.
import type { FastifyInstance } from 'fastify';
import type { AgentCounts } from '../store/agent-store.ts';
import { ANYONE, VIEWER, reads, type Access } from './access.ts';
import { agentFilter, readAgentFilter } from './agents/agents.ts';
import { backupJson } from './store.ts';
import { timeOf } from './page.ts';
import { agentsText, namesOf, type OnlineAgent } from '../change/agents.ts';
import { problemFault, problemOf, type Problem } from '../problems.ts';
import type { AdminServices, StatusReport } from './services.ts';

const MOST_NAMED = 5;

export function statusRoutes(
  app: FastifyInstance,
  { approvals, onlineAgents, status, pki, store, space, parameters }: AdminServices,
  access: Access,
): void {
  app.get('/status', reads(VIEWER, { query: readAgentFilter }), async (request) => {
    const filter = agentFilter(readAgentFilter(request.query));
    const isScoped = access.scopeOf(request) !== null;
    const [agents, requests, online] = await Promise.all([
      access.agentsOf(request).count(filter),
      approvals.counts(),
      isScoped ? null : onlineAgents.online(),
    ]);
    return isScoped
      ? statusJson(withoutAgents(status()), { ...requests, pending: 0, blocks: [] }, agents, online)
      : statusJson(status(), requests, agents, online);
  });

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

/**
 * For a token with a scope: details of problems may name any agent, and machines that request enrollment are in no
 * scope.
 */
function withoutAgents(report: StatusReport): StatusReport {
  const general = ({ code, startedAt }: Problem): Problem => ({
    code,
    detail: 'The details are for tokens without a scope.',
    hint: 'Ask an administrator whose token has no scope; the code is explained in docs/ERRORS.md.',
    startedAt,
  });
  return { ...report, problems: report.problems.map(general), advice: report.advice.map(general) };
}

/** Member by member, as it is documented. */
function statusJson(
  report: StatusReport,
  { pending, most, blocks }: Awaited<ReturnType<AdminServices['approvals']['counts']>>,
  agents: AgentCounts,
  online: readonly OnlineAgent[] | null,
) {
  const { central, node, nodes, version, startedAt, listeners, certificate, restore, problems, advice } = report;
  return {
    central,
    node,
    nodes: { aliveCount: nodes.alive, leader: nodes.leader },
    version,
    startedAt: timeOf(startedAt),
    listeners,
    certificate: certificate === null ? null : certificateJson(certificate),
    restore: restore === null ? null : { ...restore, backup: backupJson(restore.backup) },
    agents: countsJson(agents),
    sessions: online === null ? null : (['ws', 'wss'] as const).map((listener) => sessionsJson(listener, online)),
    enrollmentRequests: {
      pendingCount: pending,
      maxCount: most,
      // The address blocks with most of them.
      blocks: blocks.map((one) => ({ addressBlock: one.block, pendingCount: one.pending })),
    },
    problems: [...problems, ...advice, ...unencrypted(online ?? [])].map(
      ({ code, detail, hint, startedAt: problemSince, subject }) => ({
        code,
        detail,
        hint,
        startedAt: timeOf(problemSince),
        subject: subject === undefined ? null : { kind: subject.kind, id: subject.id, name: subject.name },
      }),
    ),
  };
}

function sessionsJson(of: OnlineAgent['listener'], online: readonly OnlineAgent[]) {
  return { listener: of, sessionCount: online.filter(({ listener }) => listener === of).length };
}

/** On this host only root can read what passes. */
function unencrypted(online: readonly OnlineAgent[]): Problem[] {
  const found = online.filter(({ transport, loopback }) => transport === 'ws' && !loopback);
  const [first] = found.toSorted((one, other) => one.since - other.since);
  if (first === undefined) return [];
  const fault = problemFault('agents_unencrypted', {
    count: agentsText(found.length),
    agents: namesOf(found, MOST_NAMED),
  });
  const subject = { kind: 'agent', id: first.agentId, name: first.name } as const;
  return [problemOf(fault, first.since, found.length === 1 ? subject : undefined)];
}

/** Member by member; each count has its name, for a client that shows them in a list. */
function countsJson({ agents, states, transports, versions, releases }: AgentCounts) {
  return {
    agentCount: agents,
    states: Object.entries(states).map(([state, agentCount]) => ({ state, agentCount })),
    transports: Object.entries(transports).map(([transport, agentCount]) => ({ transport, agentCount })),
    versions: versions.map(({ version, agents: agentCount }) => ({ version, agentCount })),
    releases: releases.map(({ release, name, agents: agentCount }) => ({ release, name, agentCount })),
  };
}

export function metricsRoute(app: FastifyInstance, { metrics }: AdminServices): void {
  app.get(
    '/metrics',
    reads(VIEWER, { whileStoreAway: true }),
    async (_request, reply) => await reply.type(metrics.registry.contentType).send(await metrics.registry.metrics()),
  );
}

/** Member by member: what is passed here may be the server's credentials, private key and all. */
function certificateJson({ subject, names, notAfter, thumbprint }: NonNullable<StatusReport['certificate']>) {
  return { subject, names, notAfter: timeOf(notAfter), thumbprint };
}
