// /enrollment-requests, POST /agents and /agents/{agent}/recovery-code: enrollment by an act of an administrator.
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { NEW_ID } from '../../../shared/wire/enrollment.ts';
import { HELLO, MAX_ID_LENGTH } from '../../../shared/wire/messages.ts';
import { validityOf } from '../../../shared/x509/validity.ts';
import { thumbprintOf } from '../../pki/x509/certificate.ts';
import { recoveryLine } from '../../enrollment/command-lines.ts';
import { DEFAULT_RECOVERY_CODE_SECONDS, MAX_RECOVERY_CODE_SECONDS } from '../../enrollment/recovery.ts';
import { ENROLLMENT_REQUEST_STATES, type EnrollmentRequestRecord } from '../../store/enrollment-store.ts';
import { ADMINISTRATOR, VIEWER, type Access, reads } from '../access.ts';
import { rehearsal, sendReport } from '../changes/report.ts';
import { DRY_RUN } from '../changes/terms.ts';
import { bodyOf, oneOf, queryOf } from '../checked.ts';
import { pageJson, pageMembers, positionOf, timeOf } from '../page.ts';
import type { AdminServices } from '../services.ts';

const strict = { additionalProperties: false } as const;
const { maxLength, pattern } = HELLO.properties.name;
const readList = queryOf(
  Type.Object(
    {
      state: oneOf(ENROLLMENT_REQUEST_STATES, { default: 'pending' }),
      ...pageMembers,
    },
    strict,
  ),
);
const readIssue = bodyOf(
  Type.Object(
    {
      csr: Type.String({ minLength: 64, maxLength: 8192 }),
      name: Type.Optional(Type.String({ minLength: 1, maxLength, pattern })),
      id: Type.Optional(Type.String({ minLength: 1, maxLength: MAX_ID_LENGTH, pattern: NEW_ID.pattern })),
    },
    strict,
  ),
);
const readRecoveryCodeOrder = bodyOf(
  Type.Object(
    { lifetimeSeconds: Type.Optional(Type.Integer({ minimum: 60, maximum: MAX_RECOVERY_CODE_SECONDS })) },
    strict,
  ),
);

interface OfRequest {
  Params: { request: string };
}

export function enrollmentRoutes(
  app: FastifyInstance,
  { approvals, offlineEnrollment, recoveries, advertised }: AdminServices,
  access: Access,
): void {
  app.get('/enrollment-requests', reads(VIEWER, { query: readList }), async (request, reply) => {
    const { state, ...page } = readList(request.query);
    const found = await approvals.list({ state, after: positionOf(request, page), limit: page.limit });
    const next = found.length === page.limit ? (found.at(-1)?.keyThumbprint ?? null) : null;
    return pageJson(request, reply, found.map(requestJson), next);
  });

  app.get<OfRequest>('/enrollment-requests/:request', VIEWER, async (request) =>
    requestJson(await approvals.get(request.params.request)),
  );

  const decision = reads(ADMINISTRATOR, { terms: DRY_RUN });
  app.post<OfRequest>('/enrollment-requests/:request/accept', decision, async (request, reply) => {
    const [{ request: thumbprint }, actor] = [request.params, access.actorOf(request)];
    if (access.termsOf(request).dryRun === true) {
      const { state } = await approvals.rehearseAccept(thumbprint, actor);
      return await sendReport(reply, rehearsal([{ name: 'state', from: state, to: 'accepted' }]));
    }
    const { id, name, keyThumbprint } = await approvals.accept(thumbprint, actor);
    return { keyThumbprint, name, state: 'accepted', agent: { id, name } };
  });

  app.post<OfRequest>('/enrollment-requests/:request/reject', decision, async (request, reply) => {
    const { request: thumbprint } = request.params;
    if (access.termsOf(request).dryRun === true) {
      const { state } = await approvals.rehearseReject(thumbprint);
      return await sendReport(reply, rehearsal([{ name: 'state', from: state, to: 'rejected' }]));
    }
    const { name, keyThumbprint } = await approvals.reject(thumbprint, access.actorOf(request));
    return { keyThumbprint, name, state: 'rejected', agent: null };
  });

  app.post('/agents', reads(ADMINISTRATOR, { body: readIssue }), async (request, reply) => {
    const { csr, name, id } = readIssue(request.body);
    const { agent, certificate, pem } = await offlineEnrollment.issue({ csr, name, id }, access.actorOf(request));
    return await reply
      .code(201)
      .header('location', `/api/v1/agents/${encodeURIComponent(agent.id)}`)
      .send({
        id: agent.id,
        name: agent.name,
        keyThumbprint: agent.keyThumbprint,
        certificate: { thumbprint: thumbprintOf(certificate), notAfter: timeOf(validityOf(certificate).to.getTime()) },
        pem,
      });
  });

  recoveryCodeRoutes(app, { recoveries, advertised }, access);
}

interface OfAgent {
  Params: { agent: string };
}

function recoveryCodeRoutes(
  app: FastifyInstance,
  { recoveries, advertised }: Pick<AdminServices, 'advertised' | 'recoveries'>,
  access: Access,
): void {
  app.get<OfAgent>('/agents/:agent/recovery-code', ADMINISTRATOR, async (request) => {
    const { id, name } = await access.agentsOf(request).find(request.params.agent);
    const { createdAt, createdBy, expiresAt, usedBy } = await recoveries.get({ id, name });
    return {
      agent: { id, name },
      createdAt: timeOf(createdAt),
      createdBy,
      expiresAt: timeOf(expiresAt),
      usedByKeyThumbprint: usedBy,
    };
  });

  app.delete<OfAgent>('/agents/:agent/recovery-code', ADMINISTRATOR, async (request, reply) => {
    await recoveries.remove(await access.agentsOf(request).find(request.params.agent), access.actorOf(request));
    return await reply.code(204).send();
  });

  app.post<OfAgent>(
    '/agents/:agent/recovery-code',
    reads(ADMINISTRATOR, { body: readRecoveryCodeOrder }),
    async (request, reply) => {
      const { lifetimeSeconds = DEFAULT_RECOVERY_CODE_SECONDS } = readRecoveryCodeOrder(request.body);
      const { id } = await access.agentsOf(request).find(request.params.agent);
      const { agent, code, expiresAt } = await recoveries.make(id, lifetimeSeconds, access.actorOf(request));
      // What it spoke last is what its profile says.
      const encrypted = agent.session?.transport !== 'ws';
      return await reply
        .code(201)
        .header('cache-control', 'no-store')
        .send({
          agent: { id: agent.id, name: agent.name },
          code,
          expiresAt: timeOf(expiresAt),
          commandLine: recoveryLine({ ...advertised(encrypted ? 'wss' : 'ws'), name: agent.name, encrypted }),
        });
    },
  );
}

function requestJson({
  keyThumbprint,
  name,
  id,
  address,
  block,
  transport,
  firstRequestedAt,
  lastRequestedAt,
  state,
  decidedAt,
  decidedBy,
  comment,
}: EnrollmentRequestRecord) {
  return {
    keyThumbprint,
    name,
    agentId: id,
    address,
    addressBlock: block,
    transport,
    firstRequestedAt: timeOf(firstRequestedAt),
    lastRequestedAt: timeOf(lastRequestedAt),
    state,
    decidedAt: timeOf(decidedAt),
    decidedBy,
    comment,
  };
}
