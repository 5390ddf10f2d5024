// /agents and /incidents: who is registered, in which state and how far behind; what went wrong.
import type { FastifyInstance } from 'fastify';
import { Type, type TSchema } from 'typebox';
import type { AgentDirectory } from '../../agents/directory.ts';
import { MAX_SELECTOR_LENGTH, parseLabelFilters } from '../../agents/selectors.ts';
import type { AgentCertificate } from '../../store/certificate-store.ts';
import type { ReportedServices } from '../../store/services/exposure-store.ts';
import {
  AGENT_STATES,
  hasSession,
  type AgentFilter,
  type AgentRecord,
  type AgentState,
  type ConsumerReport,
  type Incident,
  type Keyed,
  type ReleaseReference,
  type SessionRecord,
} from '../../store/agent-store.ts';
import { readReason } from '../../store/agents/state-reasons.ts';
import { AGENT_SORTS, lastSeenAt, placeOf, type AgentPlace, type AgentSort } from '../../store/agents/sort.ts';
import { mayHaveMore } from '../../../shared/text-page.ts';
import { isRecord } from '../../../shared/wire/json-schema.ts';
import { textOfAgent } from '../../store/agents/labels.ts';
import { adminFault } from '../errors.ts';
import { storeFault } from '../../store/errors.ts';
import { ADMINISTRATOR, VIEWER, type Access, reads } from '../access.ts';
import { notice } from '../../change/report.ts';
import { sendReport, type Report } from '../changes/report.ts';
import { DRY_RUN } from '../changes/terms.ts';
import { oneOf, queryOf } from '../checked.ts';
import type { AdminServices } from '../services.ts';
import {
  isRow,
  pageJson,
  pageMembers,
  pageOf,
  pageOfRow,
  positionOf,
  readWithin,
  rowId,
  timeIn,
  timeOf,
} from '../page.ts';

/** A filter that may be repeated: one of its values holds. */
const several = (value: TSchema) => Type.Optional(Type.Array(Type.Unsafe<string>(value), { maxItems: 20 }));
/** Filters of agents, as the list has them. */
const agentFilterMembers = {
  state: several(oneOf(AGENT_STATES)),
  transport: several(oneOf(['ws', 'wss'])),
  version: several(Type.String({ minLength: 1, maxLength: 64 })),
  /** A digest or the beginning of one, or NAME@PREFIX. */
  release: several(Type.String({ pattern: '^(?:[A-Za-z0-9][A-Za-z0-9._-]{0,127}@)?[0-9a-f]{8,64}$' })),
  lastSeenBefore: Type.Optional(Type.String({ maxLength: 64 })),
  name: several(Type.String({ pattern: '^[A-Za-z0-9.*-]{1,253}$' })),
  label: several(Type.String({ minLength: 1, maxLength: MAX_SELECTOR_LENGTH })),
};
/** Reads them alone. */
export const readAgentFilter = queryOf(Type.Object(agentFilterMembers, { additionalProperties: false }));
const readList = queryOf(
  Type.Object(
    { ...pageMembers, sort: oneOf(AGENT_SORTS, { default: 'name' }), ...agentFilterMembers },
    { additionalProperties: false },
  ),
);
const readPage = queryOf(Type.Object(pageMembers, { additionalProperties: false }));
const readIncidents = queryOf(
  Type.Object(
    {
      ...pageMembers,
      id: Type.Optional(Type.String({ maxLength: 64 })),
      agent: Type.Optional(Type.String({ maxLength: 255 })),
      code: Type.Optional(Type.String({ maxLength: 64, pattern: '^[a-z_]+$' })),
    },
    { additionalProperties: false },
  ),
);

