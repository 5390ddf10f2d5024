// /agents and /incidents: who is registered, in which state and how far behind; what went wrong.
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import type { AgentCertificate } from '../../store/certificate-store.ts';
import { AGENT_STATES, type AgentRecord, type Incident, type SessionRecord } from '../../store/agent-store.ts';
import { ADMINISTRATOR, VIEWER, type Access } from '../access.ts';
import { queryOf } from '../checked.ts';
import type { AdminServices } from '../services.ts';
import { limit, timeOf } from '../page.ts';

const readList = queryOf(
  Type.Object(
    {
      after: Type.Optional(Type.String({ maxLength: 253 })),
      limit,
      state: Type.Optional(Type.Union(AGENT_STATES.map((state) => Type.Literal(state)))),
    },
    { additionalProperties: false },
  ),
);
const readIncidents = queryOf(
  Type.Object({ agent: Type.Optional(Type.String({ maxLength: 255 })), limit }, { additionalProperties: false }),
);

export function agentRoutes(app: FastifyInstance, { agents, revocations }: AdminServices, access: Access): void {
  app.get('/agents', VIEWER, async (request) => {
    const { after, limit: most, state } = readList(request.query);
    const found = await agents.list({
      limit: most,
      ...(after === undefined ? {} : { after }),
      ...(state === undefined ? {} : { state }),
    });
    return { agents: found.map(agentJson), next: found.length === most ? (found.at(-1)?.name ?? null) : null };
  });

  app.get<{ Params: { agent: string } }>('/agents/:agent', VIEWER, async (request) => {
    return agentJson(await agents.find(request.params.agent));
  });

  app.delete<{ Params: { agent: string } }>('/agents/:agent', ADMINISTRATOR, async (request, reply) => {
    await revocations.remove((await agents.find(request.params.agent)).id, access.actorOf(request));
    return await reply.code(204).send();
  });

  app.get('/incidents', VIEWER, async (request) => {
    const { agent, limit: most } = readIncidents(request.query);
    const found = await agents.incidents({
      limit: most,
      ...(agent === undefined ? {} : { agentId: await agents.findId(agent) }),
    });
    return { incidents: found.map(incidentJson) };
  });
}

/** Member by member: what is answered is what is documented. */
export function agentJson(agent: AgentRecord) {
  const { certificate, next, revocation, outbox, inbox } = agent;
  return {
    id: agent.id,
    name: agent.name,
    state: agent.state,
    stateSince: timeOf(agent.stateSince),
    stateReason: agent.stateReason,
    keyThumbprint: agent.keyThumbprint,
    certificate: certificate === null ? null : certificateJson(certificate),
    renewal:
      next === null
        ? null
        : {
            keyThumbprint: next.keyThumbprint,
            since: timeOf(next.certificate.issuedAt),
            installedAt: timeOf(next.certificate.installedAt),
            certificate: certificateJson(next.certificate),
          },
    revocation: revocation === null ? null : { at: timeOf(revocation.at), reason: revocation.reason },
    enrolledAt: timeOf(agent.enrolledAt),
    enrolledBy: agent.enrolledBy,
    epoch: agent.epoch,
    quarantinedUntil: timeOf(agent.quarantinedUntil),
    session: agent.session === null ? null : sessionJson(agent.session),
    logs: {
      down: {
        incarnation: outbox.incarnation,
        messages: outbox.messages,
        bytes: outbox.bytes,
        oldestAt: timeOf(outbox.oldestAt),
      },
      up: { incarnation: inbox.incarnation, number: inbox.number, lastAt: timeOf(inbox.lastAt) },
    },
  };
}

function certificateJson({ thumbprint, serial, issuer, notBefore, notAfter, revoked }: AgentCertificate) {
  return {
    thumbprint,
    serial,
    issuer,
    notBefore: timeOf(notBefore),
    notAfter: timeOf(notAfter),
    revoked: revoked === null ? null : { at: timeOf(revoked.at), reason: revoked.reason },
  };
}

function sessionJson({ session, version, transport, address, node, since, endedAt }: SessionRecord) {
  return { id: session, transport, address, version, node, since: timeOf(since), endedAt: timeOf(endedAt) };
}

function incidentJson({ at, kind, agentId, address, detail, count, lastAt }: Incident) {
  return {
    at: timeOf(at),
    lastAt: timeOf(lastAt),
    count,
    kind,
    agent: agentId,
    address,
    detail: JSON.parse(detail) as unknown,
  };
}
