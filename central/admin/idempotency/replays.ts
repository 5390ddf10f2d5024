// Idempotency-Key: a request that creates is carried out once, however often it is sent with the same key within a day;
// a repeated one gets the answer of the first, without its secrets.
import { createHash } from 'node:crypto';
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { MAX_RELEASE_BYTES } from '../../../shared/releases/manifest.ts';
import { isRecord } from '../../../shared/wire/json-schema.ts';
import type { KeptAnswer, KnownRequest } from '../../store/idempotency/idempotency-store.ts';
import type { Access } from '../access.ts';
import { adminFault, requestInvalid } from '../errors.ts';
import type { AdminServices } from '../services.ts';
import { secretsOf } from './creating-routes.ts';
import { HashedBody } from './hashed-body.ts';

export const KEY_HEADER = 'Idempotency-Key';
export const REPLAYED_HEADER = 'Queuegate-Replayed';
export const MAX_KEY_LENGTH = 64;
/** The longest answer that is kept: the files of a profile of ten thousand, and what is wrong with them, have less. */
const MAX_ANSWER_BYTES = 256 * 1024;
/** Of an answer beside its body: what its client goes on with. */
const KEPT_HEADERS = ['etag', 'location'] as const;

interface Running {
  readonly tokenId: string;
  readonly key: string;
  readonly secrets: readonly string[];
  /** Of the body: at once, or when it has been read. */
  readonly body: () => Promise<string | undefined>;
}

type ReplayServices = Pick<AdminServices, 'now' | 'store'>;

/**
 * Makes the creating routes of `scope` take an Idempotency-Key. Errors:
 * request_invalid, idempotency_key_reused, idempotency_key_in_progress, idempotency_answer_lost.
 */
export function takeIdempotencyKeys(scope: FastifyInstance, services: ReplayServices, access: Access): void {
  // By token and key: those of this process. What another one began has ended with it.
  const inProgress = new Set<string>();
  const running = new WeakMap<FastifyRequest, Running>();

  scope.addHook('preHandler', async (request, reply) => {
    const secrets = secretsOf(request.method, request.routeOptions.url ?? '');
    const key = keyOf(request);
    // A dry run creates nothing.
    if (key === undefined || secrets === undefined || access.termsOf(request).dryRun === true) return;
    const { tokenId } = access.callerOf(request);
    // With another scope its token may not see what the first one was answered.
    const head = sha256(`${request.method} ${request.url} ${access.scopeOf(request)?.text ?? ''}`);
    const body = bodyDigest(request);
    const place = `${tokenId} ${key}`;
    const { now, store } = services;
    if (inProgress.has(place)) {
      await body();
      throw adminFault('idempotency_key_in_progress', { key });
    }
    inProgress.add(place);
    try {
      const digest = request.body instanceof HashedBody ? null : ((await body()) ?? null);
      const known = await store.idempotency.begin({ tokenId, key, head, body: digest, startedAt: now() });
      if (known === undefined) {
        running.set(request, { tokenId, key, secrets, body });
        return;
      }
      inProgress.delete(place);
      return await replay(reply, keptAnswer(known, { head, body: await body() }));
    } catch (error) {
      inProgress.delete(place);
      throw error;
    }
  });

  scope.addHook('onSend', async (request, reply, payload) => {
    const one = running.get(request);
    if (one === undefined) return payload;
    running.delete(request);
    try {
      await settle(one, reply, payload);
    } finally {
      inProgress.delete(`${one.tokenId} ${one.key}`);
    }
    return payload;
  });

  async function settle({ tokenId, key, secrets, body }: Running, reply: FastifyReply, payload: unknown) {
    const { idempotency } = services.store;
    if (reply.statusCode < 400) {
      const digest = await body();
      if (digest !== undefined) await idempotency.finish(tokenId, key, digest, answerOf(reply, payload, secrets));
      return;
    }
    // A defect: what was done until then is unknown, and so it stays.
    if (reply.statusCode === 500) return;
    // A store that has failed forgets nothing: then the outcome is unknown as well.
    await idempotency.forget(tokenId, key).catch(() => undefined);
  }
}

/** Errors: request_invalid. */
function keyOf({ headers }: FastifyRequest): string | undefined {
  const found = headers[KEY_HEADER.toLowerCase()];
  if (found === undefined) return undefined;
  const key = String(found);
  if (/^[\x21-\x7E]{1,64}$/.test(key)) return key;
  const detail = `${KEY_HEADER} has ${key.length} characters; allowed: 1 to ${MAX_KEY_LENGTH} printable ASCII characters without spaces.`;
  throw requestInvalid([{ header: KEY_HEADER, detail, allowed: null, found: key.slice(0, 64) }]);
}

/** Undefined: the body could not be read to its end. A stream is replaced by one that is hashed as the handler reads. */
function bodyDigest(request: FastifyRequest): () => Promise<string | undefined> {
  if (!(request.body instanceof Readable)) {
    const digest = sha256(JSON.stringify(request.body ?? null));
    return async () => digest;
  }
  const hashed = new HashedBody(request.body);
  request.body = hashed;
  let digest: Promise<string | undefined> | undefined;
  return () => (digest ??= hashed.digest(MAX_RELEASE_BYTES));
}

/** Errors: idempotency_key_reused, idempotency_answer_lost. */
function keptAnswer(
  { key, head, body, answer }: KnownRequest,
  sent: { readonly head: string; readonly body: string | undefined },
): KeptAnswer & { readonly text: string } {
  if (head !== sent.head || (body !== null && body !== sent.body)) throw adminFault('idempotency_key_reused', { key });
  if (answer === null)
    throw adminFault('idempotency_answer_lost', { key, found: 'Central did not finish it, or not without an error' });
  const { text } = answer;
  if (text === null)
    throw adminFault('idempotency_answer_lost', {
      key,
      found: `it was carried out; its answer is longer than the ${MAX_ANSWER_BYTES} bytes that are kept`,
    });
  return { ...answer, text };
}

async function replay(reply: FastifyReply, { status, headers, text }: KeptAnswer & { readonly text: string }) {
  await reply.code(status).headers(headers).header(REPLAYED_HEADER, 'true').type('application/json').send(text);
  return reply;
}

function answerOf(reply: FastifyReply, payload: unknown, secrets: readonly string[]): KeptAnswer {
  const headers = Object.fromEntries(
    KEPT_HEADERS.flatMap((name) => {
      const value = reply.getHeader(name);
      return value === undefined ? [] : [[name, String(value)] as const];
    }),
  );
  const text = typeof payload === 'string' ? withoutSecrets(payload, secrets) : null;
  const isKept = text !== null && Buffer.byteLength(text) <= MAX_ANSWER_BYTES;
  return { status: reply.statusCode, headers, text: isKept ? text : null };
}

function withoutSecrets(json: string, secrets: readonly string[]): string | null {
  if (secrets.length === 0) return json;
  const value: unknown = JSON.parse(json);
  // Nothing of an answer whose form is not known.
  if (!isRecord(value)) return null;
  return JSON.stringify({ ...value, ...Object.fromEntries(secrets.map((name) => [name, null])) });
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