export function agentRoutes(app: FastifyInstance, services: AdminServices, access: Access): void {
  const { revocations } = services;
  app.get('/agents', reads(VIEWER, { query: readList }), async (request, reply) => {
    const agents = access.agentsOf(request);
    const query = readList(request.query);
    const after = positionOf(request, query);
    const found = await agents.list({
      limit: query.limit,
      ...placeOfPage(query.sort, after),
      ...agentFilter(query),
    });
    const last = mayHaveMore(found, query.limit, textOfAgent) ? found.at(-1) : undefined;
    const next = last === undefined ? null : positionIn(last, query.sort);
    return pageJson(request, reply, found.map(agentJson), next);
  });

  app.get<{ Params: { agent: string } }>('/agents/:agent', VIEWER, async (request, reply) => {
    const agents = access.agentsOf(request);
    const agent = await agents.find(request.params.agent);
    void reply.header('etag', tagOf(agent));
    return { ...agentJson(agent), ...(await reportedJson(agent.id, agents, services)) };
  });

  app.get<{ Params: { agent: string } }>(
    '/agents/:agent/history',
    reads(VIEWER, { query: readPage }),
    async (request, reply) => {
      const agents = access.agentsOf(request);
      const agent = await agents.find(request.params.agent);
      const changes = [...(await agents.history(agent.id)).entries()];
      return pageOf(request, reply, readPage(request.query), changes, {
        position: ([index, { at }]) => `${at} ${changes.length - index}`,
        json: ([, { at, state, reason, until }]) => ({
          state,
          stateChangedAt: timeOf(at),
          stateReason: readReason(reason, agent),
          stateDeadlineAt: timeOf(until),
        }),
      });
    },
  );

  app.delete<{ Params: { agent: string } }>(
    '/agents/:agent',
    reads(ADMINISTRATOR, { terms: DRY_RUN }),
    async (request, reply) => {
      const agent = await access.agentsOf(request).find(request.params.agent);
      if (access.termsOf(request).dryRun === true) return await sendReport(reply, restrictionReport(agent, 'deleted'));
      await revocations.remove(agent.id, access.actorOf(request));
      return await reply.code(204).send();
    },
  );

  app.get('/incidents', reads(VIEWER, { query: readIncidents }), async (request, reply) => {
    const query = readIncidents(request.query);
    const agents = access.agentsOf(request);
    const fitting = (rows: readonly Keyed<Incident>[]) => agents.fitting(rows, ({ agentId }) => agentId);
    if (query.id !== undefined) {
      const page = pageOfRow(query.id);
      const [row] = page === undefined ? [] : await fitting(await agents.incidents(page));
      return pageJson(request, reply, row !== undefined && isRow(row, query.id) ? [incidentJson(row)] : [], null);
    }
    const after = positionOf(request, query);
    const filter = {
      ...(query.agent === undefined ? {} : { agentId: await agents.findId(query.agent) }),
      ...(query.code === undefined ? {} : { kind: query.code }),
    };
    const { items, next } = await readWithin({
      limit: query.limit,
      after: after === undefined ? undefined : Number(after),
      read: (before, limit) => agents.incidents({ ...filter, limit, ...(before === undefined ? {} : { before }) }),
      fitting,
      placeOf: ({ key }) => key,
    });
    return pageJson(request, reply, items.map(incidentJson), next === null ? null : String(next));
  });
}

/** What the query says of agents. Errors: request_invalid, selector_invalid. */
export function agentFilter({
  state,
  transport,
  version,
  release,
  lastSeenBefore,
  name,
  label,
}: ReturnType<typeof readAgentFilter>): AgentFilter {
  const before = timeIn('lastSeenBefore', lastSeenBefore);
  return {
    ...(state === undefined ? {} : { states: state as AgentState[] }),
    ...(transport === undefined ? {} : { transports: transport as ('ws' | 'wss')[] }),
    ...(version === undefined ? {} : { versions: version }),
    ...(before === null ? {} : { lastSeenBefore: before }),
    ...(release === undefined ? {} : { releases: release.map(releaseReference) }),
    ...(name === undefined ? {} : { names: name }),
    ...(label === undefined ? {} : { labels: parseLabelFilters(label, () => ({ parameter: 'label' })) }),
  };
}

