// /events: what agents sent up, by cursor, with filters and long poll. The cursor is in commit order, so a consumer that
// keeps the last `next` misses nothing and sees nothing twice.
import type { FastifyInstance, FastifyReply } from 'fastify';
import { Type } from 'typebox';
import { DetailedError } from '../../../shared/errors.ts';
import { withAgent } from '../../../shared/delivery/message.ts';
import { whenClosed } from '../../../shared/http/closed.ts';
import type { EventFilter, StoredEvent } from '../../store/message-store.ts';
import { answerType, VIEWER, reads } from '../access.ts';
import { queryOf } from '../checked.ts';
import { adminFault } from '../errors.ts';
import { limit, timeOf } from '../page.ts';
import type { AdminServices } from '../services.ts';
import { waitSeconds } from '../changes/waiting.ts';

/** Each costs a socket and a timer; ordinary installations have a handful of consumers. */
const MAX_WAITING = 1000;
const BATCH_TYPE = 'application/cloudevents-batch+json';
const TYPES = ['application/json', BATCH_TYPE] as const;

const readQuery = queryOf(
  Type.Object(
    {
      // A cursor, `oldest`, or `newest` for new events only.
      after: Type.String({ pattern: String.raw`^(\d{1,15}|oldest|newest)$`, default: 'oldest' }),
      limit,
      waitSeconds,
      agent: Type.Optional(Type.String({ maxLength: 255 })),
      type: Type.Optional(Type.String({ maxLength: 255 })),
      source: Type.Optional(Type.String({ maxLength: 1024 })),
    },
    { additionalProperties: false },
  ),
);

interface Page {
  readonly events: readonly StoredEvent[];
  readonly next: number;
}

export function eventRoutes(app: FastifyInstance, { agents, inbox, hub, metrics }: AdminServices): void {
  let waiting = 0;
  const gauge = metrics.instruments.queuegate_waiting_requests;

  /** Waits for something to answer, until the time is over or the client is gone. */
  async function poll(
    after: number,
    filter: EventFilter,
    most: number,
    signal: AbortSignal,
    gone: AbortSignal,
  ): Promise<Page> {
    let page = await readPage(inbox, after, filter, most, gone);
    if (page.events.length > 0 || signal.aborted) return page;
    if (waiting >= MAX_WAITING) throw adminFault('too_many_waiting', { count: waiting });
    gauge.set((waiting += 1));
    try {
      while (page.events.length === 0 && !signal.aborted) {
        await hub.wait(page.next, signal);
        page = await readPage(inbox, page.next, filter, most, gone);
      }
      return page;
    } finally {
      gauge.set((waiting -= 1));
    }
  }

  app.get('/events', reads(VIEWER, { query: readQuery, types: TYPES }), async (request, reply) => {
    const { after: from, limit: most, waitSeconds, agent, type, source } = readQuery(request.query);
    const newest = await inbox.lastCursor();
    const after = from === 'newest' ? newest : from === 'oldest' ? 0 : Number(from);
    if (after > newest) throw adminFault('cursor_ahead', { after, newest });
    // From 0 on a reader begins; behind a cursor it goes on, and has to know that it missed something.
    const resumeAfter = after === 0 ? null : await inbox.prunedThrough(after);
    if (resumeAfter !== null)
      throw new DetailedError(adminFault('cursor_expired', { after, resumeAfter }), {
        members: { resumeAfter },
      });
    const filter = {
      ...(agent === undefined ? {} : { agentId: await agents.findId(agent) }),
      ...(type === undefined ? {} : { type }),
      ...(source === undefined ? {} : { source }),
    };

    const [ended, gone] = [new AbortController(), new AbortController()];
    const timer = setTimeout(() => ended.abort(), waitSeconds * 1000);
    // Before the answer is written, the client is gone, and no one waits any longer.
    whenClosed(reply.raw, () => {
      ended.abort();
      gone.abort();
    });
    if (waitSeconds === 0) ended.abort();
    try {
      return await sendPage(reply, await poll(after, filter, most, ended.signal, gone.signal), answerType(request));
    } finally {
      clearTimeout(timer);
    }
  });
}

/**
 * A page may end before `limit` (the store bounds it in bytes, and a filter's search in cursors): only an empty one says that
 * nothing more fits, and then `next` passes what the filter left out.
 */
async function readPage(
  inbox: AdminServices['inbox'],
  after: number,
  filter: EventFilter,
  most: number,
  gone: AbortSignal,
): Promise<Page> {
  const found = await inbox.read(after, filter, most, gone);
  const last = found.at(-1);
  if (last !== undefined) return { events: found, next: last.cursor };
  // Asked before the log is read once more: what is committed in between belongs to the next page.
  const newest = await inbox.lastCursor();
  const again = newest > after ? await inbox.read(after, filter, most, gone) : [];
  return { events: again, next: again.at(-1)?.cursor ?? Math.max(newest, after) };
}

/** The events are JSON text in the store and go out as that text. In the batch form each says by an extension which agent sent it. */
async function sendPage(reply: FastifyReply, { events, next }: Page, type: string): Promise<FastifyReply> {
  if (type === BATCH_TYPE) {
    return await reply
      .type(`${BATCH_TYPE}; charset=utf-8`)
      .header('queuegate-next', String(next))
      .send(`[${events.map(({ json, agentId }) => withAgent(json, agentId)).join(',')}]`);
  }
  const items = events.map(({ cursor, agentId, incarnation, number, receivedAt, json }) => {
    const about = JSON.stringify({ cursor, agentId, incarnation, number, receivedAt: timeOf(receivedAt) });
    return `${about.slice(0, -1)},"event":${json}}`;
  });
  return await reply.type('application/json; charset=utf-8').send(`{"items":[${items.join(',')}],"next":${next}}`);
}
