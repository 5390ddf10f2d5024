// GET of one thing that changes by itself, such as a rollout: with its ETag, and with waitSeconds the answer waits
// until it is another one; and the count of all requests that wait.
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { whenClosed } from '../../../shared/http/closed.ts';
import { isKnown } from '../../listeners/etag.ts';
import type { Metrics } from '../../metrics.ts';
import { queryOf } from '../checked.ts';
import { adminFault } from '../errors.ts';
import { StreamTexts } from '../messages/stream-texts.ts';

/** Under the 60 seconds after which most proxies give up an answer that does not come. */
const MAX_WAIT_SECONDS = 55;
/** Something that changes is looked at so often, once for all requests of a token that wait for it. */
const LOOK_MS = 250;

/** Each costs a socket and a timer; ordinary installations have a handful of consumers. */
const MAX_WAITING = 1000;

/** The requests that wait and the streams that are open, on all listeners together. */
export class WaitingRequests {
  readonly texts = new StreamTexts();
  readonly #gauge: { set(count: number): void };
  #count = 0;

  constructor({ instruments }: Metrics) {
    this.#gauge = instruments.queuegate_waiting_requests;
  }

  get count(): number {
    return this.#count;
  }

  /** One more, until the answer is called. Errors: too_many_waiting. */
  enter(): () => void {
    if (this.#count >= MAX_WAITING) throw adminFault('too_many_waiting', { count: this.#count });
    this.#gauge.set((this.#count += 1));
    let hasLeft = false;
    return () => {
      if (!hasLeft) this.#gauge.set((this.#count -= 1));
      hasLeft = true;
    };
  }
}
interface Look {
  readonly json: string;
  readonly tag: string;
}
/** Those that began within the last `LOOK_MS`, or have not ended: of each server, by token or session, and path. */
const looks = new WeakMap<object, Map<string, Promise<Look>>>();

export const waitSeconds = Type.Integer({ minimum: 0, maximum: MAX_WAIT_SECONDS, default: 0 });
/** The query of such a GET. */
export const readWait = queryOf(Type.Object({ waitSeconds }, { additionalProperties: false }));

/**
 * Sends what `read` finds. The client has it already (If-None-Match): waits until it is another one, at most
 * `waitSeconds`, then 304. Errors: those of `read`.
 */
export async function sendOnceChanged(
  request: FastifyRequest,
  reply: FastifyReply,
  read: () => Promise<object> | object,
): Promise<FastifyReply> {
  const endAt = performance.now() + readWait(request.query).waitSeconds * 1000;
  let hasLeft = false;
  whenClosed(reply.raw, () => (hasLeft = true));
  // The first one is its own: it shows what the client has just done. A shared one that is older has been forgotten
  // when this client shares the next.
  let look = lookAt(read);
  for (;;) {
    const { json, tag } = await look;
    if (!isKnown(reply, tag)) return reply.type('application/json; charset=utf-8').send(json);
    const leftMs = endAt - performance.now();
    if (hasLeft || leftMs <= 0) return reply.code(304).send();
    await delay(Math.min(LOOK_MS, leftMs));
    look = leftMs < LOOK_MS ? lookAt(read) : sharedLook(request, read);
  }
}

async function lookAt(read: () => Promise<object> | object): Promise<Look> {
  const json = JSON.stringify(await read());
  return { json, tag: `"${createHash('sha256').update(json).digest('base64url').slice(0, 22)}"` };
}

function sharedLook({ server, headers, url }: FastifyRequest, read: () => Promise<object> | object): Promise<Look> {
  let ofServer = looks.get(server);
  if (ofServer === undefined) looks.set(server, (ofServer = new Map()));
  // What a token may see depends on its scope.
  const key = `${headers.authorization ?? headers.cookie ?? ''} ${url.split('?', 1)[0] ?? ''}`;
  const known = ofServer.get(key);
  if (known !== undefined) return known;
  const look = lookAt(read);
  ofServer.set(key, look);
  const forget = (): boolean => ofServer.delete(key);
  setTimeout(() => void look.then(forget, forget), LOOK_MS).unref();
  return look;
}
