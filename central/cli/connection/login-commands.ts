// The commands `login` and `logout`: keep the API token of a Central in a file of this account, beside the contexts,
// and delete it.
import { rm } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { makeFolder } from '../../../shared/files/disk-faults.ts';
import { replaceSecretFile } from '../../../shared/files/secret-file.ts';
import { createClient } from '../client.ts';
import type { Command, CommandCall } from '../command.ts';
import { cliFault } from '../errors.ts';
import { recordOf, shown } from '../print.ts';
import { checkName, contextOf, readContexts, tokenFileOf, writeContexts, type Context } from './contexts.ts';
import { checkUrl, targetOf } from './target.ts';

const FIRST_CONTEXT = 'default';
/** The secret is not looked at: Central validates it. */
const TOKEN = /^qg_[\w-]{1,256}$/;

export const loginCommands: readonly Command[] = [
  {
    name: 'login',
    usage: '[CONTEXT] [--url URL] [--ca-file FILE] [--token-file FILE]',
    summary: 'keep an API token in a file of this account (0600), for a context',
    help: 'The token is read from a prompt, from --token-file ("-": the standard input) or from QUEUEGATE_TOKEN, and is kept only if Central accepts it. The context is the current one unless named; it is made if it does not exist, and becomes the current one.',
    options: {},
    words: { least: 0, most: 1 },
    run: logIn,
  },
  {
    name: 'logout',
    usage: '[CONTEXT]',
    summary: 'delete the token file that login wrote for a context; the context stays',
    help: 'The token itself stays valid: "queuegate api-tokens delete" ends it. A token file that login did not write stays, and the context does not use it any more.',
    options: {},
    words: { least: 0, most: 1 },
    run: logOut,
  },
];

async function logIn(call: CommandCall): Promise<void> {
  const all = await readContexts(call);
  const name = call.words[0] ?? call.text('context') ?? all.current ?? FIRST_CONTEXT;
  checkName(name);
  const before = all.contexts.get(name);
  const url = call.text('url') ?? before?.url ?? (call.environment['QUEUEGATE_URL'] || null);
  if (url !== null) checkUrl(url);
  const tokenFile = tokenFileOf(call, name);
  const context: Context = {
    url,
    caFile:
      absolute(call, call.text('ca-file') ?? (call.environment['QUEUEGATE_CA_FILE'] || undefined)) ??
      before?.caFile ??
      null,
    tokenFile,
    readOnly: before?.readOnly ?? false,
  };
  const question = `API token for ${url ?? 'the Central of this host'}`;
  const token = (await call.secret('token-file', 'QUEUEGATE_TOKEN', question, name))?.trim();
  if (token === undefined)
    throw call.complain('The token is missing: name a file that holds it with --token-file, or run this on a terminal');
  if (!TOKEN.test(token)) throw cliFault('token_malformed', {});
  const who = recordOf(await whoIs(call, { ...context, name }, token));
  await makeFolder(dirname(tokenFile), 0o700);
  await replaceSecretFile(tokenFile, Buffer.from(`${token}\n`));
  await writeContexts(call, { current: name, contexts: new Map([...all.contexts, [name, context]]) });
  const { id, role, scope = null, expiresAt } = who;
  const limits = scope === null ? '' : ` with the scope ${shown(scope)}`;
  const expiry = expiresAt === null ? 'does not expire' : `expires ${shown(expiresAt)}`;
  call.answer(
    { name, url, tokenFile, token: { id, name: who['name'], role, scope, expiresAt } },
    () =>
      `Logged in as ${shown(who['name'])}, ${shown(role)}${limits}; the token ${expiry}. The current context is ${name}.`,
  );
}

/** Whose token it is. Errors: those of a request. */
async function whoIs(call: CommandCall, context: Context & { readonly name: string }, token: string): Promise<unknown> {
  const { environment, workingFolder, signal } = call;
  const text = (): undefined => undefined;
  const client = createClient({
    connection: async () =>
      await targetOf({ context: { ...context, isNamed: true }, text, environment, workingFolder }),
    token: async () => token,
    signal,
  });
  return await client.request('GET', '/login');
}

async function logOut(call: CommandCall): Promise<void> {
  const all = await readContexts(call);
  const name = call.words[0] ?? call.text('context') ?? all.current;
  if (name === null) throw call.complain('No context is current; name one');
  const context = contextOf(all, name);
  const own = tokenFileOf(call, name);
  if (context.tokenFile === own) await rm(own, { force: true });
  const contexts = new Map([...all.contexts, [name, { ...context, tokenFile: null }] as const]);
  await writeContexts(call, { ...all, contexts });
  const deleted = context.tokenFile === own ? own : null;
  call.answer({ name, deletedFile: deleted }, () =>
    deleted === null
      ? `Logged out of ${name}${context.tokenFile === null ? ': it had no token' : `; ${context.tokenFile} stays`}.`
      : `Logged out of ${name}.`,
  );
}

function absolute(call: CommandCall, file: string | undefined): string | undefined {
  return file === undefined ? undefined : resolve(call.workingFolder, file);
}