/** `NAME@PREFIX`, or a digest or the beginning of one. */
function releaseReference(text: string): ReleaseReference {
  const at = text.lastIndexOf('@');
  return { prefix: text.slice(at + 1), name: at === -1 ? null : text.slice(0, at) };
}

type AgentListPage = Parameters<AgentDirectory['list']>[0];

/** Where a page begins: behind a name, or behind a place in another order. Errors: cursor_invalid. */
function placeOfPage(by: AgentSort['by'], after: string | undefined): Pick<AgentListPage, 'after' | 'sort'> {
  if (by === 'name') return after === undefined ? {} : { after };
  return { sort: { by, ...(after === undefined ? {} : { after: placeIn(after) }) } };
}

function positionIn(last: AgentRecord, by: AgentSort['by']): string {
  return by === 'name' ? last.name : JSON.stringify(placeOf(last, by));
}

/** The place in a cursor. Errors: cursor_invalid. */
function placeIn(position: string): AgentPlace {
  try {
    const found: unknown = JSON.parse(position);
    if (isRecord(found) && ['string', 'number'].includes(typeof found['value']) && typeof found['id'] === 'string')
      return found as unknown as AgentPlace;
  } catch {
    // Not a cursor of this list.
  }
  throw adminFault('cursor_invalid', {});
}

const RESTRICTED = {
  disabled: { reason: 'agent-disabled', detail: 'Its session would end, and it would be refused until it is enabled.' },
  revoked: {
    reason: 'agent-revoked',
    detail: 'Its session would end, and it would be refused until it gets a new key with a recovery code.',
  },
  deleted: { reason: 'agent-deleted', detail: 'Its session would end, and it would have to enroll again.' },
} as const;

type Restriction = keyof typeof RESTRICTED;

type CutOffFacts = Pick<AgentRecord, 'id' | 'name' | 'state'> & Partial<Pick<AgentRecord, 'session'>>;

/** The agent, where an act that refuses it from then on would end its session. */
export function cutOffBy({ id, name, state, session }: CutOffFacts, to: Restriction) {
  return hasSession(state) ? [{ id, name, address: session?.address, ...RESTRICTED[to] }] : [];
}

/** The change of its state; none where it has that state already. `isNew`: it never had a session. */
export function changedState(
  { state, isNew }: { readonly state: AgentState; readonly isNew: boolean },
  to: Restriction | 'enabled',
): Report<null>['changed'] {
  if (to !== 'enabled') return state === to ? [] : [{ name: 'state', from: state, to }];
  return state === 'disabled' ? [{ name: 'state', from: state, to: isNew ? 'enrolled' : 'disconnected' }] : [];
}

/**
 * What a dry run says of an act that refuses an agent from then on, or ends that: to cut it off is the meaning of the
 * act. Errors: agent_revoked.
 */
export function restrictionReport(agent: AgentRecord, to: Restriction | 'enabled'): Report<null> {
  const { id, state, session, outbox } = agent;
  if (state === 'revoked' && (to === 'enabled' || to === 'disabled')) throw storeFault('agent_revoked', { id });
  const losesCommands = to === 'deleted' && outbox.messages > 0;
  return {
    dryRun: true,
    changed: changedState({ state, isNew: session === null }, to),
    cutOff: to === 'enabled' ? [] : cutOffBy(agent, to),
    notices: losesCommands ? [notice('commands_deleted', { count: outbox.messages })] : [],
    needsForce: false,
    change: null,
    result: null,
  };
}

/** Grows with each change of name, labels or notes; the rest of an agent changes by itself. */
export function tagOf({ version }: Pick<AgentRecord, 'version'>): string {
  return `"${version}"`;
}

