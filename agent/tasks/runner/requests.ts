// What the agent asks the runner, which starts programs under an account of its own: one request for each connection of
// the Unix socket, JSON up to the end of the agent's side, and one answer. Both sides bound and validate what they read.
import type { Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { validate, type JsonSchema, type Static } from '../../../shared/wire/json-schema.ts';

/** Arguments have 16 KiB, and what the configuration says of a handler is a line of a file each. */
export const MAX_REQUEST_BYTES = 1024 * 1024;
export const MAX_ANSWER_BYTES = 64 * 1024;

const text = { type: 'string', maxLength: 128 * 1024 } as const;
const key = { type: 'string', minLength: 32, maxLength: 32, pattern: '^[0-9a-f]{32}$' } as const;
const cgroup = { anyOf: [{ type: 'null' }, { type: 'string', maxLength: 4096 }] } as const;
const texts = { type: 'array', maxItems: 4096, items: text } as const;

/** The order of a program; its environment as NAME=value. */
const ORDER = {
  type: 'object',
  required: ['key', 'cgroup', 'command', 'arguments', 'environment', 'maxOutputBytes'],
  properties: {
    key,
    cgroup,
    command: text,
    arguments: texts,
    environment: texts,
    maxOutputBytes: { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER - 1 },
  },
} as const satisfies JsonSchema;

const REQUEST = {
  anyOf: [
    { type: 'object', required: ['act'], properties: { act: { const: 'hello' } } },
    { type: 'object', required: ['act', 'command'], properties: { act: { const: 'check' }, command: text } },
    { type: 'object', required: ['act', 'order'], properties: { act: { const: 'start' }, order: ORDER } },
    /** The file by which a program finds the local API. */
    { type: 'object', required: ['act', 'key', 'text'], properties: { act: { const: 'put' }, key, text } },
    {
      type: 'object',
      required: ['act', 'key', 'cgroup'],
      properties: {
        act: { enum: ['prepare', 'claim', 'is-alive', 'terminate', 'kill', 'clean', 'remove'] },
        key,
        cgroup,
      },
    },
  ],
} as const satisfies JsonSchema;
export type RunnerRequest = Static<typeof REQUEST>;

const ANSWER = {
  type: 'object',
  required: [],
  properties: {
    /** It failed. */
    error: { type: 'string', maxLength: 4096 },
    containment: { enum: ['cgroup', 'process-group'] },
    cgroup,
    yes: { type: 'boolean' },
  },
} as const satisfies JsonSchema;
export type RunnerAnswer = Static<typeof ANSWER>;

/** Where the folders of tasks are: beside the socket, in the folder that only the two accounts can enter. */
export function runnerTasks(socket: string): string {
  return join(dirname(socket), 'tasks');
}

/** Undefined: it is not one. */
export function readRequest(bytes: Buffer): RunnerRequest | undefined {
  return read(REQUEST, bytes) as RunnerRequest | undefined;
}

export function readAnswer(bytes: Buffer): RunnerAnswer | undefined {
  return read(ANSWER, bytes) as RunnerAnswer | undefined;
}

function read(schema: JsonSchema, bytes: Buffer): unknown {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    return validate(schema, value) === undefined ? value : undefined;
  } catch {
    // Not JSON: it was cut off, or comes from another program.
    return undefined;
  }
}

/** All that the other side sends. Errors: it sends more than `maxBytes`, is silent for too long, or is cut off. */
export async function receiveAll(socket: Socket, maxBytes: number, timeoutMs: number): Promise<Buffer> {
  const late = setTimeout(() => socket.destroy(new Error(`no end within ${timeoutMs / 1000} s`)), timeoutMs);
  try {
    const parts: Buffer[] = [];
    let bytes = 0;
    // `for await` would destroy the socket at its end, before it is answered.
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.on('data', (part: Buffer) => {
      bytes += part.length;
      parts.push(part);
      if (bytes > maxBytes) socket.destroy(new Error(`more than ${maxBytes} bytes`));
    });
    socket.once('end', resolve);
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('the connection was cut')));
    await promise;
    return Buffer.concat(parts);
  } finally {
    clearTimeout(late);
  }
}
