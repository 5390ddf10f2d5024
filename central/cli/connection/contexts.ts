// The contexts of the administrator's command line: for each Central its address, what to trust and where the token is.
// One file (config.json, 0600) has them all; tokens are in files of their own.
import { dirname, join, resolve } from 'node:path';
import { textOf } from '../../../shared/errors.ts';
import { readBoundedFile } from '../../../shared/files/bounded-file.ts';
import { makeFolder } from '../../../shared/files/disk-faults.ts';
import { replaceSecretFile } from '../../../shared/files/secret-file.ts';
import { configFolder } from '../../../shared/platform/files.ts';
import { isRecord } from '../../../shared/wire/json-schema.ts';
import { cliFault } from '../errors.ts';

const MAX_BYTES = 64 * 1024;
const NAME = /^\w[\w.-]{0,63}$/;

export interface Context {
  /** Null: the socket in the data folder. */
  readonly url: string | null;
  readonly caFile: string | null;
  readonly tokenFile: string | null;
  /** Nothing but reading requests are sent. */
  readonly readOnly: boolean;
}

interface Contexts {
  readonly current: string | null;
  readonly contexts: ReadonlyMap<string, Context>;
}

interface Place {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly workingFolder: string;
}

export function configFile({ environment, workingFolder }: Place): string {
  return resolve(
    workingFolder,
    environment['QUEUEGATE_CONFIG'] || join(configFolder(environment), 'queuegate', 'config.json'),
  );
}

/** Where `login` keeps the token of a context. */
export function tokenFileOf(place: Place, name: string): string {
  return join(dirname(configFile(place)), 'tokens', name);
}

/** Errors: contexts_unreadable and those of files. */
export async function readContexts(place: Place): Promise<Contexts> {
  const file = configFile(place);
  const bytes = await readBoundedFile({
    path: file,
    what: 'The file with the contexts',
    maxBytes: MAX_BYTES,
    hint: 'Make it readable for this account, or name another one in QUEUEGATE_CONFIG.',
    ifMissing: 'ignore',
  });
  if (bytes === undefined) return { current: null, contexts: new Map() };
  try {
    return contextsOf(JSON.parse(bytes.toString('utf8')));
  } catch (error) {
    throw cliFault('contexts_unreadable', { file, found: textOf(error) }, error);
  }
}

export async function writeContexts(place: Place, { current, contexts }: Contexts): Promise<void> {
  const file = configFile(place);
  await makeFolder(dirname(file), 0o700);
  const text = JSON.stringify({ current, contexts: Object.fromEntries(contexts) }, null, 2);
  await replaceSecretFile(file, Buffer.from(`${text}\n`));
}

/** The context of this name. Errors: context_unknown. */
export function contextOf({ contexts }: Contexts, name: string): Context {
  const found = contexts.get(name);
  if (found !== undefined) return found;
  throw cliFault('context_unknown', { found: name, names: [...contexts.keys()].join(', ') || 'none' });
}

/** Errors: context_name_invalid. */
export function checkName(name: string): void {
  if (!NAME.test(name)) throw cliFault('context_name_invalid', { found: name });
}

function contextsOf(value: unknown): Contexts {
  if (!isRecord(value) || !isRecord(value['contexts'])) throw new Error('it is not an object with contexts');
  const { current } = value;
  if (typeof current !== 'string' && current !== null) throw new Error('current is not a name');
  const contexts = new Map<string, Context>();
  for (const [name, context] of Object.entries(value['contexts'])) {
    if (!NAME.test(name) || !isRecord(context)) throw new Error(`the context "${name}" is not one`);
    contexts.set(name, {
      url: textIn(context, name, 'url'),
      caFile: textIn(context, name, 'caFile'),
      tokenFile: textIn(context, name, 'tokenFile'),
      readOnly: context['readOnly'] === true,
    });
  }
  return { current, contexts };
}

function textIn(context: Readonly<Record<string, unknown>>, name: string, member: string): string | null {
  const value = context[member] ?? null;
  if (value !== null && typeof value !== 'string') throw new Error(`${member} of the context "${name}" is not a text`);
  return value;
}
