// GET of one thing that changes by itself, such as a rollout: with its ETag, and with waitSeconds the answer waits
// until it is another one.
import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { Type } from 'typebox';
import { whenClosed } from '../../../shared/http/closed.ts';
import { isKnown } from '../../listeners/etag.ts';
import { queryOf } from '../checked.ts';

/** Under the 60 seconds after which most proxies give up an answer that does not come. */
const MAX_WAIT_SECONDS = 55;
/** Something that changes is in memory: to look is cheap, and a waiting request is one of the few of its token. */
const LOOK_MS = 250;

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
  for (;;) {
    const json = JSON.stringify(await read());
    const tag = `"${createHash('sha256').update(json).digest('base64url').slice(0, 22)}"`;
    if (!isKnown(reply, tag)) return reply.type('application/json; charset=utf-8').send(json);
    const leftMs = endAt - performance.now();
    if (hasLeft || leftMs <= 0) return reply.code(304).send();
    await delay(Math.min(LOOK_MS, leftMs));
  }
}
