// Streams of server-sent events (HTML Standard, section 9.2): what happens as it happens, until the client leaves or
// stops reading, its token would not be let in any more, or Central stops.
import { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { whenClosed } from '../../../shared/http/closed.ts';
import { problemOf } from '../../../shared/http/problem.ts';
import { isCoded, type CodedError } from '../../../shared/errors.ts';
import { problemFault } from '../../problems.ts';
import type { Access } from '../access.ts';
import type { AdminServices } from '../services.ts';

export const STREAM_TYPE = 'text/event-stream';
/** A client that has lost its stream waits so long before it connects again. */
const RETRY_MS = 2_000;
/**
 * Of a stream that has nothing to say, so that both ends see a connection that is dead; and how late it may be seen
 * that another Central changed its token.
 */
const COMMENT_MS = 15_000;
/** A client that takes nothing of what is ready for so long is cut: what is ready for it is held in memory. */
const READ_MS = 30_000;
/**
 * Of all streams together: a hundred are woken every 50 ms, a single one at once. Otherwise each event that is committed
 * alone would cost a read of each stream.
 */
const STREAM_WAKE_UPS_PER_SECOND = 2_000;

/** What is behind a position, as text of the stream; empty: nothing that this client wants. */
interface StreamPart {
  readonly text: string;
  /** The position behind it. */
  readonly next: string;
}

interface StreamSource {
  /**
   * Resolves when this stream may make a text; the result is called when its client has taken it. Undefined: the client
   * is gone.
   */
  enter(gone: AbortSignal): Promise<(() => void) | undefined>;
  /** Errors: those that `isAnswer` knows, with which the stream ends. */
  read(after: string, gone: AbortSignal): Promise<StreamPart>;
  /** Resolves when there may be something behind the position, and when the signal is aborted. */
  wait(after: string, signal: AbortSignal): Promise<void>;
  /**
   * Asserts that the stream may go on; says when its token expires, null: never. Errors: those of a token that would
   * not be let in now, and of a Central that stops.
   */
  recheck(): Promise<number | null>;
  /** Of the present: aborted when `recheck` has to be asked again at once. */
  looking(): AbortSignal;
  /** Is this an error that the client should know? */
  isAnswer(error: unknown): error is CodedError;
  /** The least time between two wake-ups, in milliseconds: each commit wakes all streams. */
  paceMs?(): number;
  /** Called once, when the response is over. */
  closed?(): void;
  readonly readMs?: number;
  readonly commentMs?: number;
}

/** Streams from the position `after` on. Each comment has the position as its id. */
export function sendStream(reply: FastifyReply, after: string, source: StreamSource): FastifyReply {
  const gone = new AbortController();
  let unread: NodeJS.Timeout | undefined;
  // One listener: Node warns of more than ten on a response, and others have theirs.
  whenClosed(reply.raw, () => {
    clearTimeout(unread);
    gone.abort();
    source.closed?.();
  });
  const stream = Readable.from(
    (async function* () {
      for await (const text of textOf(source, after, reply.request.id, gone.signal)) {
        // Until the next text is wanted.
        unread = setTimeout(() => reply.raw.destroy(), source.readMs ?? READ_MS);
        yield text;
        clearTimeout(unread);
      }
    })(),
    { objectMode: true, highWaterMark: 1 },
  );
  return reply.type(STREAM_TYPE).send(stream);
}

async function* textOf(
  source: StreamSource,
  from: string,
  requestId: string,
  gone: AbortSignal,
): AsyncGenerator<string, void, undefined> {
  let after = from;
  let wokenAt = Number.NEGATIVE_INFINITY;
  yield `retry: ${RETRY_MS}\nid: ${after}\n\n`;
  let leave: (() => void) | undefined;
  while (!gone.aborted) {
    try {
      leave = await source.enter(gone);
      if (leave === undefined) return;
      // Before the check: what changes behind it is seen.
      const looking = source.looking();
      const expiresAt = await source.recheck();
      const { text, next } = await source.read(after, gone);
      after = next;
      if (text !== '') yield text;
      leave();
      leave = undefined;
      if (text === '') {
        const leftMs = expiresAt === null ? Number.POSITIVE_INFINITY : expiresAt - Date.now();
        const until = AbortSignal.timeout(Math.max(1, Math.min(source.commentMs ?? COMMENT_MS, leftMs)));
        const signal = AbortSignal.any([gone, until, looking]);
        await source.wait(after, signal);
        const restMs = wokenAt + (source.paceMs?.() ?? 0) - performance.now();
        if (restMs > 0) await delay(restMs, undefined, { signal }).catch(() => undefined);
        wokenAt = performance.now();
        if (until.aborted) yield `:\nid: ${after}\n\n`;
      }
    } catch (error) {
      if (!source.isAnswer(error)) throw error;
      yield streamEvent('end', JSON.stringify(problemOf(error, requestId)));
      return;
    } finally {
      leave?.();
    }
  }
}

/**
 * One event of a stream. White space of JSON text may hold line ends; each line of it is a line of data. `id`: where a
 * client that has read it goes on; absent: where it would have before.
 */
export function streamEvent(name: string, json: string, id?: string): string {
  const place = id === undefined ? '' : `id: ${id}\n`;
  return `${place}event: ${name}\ndata: ${json.split(/\r\n|\r|\n/).join('\ndata: ')}\n\n`;
}

/** What ends every stream besides its client: its token, and Central. `closed` is called once, when it is over. */
export function streamTerms(
  request: FastifyRequest,
  access: Pick<Access, 'callerOf' | 'recheck'>,
  { streams, waiting }: Pick<AdminServices, 'streams' | 'waiting'>,
): Pick<StreamSource, 'closed' | 'enter' | 'isAnswer' | 'looking' | 'paceMs' | 'recheck'> {
  const leave = waiting.enter();
  let looking = new AbortController();
  const isOver = streams.enter(() => {
    looking.abort();
    looking = new AbortController();
  });
  return {
    enter: (gone) => waiting.texts.enter(access.callerOf(request).tokenId, gone),
    async recheck() {
      await access.recheck(request);
      if (streams.isStopping) throw problemFault('central_stopping', {});
      return access.callerOf(request).expiresAt;
    },
    looking: () => looking.signal,
    isAnswer: (error) => isCoded(error),
    paceMs: () => (waiting.count * 1000) / STREAM_WAKE_UPS_PER_SECOND,
    closed() {
      leave();
      isOver();
    },
  };
}
