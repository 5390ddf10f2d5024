// Owns asking the daemon of a data folder what it says of itself, over its local API: for the commands of this machine.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { systemCode } from '../shared/errors.ts';
import { misfit, type JsonSchema, type Static } from '../shared/wire/json-schema.ts';

/** Where local programs find the API: port and token. */
export const LOCAL_API_FILE = 'local-api.json';

const TIMEOUT_MS = 5_000;

const text = { type: 'string', maxLength: 65_536 } as const;
const textOrNull = { anyOf: [{ type: 'null' }, text] } as const;
const number = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER } as const;
const depth = { type: 'object', required: ['messages', 'bytes'], properties: { messages: number, bytes: number } } as const;

/** The members of GET /v1/status that the commands use. */
const STATUS = {
  type: 'object',
  required: ['name', 'version', 'connection', 'outbox', 'inbox'],
  properties: {
    name: text,
    version: text,
    connection: {
      type: 'object',
      required: ['state', 'since', 'reason', 'central'],
      properties: {
        state: { enum: ['connecting', 'online', 'waiting', 'stopped-by-refusal'] },
        since: text,
        reason: { anyOf: [{ type: 'null' }, { type: 'object', required: ['code', 'text', 'hint'], properties: { code: text, text, hint: text } }] },
        central: { anyOf: [{ type: 'null' }, { type: 'object', required: ['name', 'url', 'session', 'epoch'], properties: { name: text, url: text, session: textOrNull, epoch: number } }] },
      },
    },
    outbox: depth,
    inbox: depth,
  },
} as const satisfies JsonSchema;

export type LocalStatus = Static<typeof STATUS>;

export type LocalAnswer =
  /** No daemon has run with this data folder. */
  | { readonly kind: 'never' }
  /** It does not answer there. */
  | { readonly kind: 'silent'; readonly url: string }
  | { readonly kind: 'status'; readonly status: LocalStatus };

/** Asks the daemon. A file that cannot be read for another reason than that it is missing is an error. */
export async function askDaemon(dataFolder: string): Promise<LocalAnswer> {
  let api: { readonly url?: unknown; readonly token?: unknown };
  try {
    api = JSON.parse(await readFile(join(dataFolder, LOCAL_API_FILE), 'utf8')) as typeof api;
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw error;
    return { kind: 'never' };
  }
  const url = String(api.url);
  try {
    const answer = await fetch(`${url}/v1/status`, { headers: { authorization: `Bearer ${String(api.token)}` }, signal: AbortSignal.timeout(TIMEOUT_MS) });
    const status: unknown = await answer.json();
    // Another program may have the port of a daemon that is gone.
    if (misfit(STATUS, status) === undefined) return { kind: 'status', status: status as LocalStatus };
  } catch {
    // Nothing listens, it takes too long, or it is no JSON: there is no daemon that answers.
  }
  return { kind: 'silent', url };
}
