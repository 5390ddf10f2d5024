// POST /agents/{agent}/commands, POST /commands (to several agents) and /dead-letters: commands to agents, and messages
// that could not be delivered.
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { DetailedError, isCoded, type ProblemEntry } from '../../../shared/errors.ts';
import { pointerTo } from '../../../shared/http/problem.ts';
import { causeOf, DEAD_LETTER_CODES, placeOf } from '../../../shared/delivery/dead-letters.ts';
import { messageFault } from '../../../shared/delivery/errors.ts';
import { faultText, readProduced, type Message } from '../../../shared/delivery/message.ts';
import { TASK_START } from '../../../shared/wire/tasks/frames.ts';
import { scanBatch } from '../../../shared/wire/json-text.ts';
import { fingerprint } from '../../../shared/sqlite/logs/fingerprint.ts';
import { commandIdOf } from '../../store/agents/command-id.ts';
import type { Keyed } from '../../store/agent-store.ts';
import type { DeadLetter } from '../../store/message-store.ts';
import { actOnEach } from '../../agents/acts/bulk.ts';
import type { Appended } from '../../../shared/delivery/log-interfaces.ts';
import { OPERATOR, VIEWER, reads, type Access } from '../access.ts';
import { bulkJson, SELECTORS } from '../agents/actions.ts';
import { oneOf, queryOf } from '../checked.ts';
import { keepMessageText, scannedBody } from '../body.ts';
import { requestInvalid } from '../errors.ts';
import { isRow, pageJson, pageMembers, pageOfRow, positionOf, readWithin, rowId, timeIn, timeOf } from '../page.ts';
import type { AdminServices } from '../services.ts';
import { NO_TERMS } from '../changes/terms.ts';

/** Of commands that REST completes: Central itself. */
const SOURCE = '/central';
/** Some hundred messages of ordinary size, or two of the largest that the table allows. */
const MAX_MESSAGES_BODY_BYTES = 8 * 1024 * 1024;
const MAX_BATCH = 1000;

/** Selectors are in the query, so that the body is only the command. */
const readSelection = queryOf(Type.Object({ agents: SELECTORS }, { additionalProperties: false }));
const readDeadLetters = queryOf(
  Type.Object(
    {
      ...pageMembers,
      id: Type.Optional(Type.String({ maxLength: 64 })),
      agent: Type.Optional(Type.String({ maxLength: 255 })),
      direction: Type.Optional(oneOf(['up', 'down'])),
      code: Type.Optional(Type.Array(oneOf(DEAD_LETTER_CODES), { maxItems: 20 })),
      createdAfter: Type.Optional(Type.String({ maxLength: 64 })),
      createdBefore: Type.Optional(Type.String({ maxLength: 64 })),
    },
    { additionalProperties: false },
  ),
);

export function messageRoutes(
  app: FastifyInstance,
  { messages, parameters, metrics, now }: AdminServices,
  access: Access,
): void {
  const { queuegate_messages_accepted_total: accepted } = metrics.instruments;

  const count = (appended: readonly Pick<Appended, 'outcome'>[]): void => {
    for (const outcome of ['stored', 'duplicate'] as const) {
      const found = appended.filter((one) => one.outcome === outcome).length;
      if (found > 0) accepted.inc({ outcome }, found);
    }
  };

  void app.register(async (scope: FastifyInstance) => {
    keepMessageText(scope);
    scope.post(
      '/commands',
      { ...reads(OPERATOR, { body: 'raw', terms: readSelection }), bodyLimit: MAX_MESSAGES_BODY_BYTES },
      async (request, reply) => {
        const { agents: selectors } = readSelection(request.query);
        const batch = readBatch(request.body, parameters.values()['agents.maxMessageBytes'], new Date(now()));
        const outcomes = await actOnEach(await access.agentsOf(request).select(selectors), async ({ id }) => {
          count(await messages.append(id, batch.messages));
        });
        return await reply.code(202).send(bulkJson(outcomes, request.id));
      },
    );
    scope.post<{ Params: { agent: string } }>(
      '/agents/:agent/commands',
      { ...reads(OPERATOR, { body: 'raw', terms: NO_TERMS }), bodyLimit: MAX_MESSAGES_BODY_BYTES },
      async (request, reply) => {
        const { agent } = request.params;
        // A session says nothing of labels.
        const known = access.scopeOf(request) === null ? messages.online(agent) : undefined;
        const { id, key } = known ?? (await access.agentsOf(request).find(agent));
        const maxBytes = parameters.values()['agents.maxMessageBytes'];
        const batch = readBatch(request.body, maxBytes, new Date(now()));
        const appended = await messages.append(id, batch.messages).catch((error: unknown) => {
          throw placed(error, batch);
        });
        count(appended);
        const items = batch.messages.map((message, i) => {
          const { outcome = 'stored', number = null } = appended[i] ?? {};
          return {
            id: message.id,
            source: message.source,
            commandId: commandIdOf(key, fingerprint(message)),
            outcome,
            number,
          };
        });
        return await reply.code(202).send({ items });
      },
    );
  });

  deadLetterRoute(app, messages, access);
}

