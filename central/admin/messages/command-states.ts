// /commands and GET /agents/{agent}/commands: commands that wait, what became of one, and its withdrawal.
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { isRecord } from '../../../shared/wire/json-schema.ts';
import { storeFault } from '../../store/errors.ts';
import type { StoredCommand } from '../../store/message-store.ts';
import { OPERATOR, VIEWER, type Access, reads } from '../access.ts';
import { queryOf } from '../checked.ts';
import { requestInvalid } from '../errors.ts';
import { pageJson, pageMembers, pageOf, positionOf, timeOf } from '../page.ts';
import type { AdminServices } from '../services.ts';

const readPage = queryOf(Type.Object(pageMembers, { additionalProperties: false }));
const readList = queryOf(
  Type.Object(
    {
      ...pageMembers,
      agent: Type.Optional(Type.String({ maxLength: 255 })),
      source: Type.Optional(Type.String({ minLength: 1, maxLength: 2048 })),
      id: Type.Optional(Type.String({ minLength: 1, maxLength: 255 })),
    },
    { additionalProperties: false },
  ),
);

interface OfCommand {
  Params: { command: string };
}

export function commandRoutes(app: FastifyInstance, { agents, messages }: AdminServices, access: Access): void {
  app.get('/commands', reads(VIEWER, { query: readList }), async (request, reply) => {
    const query = readList(request.query);
    const { source, id, limit } = query;
    const agentId = query.agent === undefined ? undefined : (await agents.find(query.agent)).id;
    const ofAgent = agentId === undefined ? {} : { agentId };
    if (source !== undefined && id !== undefined)
      return pageOf(request, reply, query, await messages.statesOf({ source, id }, agentId), {
        position: ({ commandId }) => commandId,
        json: commandJson,
      });
    if (source !== undefined || id !== undefined)
      throw requestInvalid([
        {
          parameter: source === undefined ? 'source' : 'id',
          detail: 'source and id name a command together; one of them is missing.',
          allowed: null,
          found: null,
        },
      ]);
    const after = positionOf(request, query);
    const found = await messages.waiting({
      limit,
      ...ofAgent,
      ...(after === undefined ? {} : { after: Number(after) }),
    });
    return pageJson(request, reply, found.map(commandJson), nextOf(found));
  });

  app.get<{ Params: { agent: string } }>(
    '/agents/:agent/commands',
    reads(VIEWER, { query: readPage }),
    async (request, reply) => {
      const query = readPage(request.query);
      const { id: agentId } = await agents.find(request.params.agent);
      const after = positionOf(request, query);
      const order = { limit: query.limit, agentId, ...(after === undefined ? {} : { after: Number(after) }) };
      const found = await messages.waiting(order);
      return pageJson(request, reply, found.map(commandJson), nextOf(found));
    },
  );

  app.get<OfCommand>('/commands/:command', VIEWER, async (request) => {
    const { command: id } = request.params;
    const found = await messages.find(id);
    if (found === undefined) throw storeFault('command_id_unknown', { id: id.slice(0, 64) });
    return commandJson(found);
  });

  app.delete<OfCommand>('/commands/:command', OPERATOR, async (request, reply) => {
    await messages.withdraw(request.params.command, access.actorOf(request));
    return await reply.code(204).send();
  });
}

/** A page may be shorter than its limit: only an empty one is the last for certain. */
function nextOf(found: readonly { readonly key: number }[]): string | null {
  const last = found.at(-1);
  return last === undefined ? null : String(last.key);
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
