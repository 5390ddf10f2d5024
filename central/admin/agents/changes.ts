// PATCH /agents/{agent}, /agents/{agent}/disable and /enable: what administrators decide about one agent.
import { isDeepStrictEqual } from 'node:util';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { DetailedError, isCoded, type ProblemEntry } from '../../../shared/errors.ts';
import { foundAt, pointerTo } from '../../../shared/http/problem.ts';
import { HELLO } from '../../../shared/wire/messages.ts';
import type { AgentDirectory } from '../../agents/directory.ts';
import { keepsScope } from '../../agents/scope.ts';
import { storeFault } from '../../store/errors.ts';
import { hasSession, type AgentChange, type AgentRecord } from '../../store/agent-store.ts';
import { LABEL_KEY, LABEL_VALUE, MAX_LABELS, MAX_NOTES_LENGTH } from '../../store/agents/labels.ts';
import { ADMINISTRATOR, type Access, reads } from '../access.ts';
import { ifMatchOf } from '../changes/if-match.ts';
import { rehearsal, sendReport, type Report } from '../changes/report.ts';
import { DRY_RUN } from '../changes/terms.ts';
import { bodyOf } from '../checked.ts';
import { requestInvalid } from '../errors.ts';
import type { AdminServices } from '../services.ts';
import { agentJson, restrictionReport, tagOf } from './agents.ts';

const { maxLength, pattern } = HELLO.properties.name;
/** Members whose null restores the default (RFC 7396). */
const nullable = (rules: object) => Type.Unsafe<string | null>({ type: ['string', 'null'], ...rules });
type LabelChange = Readonly<Record<string, string | null>>;
/** Room to replace all labels in one step. Keys and values are checked below, with what is allowed. */
export const LABEL_CHANGE = {
  type: 'object',
  maxProperties: 2 * MAX_LABELS,
  patternProperties: { '^': { type: ['string', 'null'] } },
} as const;

const readPatch = bodyOf(
  Type.Object(
    {
      name: Type.Optional(nullable({ minLength: 1, maxLength, pattern })),
      labels: Type.Optional(Type.Unsafe<LabelChange | null>({ ...LABEL_CHANGE, type: ['object', 'null'] })),
      notes: Type.Optional(nullable({ maxLength: MAX_NOTES_LENGTH })),
    },
    { additionalProperties: false },
  ),
);

interface OfAgent {
  Params: { agent: string };
}

const readReplacement = bodyOf(
  Type.Object({ by: Type.String({ minLength: 1, maxLength: 255 }) }, { additionalProperties: false }),
);

export function agentChangeRoutes(
  app: FastifyInstance,
  { agentChanges, approvals }: AdminServices,
  access: Access,
): void {
  app.patch<OfAgent>('/agents/:agent', reads(ADMINISTRATOR, { body: readPatch }), async (request, reply) => {
    if (request.body === undefined)
      throw requestInvalid([{ pointer: '#', detail: 'The body is missing.', allowed: null, found: null }]);
    const { name, labels, notes } = readPatch(request.body);
    assertLabels(labels ?? {});
    const agents = access.agentsOf(request);
    const version = ifMatchOf(request, 'an agent') ?? null;
    const { id } = await agents.find(request.params.agent);
    if (labels !== undefined) assertKeepsScope(access, request, labels);
    // Absent members stay absent: the audit entry names what was changed.
    const change: AgentChange = {
      ...(name === undefined ? {} : { name }),
      ...(labels === undefined ? {} : { labels }),
      ...(notes === undefined ? {} : { notes: notes ?? '' }),
    };
    try {
      return sendAgent(reply, await agentChanges.change(id, change, version, access.actorOf(request)));
    } catch (error) {
      // Whose it is may be an agent outside of the scope.
      if (isCoded(error, 'agent_name_taken') && access.scopeOf(request) !== null)
        throw storeFault('agent_name_taken', { name: name ?? '', owner: '(which a token with a scope is not shown)' });
      if (!isCoded(error, 'version_conflict')) throw error;
      const present = await agents.find(id);
      void reply.header('etag', tagOf(present));
      throw new DetailedError(error, { members: { changedBy: present.changedBy } });
    }
  });

  app.post<OfAgent>(
    '/agents/:agent/replace',
    reads(ADMINISTRATOR, { body: readReplacement, terms: DRY_RUN }),
    async (request, reply) => {
      const { by } = readReplacement(request.body);
      const agents = access.agentsOf(request);
      const agent = await agents.find(request.params.agent);
      const actor = access.actorOf(request);
      // An enrollment request is of a machine that has no labels yet: it is in no scope.
      if (access.termsOf(request).dryRun === true) {
        const found = access.scopeOf(request) === null ? await approvals.rehearseReplace(by, agent, actor) : undefined;
        if (found !== undefined) return await sendReport(reply, newKeyReport(agent, found.keyThumbprint));
        const next = await agentIn(agents, by);
        agentChanges.rehearseReplace(agent, next);
        return await sendReport(reply, replacementReport(agent, next));
      }
      const requested = access.scopeOf(request) === null ? await approvals.replace(by, agent, actor) : undefined;
      const replaced = requested ?? (await agentChanges.replace(agent, await agentIn(agents, by), actor));
      return sendAgent(reply, replaced);
    },
  );

  for (const [verb, to] of [
    ['disable', 'disabled'],
    ['enable', 'enabled'],
  ] as const)
    app.post<OfAgent>(`/agents/:agent/${verb}`, reads(ADMINISTRATOR, { terms: DRY_RUN }), async (request, reply) => {
      const agent = await access.agentsOf(request).find(request.params.agent);
      if (access.termsOf(request).dryRun === true) return await sendReport(reply, restrictionReport(agent, to));
      return sendAgent(reply, await agentChanges[verb](agent.id, access.actorOf(request)));
    });
}