function deadLetterRoute(app: FastifyInstance, messages: AdminServices['messages'], access: Access): void {
  app.get('/dead-letters', reads(VIEWER, { query: readDeadLetters }), async (request, reply) => {
    const query = readDeadLetters(request.query);
    const agents = access.agentsOf(request);
    const fitting = (rows: readonly Keyed<DeadLetter>[]) => agents.fitting(rows, ({ agentId }) => agentId);
    if (query.id !== undefined) {
      const page = pageOfRow(query.id);
      const [row] = page === undefined ? [] : await fitting((await messages.deadLetters(page)).items);
      return pageJson(request, reply, row !== undefined && isRow(row, query.id) ? [deadLetterJson(row)] : [], null);
    }
    const after = positionOf(request, query);
    const [from, to] = [timeIn('createdAfter', query.createdAfter), timeIn('createdBefore', query.createdBefore)];
    const filter = {
      ...(query.agent === undefined ? {} : { agentId: await agents.findId(query.agent) }),
      ...(query.direction === undefined ? {} : { direction: query.direction }),
      ...(query.code === undefined ? {} : { codes: query.code }),
      ...(from === null ? {} : { from }),
      ...(to === null ? {} : { to }),
    };
    let place: number | null = null;
    const { items, next } = await readWithin({
      limit: query.limit,
      after: after === undefined ? undefined : Number(after),
      async read(before, limit) {
        const page = await messages.deadLetters({ ...filter, limit, ...(before === undefined ? {} : { before }) });
        place = page.next;
        return page.items;
      },
      fitting,
      placeOf: ({ key }) => key,
      nextOf: () => place,
    });
    return pageJson(request, reply, items.map(deadLetterJson), next === null ? null : String(next));
  });
}

interface Batch {
  readonly isArray: boolean;
  readonly messages: readonly Message[];
}

/**
 * One message or several; all of them are validated before any is taken. Errors: json_unparseable; request_invalid and
 * message_expired with the place of each.
 */
function readBatch(body: unknown, maxBytes: number, now: Date): Batch {
  // A request without a body has no content type either, and is not parsed.
  const { isArray, items, count } = scannedBody(() => scanBatch(typeof body === 'string' ? body : '', MAX_BATCH));
  if (count === 0 || count > MAX_BATCH)
    throw requestInvalid([entryAt('', `The batch holds ${count} messages; allowed: 1 to ${MAX_BATCH}.`)]);
  const faults: ProblemEntry[] = [];
  let expired: { readonly pointer: string; readonly found: string } | undefined;
  let isInvalid = false;
  const messages: Message[] = [];
  for (const [i, item] of items.entries()) {
    const message = readProduced(item, { source: SOURCE, now }, maxBytes);
    if (!('pointer' in message) && message.type === TASK_START)
      faults.push(
        entryAt(`${isArray ? `/${i}` : ''}/type`, `The type ${TASK_START} is for tasks: POST /api/v1/tasks.`),
      );
    else if (!('pointer' in message)) messages.push(message);
    else {
      const place = `${isArray ? `/${i}` : ''}${message.pointer}`;
      isInvalid ||= message.kind === 'invalid';
      if (message.kind === 'expired') expired ??= { pointer: place, found: message.found };
      faults.push(entryAt(place, `${faultText(message)}.`));
    }
  }
  if (expired !== undefined && !isInvalid)
    throw new DetailedError(messageFault('message_expired', { ...expired, now: now.toISOString() }), {
      entries: faults,
    });
  if (faults.length > 0) throw requestInvalid(faults);
  return { isArray, messages };
}

/** The error of the store with the place of each message that it names. */
function placed(error: unknown, { isArray, messages }: Batch): unknown {
  if (!isCoded(error, 'id_reused')) return error;
  const indexes = String(error.parameters['indexes'] ?? '')
    .split(', ')
    .map(Number);
  const entries = indexes.map((index) =>
    entryAt(
      `${isArray ? `/${index}` : ''}/id`,
      `The id ${messages[index]?.id ?? ''} belongs to a message with other data.`,
    ),
  );
  return new DetailedError(error, { entries });
}

function entryAt(pointer: string, detail: string): ProblemEntry {
  return { pointer: pointerTo(pointer), detail, allowed: null, found: null };
}

function deadLetterJson({ key, at, direction, agentId, number, through, count, id, reason, json }: Keyed<DeadLetter>) {
  // A rejected item may be cut off in the middle: it is shown as the text that it is.
  return {
    id: rowId(key),
    createdAt: timeOf(at),
    direction,
    agentId,
    number,
    throughNumber: through,
    count,
    messageId: id,
    ...causeOf(reason),
    place: placeOf({ direction, reason }),
    text: json,
  };
}
