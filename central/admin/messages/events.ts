// /events: what agents sent up, by cursor, with filters, as pages with long poll or as a stream. The cursor is in
// commit order, so a consumer that keeps the last `next` misses nothing and sees nothing twice.
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { withAgent } from '../../../shared/delivery/message.ts';
import { whenClosed } from '../../../shared/http/closed.ts';
import { MAX_SELECTOR_LENGTH, parseLabelFilters } from '../../agents/selectors.ts';
import type { EventCursors } from '../../messaging/event-cursors.ts';
import { readEventPage, type EventPage, type WantedEvents } from '../../messaging/event-pages.ts';
import type { StoredEvent } from '../../store/message-store.ts';
import { answerType, VIEWER, reads, type Access } from '../access.ts';
import { queryOf } from '../checked.ts';
import { limit, linkNext, timeOf } from '../page.ts';
import type { AdminServices } from '../services.ts';
import { assertEventsKept, positionOfEvents } from './event-position.ts';
import { sendStream, STREAM_TYPE, streamEvent, streamTerms } from './event-stream.ts';
import { waitSeconds } from '../changes/waiting.ts';

const BATCH_TYPE = 'application/cloudevents-batch+json';
const TYPES = ['application/json', BATCH_TYPE, STREAM_TYPE] as const;
/** Of a stream, at once. */
const STREAM_BATCH = 100;

const readQuery = queryOf(
  Type.Object(
    {
      // A cursor, `oldest`, or `newest` for new events only.
      after: Type.String({ minLength: 1, maxLength: 1024, default: 'oldest' }),
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

export function eventRoutes(app: FastifyInstance, services: AdminServices, access: Access): void {
  const { cursors, streams } = services;
  const itemJson = itemWriter(cursors);
  const { poll, stream } = createReaders(services, access);

  app.get('/events', reads(VIEWER, { query: readQuery, types: TYPES, boundsItself: true }), async (request, reply) => {
    const query = readQuery(request.query);
    const type = answerType(request);
    const last = type === STREAM_TYPE ? lastEventId(request) : undefined;
    const place = last === undefined ? { parameter: 'after' } : { header: 'Last-Event-ID' };
    const after = await positionOfEvents(services, last ?? query.after, place);
    await assertEventsKept(services, after);
    const wanted = await wantedOf(request, query, access);
    if (type === STREAM_TYPE)
      return request.method === 'HEAD'
        ? await reply.type(STREAM_TYPE).send()
        : await stream(request, reply, after, wanted);

    const [ended, gone] = [new AbortController(), new AbortController()];
    const timer = setTimeout(() => ended.abort(), query.waitSeconds * 1000);
    const isOver = streams.enter(() => void (streams.isStopping && ended.abort()));
    // Before the answer is written, the client is gone, and no one waits any longer.
    whenClosed(reply.raw, () => {
      isOver();
      ended.abort();
      gone.abort();
    });
    if (query.waitSeconds === 0) ended.abort();
    try {
      const { events, next } = await poll(after, wanted, query.limit, ended.signal, gone.signal);
      const cursor = cursors.encode(next);
      linkNext(request, reply, cursor);
      return await (type === BATCH_TYPE
        ? sendBatch(reply, events, cursor)
        : sendPage(reply, events.map(itemJson), cursor));
    } finally {
      clearTimeout(timer);
    }
  });
}

/** How a request gets events: once, or as they come. A bounded number waits for them. */
function createReaders(services: AdminServices, access: Access) {
  const { inbox, cursors, hub, waiting } = services;
  const itemJson = itemWriter(cursors);

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
    const leave = waiting.enter();
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
    let place = after;
    return sendStream(reply, cursors.encode(after), {
      async read(_cursor, gone) {
        await assertEventsKept(services, place);
        const { events, next } = await readEventPage(inbox, place, wanted, STREAM_BATCH, gone);
        const texts = events.map((event) => streamEvent('event', itemJson(event), cursors.encode(event.cursor)));
        place = next;
        return { text: texts.join(''), next: cursors.encode(next) };
      },
      wait: (_cursor, signal) => hub.wait(place, signal),
      ...streamTerms(request, access, services),
    });
  }

  return { poll, stream };
}

/** Errors: agent_unknown, agent_ambiguous, selector_invalid. */
async function wantedOf(
  request: FastifyRequest,
  { agent, type, source, label }: ReturnType<typeof readQuery>,
  access: Access,
): Promise<WantedEvents> {
  const labels = label === undefined ? undefined : parseLabelFilters(label, () => ({ parameter: 'label' }));
  const agents = access.agentsOf(request);
  return {
    ...(agent === undefined ? {} : { agentId: await agents.findId(agent) }),
    ...(type === undefined ? {} : { type }),
    ...(source === undefined ? {} : { source }),
    ...(labels === undefined ? {} : { agents: () => agents.idsWith(labels) }),
    // The scope may change, and the labels of agents: each page is looked at as the token and they are now.
    async fitting(events) {
      await access.recheck(request);
      return await access.agentsOf(request).fitting(events, ({ agentId }) => agentId);
    },
  };
}

/** Where a client goes on whose stream was cut (HTML Standard, section 9.2.4). */
function lastEventId({ headers }: FastifyRequest): string | undefined {
  const id = headers['last-event-id'];
  return id === undefined || id === '' ? undefined : String(id);
}

/**
 * The events are JSON text in the store and go out as that text. In the batch form each says by an extension which
 * agent sent it.
 */
async function sendBatch(reply: FastifyReply, events: readonly StoredEvent[], next: string): Promise<FastifyReply> {
  return await reply
    .type(`${BATCH_TYPE}; charset=utf-8`)
    .header('queuegate-next', next)
    .send(`[${events.map(({ json, agentId }) => withAgent(json, agentId)).join(',')}]`);
}

async function sendPage(reply: FastifyReply, items: readonly string[], next: string): Promise<FastifyReply> {
  return await reply.type('application/json; charset=utf-8').send(`{"items":[${items.join(',')}],"next":"${next}"}`);
}

function itemWriter(cursors: EventCursors): (event: StoredEvent) => string {
  return ({ cursor, agentId, incarnation, number, receivedAt, json }) => {
    const own = { cursor: cursors.encode(cursor), agentId, incarnation, number, receivedAt: timeOf(receivedAt) };
    return `${JSON.stringify(own).slice(0, -1)},"event":${json}}`;
  };
}
