// Asks the daemon of a data folder over its local API: for the commands of this machine. They send no token: over the
// socket of the owner none is needed, and elsewhere the daemon proves itself before anything but a random number is
// sent.
import { once } from 'node:events';
import { join } from 'node:path';
import type { IncomingMessage } from 'node:http';
import { readBoundedStream } from '../../shared/files/bounded-stream.ts';
import { isCoded } from '../../shared/errors.ts';
import { findLocalSocket, type FoundSocket } from '../../shared/platform/local-socket.ts';
import { validate, type JsonSchema, type Static } from '../../shared/wire/json-schema.ts';
import { refusalOf } from '../errors.ts';
import * as schemas from './routes/schemas.ts';
import { LOCAL_API_FILE, readOwnerKey, readTokenFile } from './file.ts';
import {
  CHALLENGE_PATH,
  daemonProof,
  isNonce,
  newNonce,
  NONCE_HEADER,
  OWNER_SCHEME,
  ownerProof,
  sameProof,
} from './proof.ts';
import { Agent, request as httpRequest } from '../../shared/http/node-http.ts';

/** For the whole of a call, unless --timeout is set. */
const TIMEOUT_MS = 5_000;
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

const text = { type: 'string', maxLength: 65_536 } as const;

/** What the commands use of each answer. */
const USED = ['name', 'version', 'connection', 'outbox', 'inbox', 'problems'] as const;
const STATUS = { ...partOf(schemas.STATUS, [...USED, 'releases', 'devicePort', 'accounts']), required: USED };
const ROTATED = partOf(schemas.ROTATED, ['tokenFile', 'previousExpiresAt']);
const CONSUMERS = partOf(schemas.CONSUMERS, ['items']);
const PROBLEM = partOf(schemas.PROBLEM, ['code', 'detail', 'hint']);

const CHALLENGED = {
  type: 'object',
  required: ['nonce', 'proof'],
  properties: { nonce: text, proof: text },
} as const satisfies JsonSchema;

/**
 * The schema of some members of an answer, from the one that documents it. All others are ignored on every level: the
 * daemon may be of another version than the command.
 */
function partOf<P extends Readonly<Record<string, JsonSchema>>, const N extends readonly (keyof P & string)[]>(
  { properties }: { readonly properties: P },
  names: N,
) {
  const members = Object.fromEntries(names.map((name) => [name, tolerant(properties[name] ?? {})]));
  return { type: 'object', required: names, properties: members as unknown as Pick<P, N[number]> } as const;
}

function tolerant(schema: JsonSchema): JsonSchema {
  if ('anyOf' in schema) return { ...schema, anyOf: schema.anyOf.map(tolerant) };
  if (!('type' in schema)) return schema;
  if (schema.type === 'array') return { ...schema, items: tolerant(schema.items) };
  if (schema.type !== 'object') return schema;
  const properties = Object.fromEntries(Object.entries(schema.properties).map(([name, of]) => [name, tolerant(of)]));
  return { ...schema, properties, additionalProperties: true };
}

export type LocalStatus = Static<typeof STATUS>;
type Rotated = Static<typeof ROTATED>;
type Consumers = Static<typeof CONSUMERS>;

/** Where a daemon that does not answer was looked for. */
interface Silent {
  readonly kind: 'silent';
  readonly where: string;
}

type LocalAnswer =
  /** No daemon has run with this data folder. */
  Never | Silent | { readonly kind: 'status'; readonly status: LocalStatus };

/** Asks the daemon. A file that cannot be read for another reason than that it is missing is an error. */
export async function askDaemon(dataFolder: string, timeoutMs = TIMEOUT_MS): Promise<LocalAnswer> {
  const found = await callDaemon(dataFolder, { method: 'GET', path: '/api/v1/status', timeoutMs });
  if (found.kind !== 'answer') return found;
  if (validate(STATUS, found.body) !== undefined) return { kind: 'silent', where: found.where };
  return { kind: 'status', status: found.body as LocalStatus };
}

interface Never {
  readonly kind: 'never';
}

/** Has the daemon make another token for a consumer. Errors: local_call_refused. */
export async function rotateToken(
  dataFolder: string,
  consumer: string,
  timeoutMs = TIMEOUT_MS,
): Promise<Never | Silent | { readonly kind: 'done'; readonly found: Rotated }> {
  const path = `/api/v1/consumers/${encodeURIComponent(consumer)}/rotate-token`;
  return await callFor(dataFolder, { method: 'POST', path, timeoutMs }, { status: 201, schema: ROTATED });
}

/** The consumers of the daemon. Errors: local_call_refused. */
export async function listConsumers(
  dataFolder: string,
  timeoutMs = TIMEOUT_MS,
): Promise<Never | Silent | { readonly kind: 'done'; readonly found: Consumers }> {
  const order = { method: 'GET', path: '/api/v1/consumers', timeoutMs };
  return await callFor(dataFolder, order, { status: 200, schema: CONSUMERS });
}

