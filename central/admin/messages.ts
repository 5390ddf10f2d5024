// /agents/{id}/messages and /dead-letters: commands on their way down, and what was given up.
import type { FastifyInstance } from 'fastify';
import { Type } from 'typebox';
import { completeMessage, readMessage, type Message } from '../../shared/delivery/message.ts';
import type { DeadLetter } from '../store/store.ts';
import { OPERATOR, VIEWER } from './access.ts';
import { queryOf } from './checked.ts';
import { RequestFaults, type RequestFault } from './errors.ts';
import { limit, timeOf } from './page.ts';
import type { AdminServices } from './services.ts';

/** Of commands that REST completes: Central itself. */
const SOURCE = '/central';
/** Some hundred messages of ordinary size, or two of the largest that the table allows. */
export const MAX_MESSAGES_BODY_BYTES = 8 * 1024 * 1024;
const MAX_BATCH = 1000;

const readDeadLetters = queryOf(Type.Object({ agent: Type.Optional(Type.String({ maxLength: 255 })), limit }, { additionalProperties: false }));

export function messageRoutes(app: FastifyInstance, { agents, messages, parameters, metrics, now }: AdminServices): void {
  const { queuegate_messages_accepted_total: accepted } = metrics.instruments;

  app.post<{ Params: { id: string } }>('/agents/:id/messages', { ...OPERATOR, bodyLimit: MAX_MESSAGES_BODY_BYTES }, async (request, reply) => {
    const { id } = await agents.find(request.params.id);
    const maxBytes = parameters.values()['agents.maxMessageBytes'];
    const batch = readBatch(request.body, maxBytes, new Date(now()));
    const appended = await messages.append(id, batch);
    const told = batch.map((message, i) => {
      const { outcome = 'stored', number = null } = appended[i] ?? {};
      accepted.inc({ outcome });
      return { id: message.id, source: message.source, outcome, number };
    });
    return await reply.code(202).send({ messages: told });
  });

  app.get('/dead-letters', VIEWER, async (request) => {
    const { agent, limit: most } = readDeadLetters(request.query);
    const found = await messages.deadLetters({ limit: most, ...(agent === undefined ? {} : { agentId: await agents.findId(agent) }) });
    return { deadLetters: found.map(deadLetterJson) };
  });
}

/** One message or several; all of them are judged before any is taken. Errors: RequestFaults with the place of each. */
function readBatch(body: unknown, maxBytes: number, now: Date): Message[] {
  const items: readonly unknown[] = Array.isArray(body) ? body : [body];
  if (items.length === 0 || items.length > MAX_BATCH) throw new RequestFaults([{ place: '', text: `the batch holds ${items.length} messages; allowed: 1 to ${MAX_BATCH}` }]);
  const faults: RequestFault[] = [];
  const batch: Message[] = [];
  for (const [i, item] of items.entries()) {
    const message = readMessage(completeMessage(item, SOURCE, now), maxBytes);
    if (typeof message === 'string') faults.push({ place: Array.isArray(body) ? `/${i}` : '', text: message });
    else batch.push(message);
  }
  if (faults.length > 0) throw new RequestFaults(faults);
  return batch;
}

function deadLetterJson({ at, direction, agentId, number, through, count, id, reason, json }: DeadLetter) {
  // A rejected item may be cut off in the middle: it is shown as the text that it is.
  return { at: timeOf(at), direction, agent: agentId, number, through, count, id, reason, json };
}
