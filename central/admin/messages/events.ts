// /events: what agents sent up, by cursor, with filters, as pages with long poll or as a stream. The cursor is in
// commit order, so a consumer that keeps the last `next` misses nothing and sees nothing twice.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { DetailedError, isCoded } from '../../../shared/errors.ts';
import { withAgent } from '../../../shared/delivery/message.ts';
import { whenClosed } from '../../../shared/http/closed.ts';
import { MAX_SELECTOR_LENGTH, parseLabelFilters } from '../../agents/selectors.ts';
import { authFault } from '../../auth/errors.ts';
import { labeledAgents, readEventPage, type EventPage, type WantedEvents } from '../../messaging/event-pages.ts';
import type { StoredEvent } from '../../store/message-store.ts';
import { answerType, VIEWER, reads } from '../access.ts';
import { queryOf } from '../checked.ts';
import { adminFault, requestInvalid } from '../errors.ts';
import { limit, timeOf } from '../page.ts';
import type { AdminServices } from '../services.ts';
import { sendEvents, STREAM_TYPE } from './event-stream.ts';
import { waitSeconds } from '../changes/waiting.ts';

/** Each costs a socket and a timer; ordinary installations have a handful of consumers. */
const MAX_WAITING = 1000;
const BATCH_TYPE = 'application/cloudevents-batch+json';
const TYPES = ['application/json', BATCH_TYPE, STREAM_TYPE] as const;
/** Of a stream, at once. */
const STREAM_BATCH = 100;
const POSITION = String.raw`^(\d{1,15}|oldest|newest)$`;

const readQuery = queryOf(
  Type.Object(
    {
      // A cursor, `oldest`, or `newest` for new events only.
      after: Type.String({ pattern: POSITION, default: 'oldest' }),
      limit,
      waitSeconds,
      agent: Type.Optional(Type.String({ maxLength: 255 })),
      type: Type.Optional(Type.String({ maxLength: 255 })),
      source: Type.Optional(Type.String({ maxLength: 1024 })),
      /** Terms that all hold; repeated: one of them. */
      label: Type.Optional(
        Type.Array(Type.Unsafe<string>(Type.String({ minLength: 1, maxLength: MAX_SELECTOR_LENGTH })), {
          maxItems: 20,
        }),
      ),
    },
    { additionalProperties: false },
  ),
);

export function eventRoutes(app: FastifyInstance, services: AdminServices): void {
  const { apiTokens, inbox, hub, metrics } = services;
  let waiting = 0;
  const gauge = metrics.instruments.queuegate_waiting_requests;
  const enter = (): void => {
    if (waiting >= MAX_WAITING) throw adminFault('too_many_waiting', { count: waiting });
    gauge.set((waiting += 1));
  };
  const leave = (): void => gauge.set((waiting -= 1));

  /** Waits for something to answer, until the time is over or the client is gone. */
  async function poll(
    after: number,
    wanted: WantedEvents,
    most: number,
    signal: AbortSignal,
    gone: AbortSignal,
  ): Promise<EventPage> {
    let page = await readEventPage(inbox, after, wanted, most, gone);
    if (page.events.length > 0 || signal.aborted) return page;
    enter();
    try {
      while (page.events.length === 0 && !signal.aborted) {
        await hub.wait(page.next, signal);
        page = await readEventPage(inbox, page.next, wanted, most, gone);
      }
      return page;
    } finally {
      leave();
    }
  }

  function stream(request: FastifyRequest, reply: FastifyReply, after: number, wanted: WantedEvents): FastifyReply {
    enter();
    const token = (request.headers.authorization ?? '').replace(/^bearer +/i, '').trim();
    return sendEvents(reply, after, {
      async read(cursor, gone) {
        await assertKept(inbox, cursor);
        return await readEventPage(inbox, cursor, wanted, STREAM_BATCH, gone);
      },
      wait: (cursor, signal) => hub.wait(cursor, signal),
      itemOf: itemJson,
      refusal: async () =>
        (await apiTokens.isValid(token))
          ? undefined
          : authFault('unauthenticated', { found: 'this token expired or was removed' }),
      isAnswer: (error) => isCoded(error),
      closed: leave,
    });
  }

  app.get('/events', reads(VIEWER, { query: readQuery, types: TYPES }), async (request, reply) => {
    const query = readQuery(request.query);
    const type = answerType(request);
    const from = (type === STREAM_TYPE ? lastEventId(request) : undefined) ?? query.after;
    const newest = await inbox.lastCursor();
    const after = from === 'newest' ? newest : from === 'oldest' ? 0 : Number(from);
    if (after > newest) throw adminFault('cursor_ahead', { after, newest });
    await assertKept(inbox, after);
    const wanted = await wantedOf(services, query);
    if (type === STREAM_TYPE)
      return request.method === 'HEAD'
        ? await reply.type(STREAM_TYPE).send()
        : await stream(request, reply, after, wanted);

    const [ended, gone] = [new AbortController(), new AbortController()];
    const timer = setTimeout(() => ended.abort(), query.waitSeconds * 1000);
    // Before the answer is written, the client is gone, and no one waits any longer.
    whenClosed(reply.raw, () => {
      ended.abort();
      gone.abort();
    });
    if (query.waitSeconds === 0) ended.abort();
    try {
      return await sendPage(reply, await poll(after, wanted, query.limit, ended.signal, gone.signal), type);
    } finally {
      clearTimeout(timer);
    }
  });
}

