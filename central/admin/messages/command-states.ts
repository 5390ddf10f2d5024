// /commands and GET /agents/{agent}/commands: commands that wait, what became of one, and its withdrawal.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { mayHaveMore } from '../../../shared/text-page.ts';
import { isRecord } from '../../../shared/wire/json-schema.ts';
import { storeFault } from '../../store/errors.ts';
import { readCommandId } from '../../store/agents/command-id.ts';
import { COMMAND_STATES, type CommandPlace, type CommandState, type StoredCommand } from '../../store/message-store.ts';
import { OPERATOR, VIEWER, type Access, reads } from '../access.ts';
import { rehearsal, sendReport, type Report } from '../changes/report.ts';
import { DRY_RUN } from '../changes/terms.ts';
import { oneOf, queryOf } from '../checked.ts';
import { adminFault, requestInvalid } from '../errors.ts';
import { pageJson, pageMembers, positionOf, readWithin, timeOf, type PageQuery } from '../page.ts';
import type { AdminServices } from '../services.ts';

const readPage = queryOf(Type.Object(pageMembers, { additionalProperties: false }));
const readList = queryOf(
  Type.Object(
    {
      ...pageMembers,
      agent: Type.Optional(Type.String({ maxLength: 255 })),
      source: Type.Optional(Type.String({ minLength: 1, maxLength: 2048 })),
      id: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
      /** Those that wait, unless it is there. */
      state: Type.Optional(Type.Array(oneOf(COMMAND_STATES), { maxItems: 20 })),
    },
    { additionalProperties: false },
  ),
);

interface OfCommand {
  Params: { command: string };
}

export function commandRoutes(app: FastifyInstance, { messages }: AdminServices, access: Access): void {
  /** Those that wait, of one agent or of all that the token is for. */
  async function sendWaiting(request: FastifyRequest, reply: FastifyReply, query: PageQuery, agentId?: string) {
    const after = positionOf(request, query);
    const ofAgent = agentId === undefined ? {} : { agentId };
    const { items, next } = await readWithin({
      limit: query.limit,
      after: after === undefined ? undefined : Number(after),
      read: (place, limit) => messages.waiting({ ...ofAgent, limit, ...(place === undefined ? {} : { after: place }) }),
      fitting: (rows) => access.agentsOf(request).fitting(rows, ({ agent }) => agent.id),
      placeOf: ({ key }) => key,
      isLast: (rows, limit) => !mayHaveMore(rows, limit, textOf),
    });
    return pageJson(request, reply, items.map(commandJson), next === null ? null : String(next));
  }

  /** Errors: command_id_unknown, also of an agent that the token is not for. */
  async function commandOf(request: FastifyRequest<OfCommand>): Promise<StoredCommand> {
    const { command: id } = request.params;
    const found = await messages.find(id);
    const agents = access.agentsOf(request);
    const [command] = found === undefined ? [] : await agents.fitting([found], ({ agent }) => agent.id);
    if (command === undefined) throw storeFault('command_id_unknown', { id: id.slice(0, 64) });
    return command;
  }

  app.get('/commands', reads(VIEWER, { query: readList }), async (request, reply) => {
    const query = readList(request.query);
    const { source, id } = query;
    const agents = access.agentsOf(request);
    const agentId = query.agent === undefined ? undefined : (await agents.find(query.agent)).id;
    const wanted = query.state;
    if (source === undefined && id === undefined)
      return wanted?.some((state) => state !== 'queued') === true
        ? await sendInStates({ messages, access }, request, reply, { ...query, states: wanted }, agentId)
        : await sendWaiting(request, reply, query, agentId);
    if (source === undefined || id === undefined) throw halfNamed(source === undefined ? 'source' : 'id');
    const position = positionOf(request, query);
    const ofAgent = agentId === undefined ? {} : { agentId };
    const { items, next } = await readWithin({
      limit: query.limit,
      after: position,
      read: (after, limit) =>
        messages.statesOf({ source, id }, { ...ofAgent, limit, ...(after === undefined ? {} : { after }) }),
      fitting: async (states) =>
        (await agents.fitting(states, ({ agent }) => agent.id)).filter(
          ({ state }) => wanted === undefined || wanted.includes(state),
        ),
      placeOf: ({ agent }) => agent.name,
      isLast: (states, limit) => !mayHaveMore(states, limit, textOf),
    });
    return pageJson(request, reply, items.map(commandJson), next);
  });

  app.get<{ Params: { agent: string } }>(
    '/agents/:agent/commands',
    reads(VIEWER, { query: readPage }),
    async (request, reply) => {
      const { id } = await access.agentsOf(request).find(request.params.agent);
      return await sendWaiting(request, reply, readPage(request.query), id);
    },
  );

  app.get<OfCommand>('/commands/:command', VIEWER, async (request) => commandJson(await commandOf(request)));

  app.delete<OfCommand>('/commands/:command', reads(OPERATOR, { terms: DRY_RUN }), async (request, reply) => {
    if (access.termsOf(request).dryRun === true)
      return await sendReport(reply, await withdrawalReport(messages, await commandOf(request)));
    // The store says what is wrong with one that cannot be withdrawn.
    if (access.scopeOf(request) !== null) await commandOf(request);
    await messages.withdraw(request.params.command, access.actorOf(request));
    return await reply.code(204).send();
  });
}