/** Member by member: what is answered is what is documented. */
export function agentJson(agent: AgentRecord) {
  const { certificate, next, revocation, outbox, inbox } = agent;
  return {
    id: agent.id,
    name: agent.name,
    nameSource: agent.isNameSet ? 'administrator' : 'agent',
    labels: agent.labels,
    notes: agent.notes,
    state: agent.state,
    stateChangedAt: timeOf(agent.stateSince),
    stateReason: readReason(agent.stateReason, agent),
    stateDeadlineAt: timeOf(agent.stateUntil),
    keyThumbprint: agent.keyThumbprint,
    certificate: certificate === null ? null : certificateJson(certificate),
    renewal:
      next === null
        ? null
        : {
            keyThumbprint: next.keyThumbprint,
            startedAt: timeOf(next.certificate.issuedAt),
            installedAt: timeOf(next.certificate.installedAt),
            certificate: certificateJson(next.certificate),
          },
    revocation: revocation === null ? null : { revokedAt: timeOf(revocation.at), reason: revocation.reason },
    enrolledAt: timeOf(agent.enrolledAt),
    enrolledBy: agent.enrolledBy,
    epoch: agent.epoch,
    lastSeenAt: timeOf(lastSeenAt(agent, Date.now())),
    session: agent.session === null ? null : sessionJson(agent.session),
    releases: agent.releases.map(({ part, digest, name }) => ({ part, digest, name })),
    logs: {
      down: {
        incarnation: outbox.incarnation,
        messageCount: outbox.messages,
        bytes: outbox.bytes,
        oldestAt: timeOf(outbox.oldestAt),
      },
      up: { incarnation: inbox.incarnation, number: inbox.number, lastAt: timeOf(inbox.lastAt) },
    },
  };
}

/** What the agent said of its host. */
async function reportedJson(
  id: string,
  agents: Pick<AgentDirectory, 'consumersOf'>,
  { tasks, serviceReports }: Pick<AdminServices, 'serviceReports' | 'tasks'>,
): Promise<object> {
  const [consumers, handlers, services] = [
    await agents.consumersOf(id),
    await tasks.handlersOf(id),
    await serviceReports.of(id),
  ];
  return { ...consumersJson(consumers), queues: handlers?.queues ?? [], devicePort: portJson(services) };
}

/** Null: it is off, or the agent has not reported it. */
function portJson(report: ReportedServices | undefined): object | null {
  if (report?.devicePort === undefined || report.devicePort === null) return null;
  const { listenPort, state, names, notAfter, clientCertificates, connectionCount } = report.devicePort;
  const reportedAt = timeOf(report.reportedAt);
  return { listenPort, state, names, notAfter, clientCertificates, connectionCount, reportedAt };
}

function certificateJson({ thumbprint, serial, issuer, notBefore, notAfter, revoked }: AgentCertificate) {
  return {
    thumbprint,
    serialNumber: serial,
    issuerThumbprint: issuer,
    notBefore: timeOf(notBefore),
    notAfter: timeOf(notAfter),
    revocation: revoked === null ? null : { revokedAt: timeOf(revoked.at), reason: revoked.reason },
  };
}

function sessionJson({ session, version, transport, address, node, since, endedAt }: SessionRecord) {
  return { id: session, transport, address, version, node, startedAt: timeOf(since), endedAt: timeOf(endedAt) };
}

/** Numbers are those of the agent's commands (`logs.down`). */
function consumersJson(report: ConsumerReport | undefined) {
  if (report === undefined) return { inboxFull: null, consumers: null };
  const { at, position, inboxFull, consumers } = report;
  return {
    inboxFull,
    consumers: consumers.map(({ name, types, waitingFrom, waitingCount }) => ({
      name,
      types,
      acknowledged:
        position === null
          ? null
          : { incarnation: position.incarnation, number: waitingFrom === null ? position.number : waitingFrom - 1 },
      waitingCount,
      reportedAt: timeOf(at),
    })),
  };
}

function incidentJson({ key, at, kind, agentId, address, detail, count, lastAt }: Keyed<Incident>) {
  return {
    id: rowId(key),
    code: kind,
    firstAt: timeOf(at),
    lastAt: timeOf(lastAt),
    count,
    agentId,
    address,
    detail: JSON.parse(detail) as unknown,
  };
}