const REPLACED = {
  reason: 'agent-replaced',
  detail: 'The session of the old machine would end, and its key would be refused from then on.',
} as const;

/** The old machine of an agent, where it has a session. */
const oldMachine = ({ id, name, state, session }: AgentRecord) =>
  hasSession(state) ? [{ id, name, address: session?.address, ...REPLACED }] : [];

/** What a dry run says of a new key for an agent. */
function newKeyReport(agent: AgentRecord, to: string): Report<null> {
  const { keyThumbprint: from } = agent;
  return from === to ? rehearsal([]) : rehearsal([{ name: 'keyThumbprint', from, to }], oldMachine(agent));
}

/** What a dry run says of an agent that takes the place of another one, which is deleted. */
function replacementReport(old: AgentRecord, next: AgentRecord): Report<null> {
  const taken = (['name', 'labels', 'notes'] as const)
    .map((name) => ({ name, from: next[name], to: old[name] }))
    .filter(({ from, to }) => !isDeepStrictEqual(from, to));
  return rehearsal([...taken, { name: 'id', from: old.id, to: next.id }], oldMachine(old));
}

/** The agent that the body names. Errors: request_invalid, agent_ambiguous. */
async function agentIn(agents: AgentDirectory, by: string): Promise<AgentRecord> {
  try {
    return await agents.find(by);
  } catch (error) {
    if (!isCoded(error, 'agent_unknown')) throw error;
    const detail = 'by is neither the thumbprint of an undecided enrollment request nor an agent.';
    throw requestInvalid([{ pointer: '#/by', detail, allowed: null, found: by.slice(0, 64) }]);
  }
}

function sendAgent(reply: FastifyReply, agent: AgentRecord): FastifyReply {
  return reply.header('etag', tagOf(agent)).send(agentJson(agent));
}

const KEY = new RegExp(LABEL_KEY);
const VALUE = new RegExp(LABEL_VALUE);
const RULE = 'letters, digits and . _ / -, of which the first and the last are letters or digits';

/**
 * A token with a scope moves no agent out of it. Errors: scope_too_narrow. What a change makes of the labels that the
 * scope names is the same for each agent.
 */
export function assertKeepsScope(access: Access, request: FastifyRequest, labels: LabelChange | null): void {
  const scope = access.scopeOf(request);
  if (scope === null || keepsScope(scope, labels)) return;
  throw access.tooNarrow(request, 'a scope that has the agent with its new labels, too');
}

/** Errors: request_invalid with each faulty label. */
export function assertLabels(labels: LabelChange): void {
  const entries = Object.entries(labels).flatMap(([key, value]): ProblemEntry[] => {
    const place = `/labels/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`;
    const entry = (detail: string, allowed: string, found: string): ProblemEntry => ({
      pointer: pointerTo(place),
      detail: `${detail}; allowed: ${allowed}.`,
      allowed: [allowed],
      found: foundAt('', found),
    });
    if (!KEY.test(key)) return [entry('The key of a label is invalid', `1 to 63 ${RULE}`, key)];
    return value === null || VALUE.test(value)
      ? []
      : [entry('The value of a label is invalid', `up to 63 ${RULE}`, value)];
  });
  if (entries.length > 0) throw requestInvalid(entries);
}