/** What a dry run says of a withdrawal. Errors: command_id_unknown, command_delivered. */
async function withdrawalReport(
  messages: AdminServices['messages'],
  { commandId, state }: StoredCommand,
): Promise<Report<null>> {
  await messages.rehearseWithdrawal(commandId);
  return rehearsal([{ name: 'state', from: state, to: 'withdrawn' }]);
}

function halfNamed(parameter: 'id' | 'source'): Error {
  const detail = 'source and id name a command together; one of them is missing.';
  return requestInvalid([{ parameter, detail, allowed: null, found: null }]);
}

const textOf = ({ json }: StoredCommand): string | null => json;
/** Errors: cursor_invalid. */
function placeIn(position: string): string {
  if (!/^\d{1,15} [\w-]{16}$/.test(position)) throw adminFault('cursor_invalid', {});
  return position;
}

/** As the store has it. */
function commandPlace(text: string): CommandPlace {
  const [agentKey, hash = ''] = text.split(' ');
  return { agentKey: Number(agentKey), hash };
}

/** Those with these states, whether they wait or not. Errors: cursor_invalid. */
async function sendInStates(
  { messages, access }: { readonly messages: AdminServices['messages']; readonly access: Access },
  request: FastifyRequest,
  reply: FastifyReply,
  { states, ...query }: PageQuery & { readonly states: readonly CommandState[] },
  agentId?: string,
) {
  const after = positionOf(request, query);
  const ofAgent = agentId === undefined ? {} : { agentId };
  let behind: string | null = null;
  const { items, next } = await readWithin<StoredCommand, string>({
    limit: query.limit,
    after: after === undefined ? undefined : placeIn(after),
    async read(place, limit) {
      const from = place === undefined ? {} : { after: commandPlace(place) };
      const page = await messages.list({ limit, states, ...ofAgent, ...from });
      behind = page.next === null ? null : `${page.next.agentKey} ${page.next.hash}`;
      return page.items;
    },
    fitting: (rows) => access.agentsOf(request).fitting(rows, ({ agent }) => agent.id),
    placeOf({ commandId }) {
      const { agentKey, hash } = readCommandId(commandId) ?? { agentKey: 0, hash: '' };
      return `${agentKey} ${hash}`;
    },
    nextOf: () => behind,
  });
  return pageJson(request, reply, items.map(commandJson), next);
}

function commandJson({ commandId, agent, state, queuedAt, number, json, expiresAt }: StoredCommand) {
  const { id = null, source = null, type = null } = json === null ? {} : textsOf(json);
  return {
    commandId,
    agent,
    state,
    queuedAt: timeOf(queuedAt),
    expiresAt: timeOf(expiresAt),
    number,
    id,
    source,
    type,
    text: json,
  };
}

/** Validated before it was stored. */
function textsOf(json: string): { readonly id?: string; readonly source?: string; readonly type?: string } {
  const found: unknown = JSON.parse(json);
  return isRecord(found) ? found : {};
}