async function callFor<const S extends JsonSchema>(
  dataFolder: string,
  order: LocalRequest,
  expected: { readonly status: number; readonly schema: S },
): Promise<Never | Silent | { readonly kind: 'done'; readonly found: Static<S> }> {
  const answer = await callDaemon(dataFolder, order);
  if (answer.kind !== 'answer') return answer;
  if (answer.status === expected.status && validate(expected.schema, answer.body) === undefined)
    return { kind: 'done', found: answer.body as Static<S> };
  if (validate(PROBLEM, answer.body) !== undefined) return { kind: 'silent', where: answer.where };
  const { detail, hint } = answer.body as Static<typeof PROBLEM>;
  throw refusalOf('local_call_refused', answer.status, { found: detail, hint });
}

interface Answer {
  readonly kind: 'answer';
  readonly status: number;
  readonly body: unknown;
  readonly where: string;
}

interface LocalRequest {
  readonly method: string;
  readonly path: string;
  /** For the whole of the call. */
  readonly timeoutMs: number;
}

async function callDaemon(
  dataFolder: string,
  { method, path, timeoutMs }: LocalRequest,
): Promise<Answer | Never | Silent> {
  const file = await readTokenFile(join(dataFolder, LOCAL_API_FILE)).catch((error: unknown) => {
    if (isCoded(error) || !(error instanceof SyntaxError)) throw error;
    return { token: '' };
  });
  if (file === undefined) return { kind: 'never' };
  const [socket, url] = ['socket' in file ? file.socket : null, 'url' in file ? file.url : null];
  const port = /^http:\/\/127\.0\.0\.1:(\d{1,5})$/.exec(url ?? '')?.[1];
  const signal = AbortSignal.timeout(timeoutMs);
  if (typeof socket === 'string') {
    const own = await ownSocket(socket, dataFolder);
    const found =
      own === undefined
        ? undefined
        : await call(
            { socketPath: own.path },
            method,
            path,
            own.isOwnerOnly ? 'none needed' : await readOwnerKey(dataFolder),
            signal,
          );
    if (found !== undefined) return { kind: 'answer', ...found, where: socket };
  }
  if (port !== undefined) {
    const found = await call(
      { host: '127.0.0.1', port: Number(port) },
      method,
      path,
      await readOwnerKey(dataFolder),
      signal,
    );
    if (found !== undefined) return { kind: 'answer', ...found, where: String(url) };
  }
  return { kind: 'silent', where: socket ?? url ?? 'its local API' };
}

/** Undefined: it is not the daemon's, or not there. */
async function ownSocket(path: string, dataFolder: string): Promise<FoundSocket | undefined> {
  try {
    return await findLocalSocket(path, { ifMissing: 'Start the daemon.', namedFolder: dataFolder });
  } catch (error) {
    if (!isCoded(error, 'local_socket_missing', 'local_socket_foreign')) throw error;
    return undefined;
  }
}

type Address = { readonly socketPath: string } | { readonly host: string; readonly port: number };

/** Undefined: nothing answers there, or it is not the daemon. */
async function call(
  address: Address,
  method: string,
  path: string,
  key: Buffer | 'none needed' | undefined,
  signal: AbortSignal,
): Promise<{ status: number; body: unknown } | undefined> {
  if (key === undefined) return undefined;
  // Both requests go over one connection, which the proof belongs to.
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    if (key === 'none needed') return await send(address, agent, method, path, {}, signal);
    const client = newNonce();
    const { body } = await send(address, agent, 'GET', CHALLENGE_PATH, { [NONCE_HEADER]: client }, signal);
    if (validate(CHALLENGED, body) !== undefined) return undefined;
    const { nonce, proof } = body as Static<typeof CHALLENGED>;
    const challenge = { client, server: nonce };
    if (!isNonce(nonce) || !sameProof(proof, daemonProof(key, challenge))) return undefined;
    return await send(
      address,
      agent,
      method,
      path,
      { authorization: `${OWNER_SCHEME}${ownerProof(key, challenge, method, path)}` },
      signal,
    );
  } catch {
    // Nothing listens, it takes too long, or it does not speak as a daemon does: there is none that answers.
    return undefined;
  } finally {
    agent.destroy();
  }
}

async function send(
  address: Address,
  agent: Agent,
  method: string,
  path: string,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<{ status: number; body: unknown }> {
  const request = httpRequest({ ...address, agent, method, path, headers: { host: 'localhost', ...headers }, signal });
  const answered = once(request, 'response', { signal }) as Promise<[IncomingMessage]>;
  request.end();
  const [response] = await answered;
  const answer = await readBoundedStream(response, MAX_ANSWER_BYTES, () => new Error('the answer is too large'));
  return { status: response.statusCode ?? 0, body: JSON.parse(answer.toString('utf8')) };
}
