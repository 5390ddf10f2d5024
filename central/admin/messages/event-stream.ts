// Events as server-sent events (HTML Standard, section 9.2): each as it is committed, until the client leaves, stops
// reading, or its token is no longer valid.
import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { whenClosed } from '../../../shared/http/closed.ts';
import { problemOf } from '../../../shared/http/problem.ts';
import type { CodedError } from '../../../shared/errors.ts';
import type { StoredEvent } from '../../store/message-store.ts';

export const STREAM_TYPE = 'text/event-stream';
/** A client that has lost its stream waits so long before it connects again. */
const RETRY_MS = 2_000;
/**
 * Of a stream that has nothing to say, so that both ends see a connection that is dead; and how late the end of a token
 * may be seen.
 */
const COMMENT_MS = 15_000;
/** A client that takes nothing of what is ready for so long is cut: what is ready for it is held in memory. */
const READ_MS = 30_000;

interface Page {
  readonly events: readonly StoredEvent[];
  readonly next: number;
}

interface EventSource {
  /** Events behind the cursor. Errors: cursor_expired, with which the stream ends. */
  read(after: number, gone: AbortSignal): Promise<Page>;
  /** Resolves when there may be an event behind the cursor, and when the signal is aborted. */
  wait(after: number, signal: AbortSignal): Promise<void>;
  /** JSON. */
  itemOf(event: StoredEvent): string;
  /** The fault of a token that is not valid any more. */
  refusal(): Promise<CodedError | undefined>;
  /** Is this an error that the client should know? */
  isAnswer(error: unknown): error is CodedError;
  /** Called once, when the response is over. */
  closed?(): void;
  readonly readMs?: number;
  readonly commentMs?: number;
}

/** Streams from `after` on. Each event has its cursor as its id, and so has each comment. */
export function sendEvents(reply: FastifyReply, after: number, source: EventSource): FastifyReply {
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
  source: EventSource,
  from: number,
  requestId: string,
  gone: AbortSignal,
): AsyncGenerator<string, void, undefined> {
  let after = from;
  yield `retry: ${RETRY_MS}\nid: ${after}\n\n`;
  while (!gone.aborted) {
    try {
      const refusal = await source.refusal();
      if (refusal !== undefined) throw refusal;
      const { events, next } = await source.read(after, gone);
      after = next;
      if (events.length > 0) yield events.map((event) => eventText(event, source.itemOf(event))).join('');
      else {
        const until = AbortSignal.timeout(source.commentMs ?? COMMENT_MS);
        await source.wait(after, AbortSignal.any([gone, until]));
        if (until.aborted) yield `:\nid: ${after}\n\n`;
      }
    } catch (error) {
      if (!source.isAnswer(error)) throw error;
      yield `event: end\ndata: ${JSON.stringify(problemOf(error, requestId))}\n\n`;
      return;
    }
  }
}

/** White space of JSON text may hold line ends; each line of it is a line of data. */
function eventText({ cursor }: StoredEvent, item: string): string {
  return `id: ${cursor}\nevent: event\ndata: ${item.split(/\r\n|\r|\n/).join('\ndata: ')}\n\n`;
}