/**
 * From 0 on a reader begins; behind a cursor it goes on, and has to know that it missed something. Errors:
 * cursor_expired.
 */
async function assertKept(inbox: AdminServices['inbox'], after: number): Promise<void> {
  const resumeAfter = after === 0 ? null : await inbox.prunedThrough(after);
  if (resumeAfter === null) return;
  throw new DetailedError(adminFault('cursor_expired', { after, resumeAfter }), { members: { resumeAfter } });
}

/** Errors: agent_unknown, agent_ambiguous, selector_invalid. */
async function wantedOf(
  { agents, now }: Pick<AdminServices, 'agents' | 'now'>,
  { agent, type, source, label }: ReturnType<typeof readQuery>,
): Promise<WantedEvents> {
  const labels = label === undefined ? undefined : parseLabelFilters(label, () => ({ parameter: 'label' }));
  return {
    ...(agent === undefined ? {} : { agentId: await agents.findId(agent) }),
    ...(type === undefined ? {} : { type }),
    ...(source === undefined ? {} : { source }),
    ...(labels === undefined ? {} : { agents: labeledAgents(agents, labels, now) }),
  };
}

/** Where a client goes on whose stream was cut (HTML Standard, section 9.2.4). Errors: request_invalid. */
function lastEventId({ headers }: FastifyRequest): string | undefined {
  const id = headers['last-event-id'];
  if (id === undefined || id === '') return undefined;
  const text = String(id);
  if (!new RegExp(POSITION).test(text))
    throw requestInvalid([
      {
        header: 'Last-Event-ID',
        detail: 'Last-Event-ID is not a cursor of events; allowed: the id of an event of an earlier stream.',
        allowed: null,
        found: text.slice(0, 64),
      },
    ]);
  return text;
}

/**
 * The events are JSON text in the store and go out as that text. In the batch form each says by an extension which
 * agent sent it.
 */
async function sendPage(reply: FastifyReply, { events, next }: EventPage, type: string): Promise<FastifyReply> {
  if (type === BATCH_TYPE) {
    return await reply
      .type(`${BATCH_TYPE}; charset=utf-8`)
      .header('queuegate-next', String(next))
      .send(`[${events.map(({ json, agentId }) => withAgent(json, agentId)).join(',')}]`);
  }
  const items = events.map(itemJson);
  return await reply.type('application/json; charset=utf-8').send(`{"items":[${items.join(',')}],"next":${next}}`);
}

function itemJson({ cursor, agentId, incarnation, number, receivedAt, json }: StoredEvent): string {
  const about = JSON.stringify({ cursor, agentId, incarnation, number, receivedAt: timeOf(receivedAt) });
  return `${about.slice(0, -1)},"event":${json}}`;
}
