// Finds Central and the API token of one command line: from flags, the environment, or the socket in the data folder.
import { dirname, resolve } from 'node:path';
import { readBoundedFile } from '../../../shared/files/bounded-file.ts';
import { findLocalSocket } from '../../../shared/platform/local-socket.ts';
import { ADMINISTRATOR_TOKEN_FILE, DEFAULT_DATA_FOLDER } from '../../config.ts';
import { LOCAL_SOCKET } from '../../listeners/local-socket.ts';
import { cliFault } from '../errors.ts';
import { contextOf, readContexts, type Context } from './contexts.ts';
import type { Connection } from '../client.ts';

const MAX_TOKEN_BYTES = 1024;
const MAX_CA_BYTES = 1024 * 1024;

interface ChosenContext extends Context {
  readonly name: string;
  /** By --context: then it counts before the environment. */
  readonly isNamed: boolean;
}

interface TargetRequest {
  readonly context: ChosenContext | undefined;

  /** The value of an option. */
  readonly text: (name: string) => string | undefined;
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly workingFolder: string;
}

/**
 * The context of a line. Undefined where an address or a data folder is named otherwise: the token of a context goes to
 * no other Central. Errors: context_unknown, contexts_unreadable.
 */
export async function chooseContext({
  text,
  environment,
  workingFolder,
}: Omit<TargetRequest, 'context'>): Promise<ChosenContext | undefined> {
  const named = text('context');
  if (named === undefined && (text('url') ?? (environment['QUEUEGATE_URL'] || undefined)) !== undefined)
    return undefined;
  const preset = named ?? (environment['QUEUEGATE_CONTEXT'] || undefined);
  if (preset === undefined && environment['QUEUEGATE_DATA_FOLDER']) return undefined;
  const all = await readContexts({ environment, workingFolder });
  const name = preset ?? all.current;
  return name === null ? undefined : { name, isNamed: named !== undefined, ...contextOf(all, name) };
}

/** An address of Central. Errors: url_invalid, token_over_plain_http. */
export function checkUrl(named: string): URL {
  if (!URL.canParse(named) || !/^https?:$/.test(new URL(named).protocol))
    throw cliFault('url_invalid', { found: named });
  const url = new URL(named);
  if (url.protocol === 'http:') throw cliFault('token_over_plain_http', { url: url.origin });
  if (!url.pathname.endsWith('/')) url.pathname += '/';
  return url;
}

/** Flag, environment, context; a context that a flag names counts before the environment. */
function settingOf(
  { text, environment, context }: TargetRequest,
  option: string,
  variable: string,
  member: 'url' | 'caFile' | 'tokenFile',
): string | undefined {
  const own = context?.[member] ?? undefined;
  return text(option) ?? (context?.isNamed === true ? own : undefined) ?? (environment[variable] || own);
}

/** The Central of a line in a question: its address, or its socket on this host, and the context. */
export function placeOf(request: TargetRequest): string {
  const { environment, workingFolder, context } = request;
  const url = settingOf(request, 'url', 'QUEUEGATE_URL', 'url');
  const place =
    url === undefined
      ? `the Central of this host (${socketPath(environment, workingFolder)})`
      : URL.canParse(url)
        ? new URL(url).origin
        : url;
  return context === undefined ? place : `${place} (context "${context.name}")`;
}

function socketPath(environment: TargetRequest['environment'], workingFolder: string): string {
  return resolve(workingFolder, environment['QUEUEGATE_DATA_FOLDER'] || DEFAULT_DATA_FOLDER, LOCAL_SOCKET);
}

/** Where Central is, and what to trust. Errors: url_invalid, token_over_plain_http, tls_weakened and those of files. */
export async function targetOf(request: TargetRequest): Promise<Connection> {
  const { environment, workingFolder, context } = request;
  const readOnlyContext = context?.readOnly === true ? context.name : undefined;
  const named = settingOf(request, 'url', 'QUEUEGATE_URL', 'url');
  if (named === undefined) return { target: localTarget(environment, workingFolder), ca: undefined, readOnlyContext };
  const url = checkUrl(named);
  const weakening = tlsWeakening(environment);
  if (weakening !== undefined) throw cliFault('tls_weakened', { found: weakening });
  const file = settingOf(request, 'ca-file', 'QUEUEGATE_CA_FILE', 'caFile');
  if (file === undefined) return { target: { url }, ca: undefined, readOnlyContext };
  const ca = await readBoundedFile({
    path: resolve(workingFolder, file),
    what: 'The root certificate',
    maxBytes: MAX_CA_BYTES,
    hint: 'Name the PEM file that "queuegate ca trust-bundle --out FILE" writes.',
  });
  return { target: { url }, ca: ca.toString('utf8'), readOnlyContext };
}

/**
 * The socket in Central's data folder. It belongs to Central's account, which is another one only where root names the
 * folder.
 */
function localTarget(environment: TargetRequest['environment'], workingFolder: string): Connection['target'] {
  const folder = environment['QUEUEGATE_DATA_FOLDER'] || undefined;
  const path = socketPath(environment, workingFolder);
  const ifMissing =
    'Start Central. On its host, run this in its working folder or set QUEUEGATE_DATA_FOLDER; from elsewhere use --url https://HOST:8443 and --ca-file FILE.';
  return {
    named: path,
    socket: async () =>
      (await findLocalSocket(path, { ifMissing, ...(folder === undefined ? {} : { namedFolder: dirname(path) }) }))
        .path,
  };
}

/**
 * The first variable of the environment that lets this process take a certificate or a protocol that it would refuse,
 * or write its keys down.
 */
function tlsWeakening(environment: TargetRequest['environment']): string | undefined {
  if (environment['NODE_TLS_REJECT_UNAUTHORIZED'] === '0') return 'NODE_TLS_REJECT_UNAUTHORIZED=0';
  const option =
    /--(?:tls-min-v1\.[01]|tls-max-v1\.[01]|tls-keylog|tls-cipher-list|openssl-legacy-provider|insecure-http-parser)\b/.exec(
      environment['NODE_OPTIONS'] ?? '',
    );
  return option === null ? undefined : `${option[0]} in NODE_OPTIONS`;
}

/**
 * From --token-file, the environment, or the file that Central wrote on its first start. Never from a flag: `ps` shows
 * those.
 */
export async function readToken(request: TargetRequest): Promise<string> {
  const { text, environment, workingFolder, context } = request;
  const isFromContext = context?.isNamed === true && context.tokenFile !== null;
  if (text('token-file') === undefined && !isFromContext && environment['QUEUEGATE_TOKEN'])
    return environment['QUEUEGATE_TOKEN'].trim();
  const named = settingOf(request, 'token-file', 'QUEUEGATE_TOKEN_FILE', 'tokenFile');
  const folder = environment['QUEUEGATE_DATA_FOLDER'] || DEFAULT_DATA_FOLDER;
  const file = resolve(workingFolder, named ?? `${folder}/${ADMINISTRATOR_TOKEN_FILE}`);
  try {
    return (
      await readBoundedFile({
        path: file,
        what: 'The token file',
        maxBytes: MAX_TOKEN_BYTES,
        hint: 'Name a file that holds a token.',
      })
    )
      .toString('utf8')
      .trim();
  } catch (error) {
    throw cliFault('token_missing', { file }, error);
  }
}
