// /service-exposures: the ports of Central that lead to services of agents, and who may call them; and what services an
// agent has.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { isCoded } from '../../../shared/errors.ts';
import type { AgentDirectory } from '../../agents/directory.ts';
import type { ExposureView } from '../../services/exposures.ts';
import { CALLER_ROLES } from '../../store/services/exposure-store.ts';
import { ADMINISTRATOR, VIEWER, type Access, reads } from '../access.ts';
import { ifMatchOf } from '../changes/if-match.ts';
import { bodyOf, oneOf, queryOf } from '../checked.ts';
import { pageMembers, pageOf, timeOf } from '../page.ts';
import type { AdminServices } from '../services.ts';

const strict = { additionalProperties: false } as const;
const textOrNull = (rules: object) => Type.Unsafe<string | null>({ type: ['string', 'null'], minLength: 1, ...rules });
const SERVICE = Type.String({ minLength: 1, maxLength: 32, pattern: '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$' });
/** Exactly one of address and certificate. */
const RULE = Type.Object(
  {
    address: Type.Optional(textOrNull({ maxLength: 64 })),
    certificate: Type.Optional(textOrNull({ maxLength: 253 })),
    role: Type.Optional(oneOf(CALLER_ROLES)),
  },
  strict,
);
const ALLOW = Type.Array(RULE, { minItems: 1, maxItems: 64 });
const CLIENT_CA = textOrNull({ maxLength: 65_536 });

const readPage = queryOf(Type.Object(pageMembers, strict));
const readNew = bodyOf(
  Type.Object(
    {
      agent: Type.String({ minLength: 1, maxLength: 255 }),
      service: SERVICE,
      listenPort: Type.Integer({ minimum: 1, maximum: 65_535 }),
      allow: ALLOW,
      clientCa: Type.Optional(CLIENT_CA),
    },
    strict,
  ),
);
const readPatch = bodyOf(
  Type.Object(
    { service: Type.Optional(SERVICE), allow: Type.Optional(ALLOW), clientCa: Type.Optional(CLIENT_CA) },
    strict,
  ),
);

interface OfExposure {
  Params: { exposure: string };
}

type Rules = ReturnType<typeof readNew>['allow'];

interface OfAgent {
  Params: { agent: string };
}

export function exposureRoutes(
  app: FastifyInstance,
  { exposures, serviceReports }: AdminServices,
  access: Access,
): void {
  const send = async (request: FastifyRequest, reply: FastifyReply, view: ExposureView): Promise<FastifyReply> => {
    const agent = await nameOf(access.agentsOf(request), view);
    return await reply.header('etag', `"${view.record.version}"`).send(exposureJson(view, agent));
  };

  app.get('/service-exposures', reads(VIEWER, { query: readPage }), async (request, reply) => {
    const agents = access.agentsOf(request);
    const views = await Promise.all(
      exposures.list().map(async (view) => ({ view, agent: await nameOf(agents, view) })),
    );
    return pageOf(request, reply, readPage(request.query), views, {
      position: ({ view }) => view.record.id,
      json: ({ view, agent }) => exposureJson(view, agent),
    });
  });

  app.post('/service-exposures', reads(ADMINISTRATOR, { body: readNew }), async (request, reply) => {
    const { agent, service, listenPort, allow, clientCa = null } = readNew(request.body);
    const { id: agentId } = await access.agentsOf(request).find(agent);
    const settings = { agentId, service, listenPort, allow: rulesOf(allow), clientCa };
    const view = await exposures.create(settings, access.actorOf(request));
    void reply.code(201).header('location', `/api/v1/service-exposures/${view.record.id}`);
    return await send(request, reply, view);
  });

  app.get<OfExposure>('/service-exposures/:exposure', VIEWER, async (request, reply) =>
    send(request, reply, exposures.find(request.params.exposure)),
  );

  app.patch<OfExposure>(
    '/service-exposures/:exposure',
    reads(ADMINISTRATOR, { body: readPatch }),
    async (request, reply) => {
      const { service, allow, clientCa } = readPatch(request.body);
      const change = {
        ...(service === undefined ? {} : { service }),
        ...(allow === undefined ? {} : { allow: rulesOf(allow) }),
        ...(clientCa === undefined ? {} : { clientCa }),
      };
      const version = ifMatchOf(request, 'a service exposure') ?? null;
      const actor = access.actorOf(request);
      return await send(request, reply, await exposures.set(request.params.exposure, change, version, actor));
    },
  );

  app.delete<OfExposure>('/service-exposures/:exposure', ADMINISTRATOR, async (request, reply) => {
    await exposures.remove(request.params.exposure, access.actorOf(request));
    return await reply.code(204).send();
  });

  app.get<OfAgent>('/agents/:agent/services', reads(VIEWER, { query: readPage }), async (request, reply) => {
    const { id } = await access.agentsOf(request).find(request.params.agent);
    const report = await serviceReports.of(id);
    return pageOf(request, reply, readPage(request.query), report?.services ?? [], {
      position: ({ name }) => name,
      json: ({ name, methods, paths, upgrade = null }) => ({
        name,
        methods,
        paths,
        upgrade,
        reportedAt: timeOf(report?.reportedAt ?? null),
      }),
    });
  });
}

function rulesOf(allow: Rules) {
  return allow.map(({ address = null, certificate = null, role = 'viewer' }) => ({ address, certificate, role }));
}

/** Null: the agent was deleted. */
async function nameOf(agents: Pick<AgentDirectory, 'find'>, { record }: ExposureView): Promise<string | null> {
  try {
    return (await agents.find(record.agentId)).name;
  } catch (error) {
    if (isCoded(error, 'agent_unknown', 'agent_ambiguous')) return null;
    throw error;
  }
}

function exposureJson({ record, state, reason }: ExposureView, agent: string | null) {
  const { id, agentId, service, listenPort, allow, clientCa, createdAt, createdBy } = record;
  return {
    id,
    agent: { id: agentId, name: agent },
    service,
    listenPort,
    allow,
    clientCa,
    state,
    stateReason: reason === null ? null : { code: reason.code, detail: reason.message, hint: reason.hint },
    createdAt: timeOf(createdAt),
    createdBy,
  };
}
