// Asks on the terminal before an act that cannot be undone, and keeps a command from acting before it has asked.
import { escapeLine } from '../../../shared/terminal/escape.ts';
import type { SecretInput } from '../../../shared/terminal/secret-input.ts';
import type { Client } from '../client.ts';
import type { Command, Question } from '../command.ts';
import { cliFault } from '../errors.ts';
import { shown } from '../print.ts';

/** `place`: the Central that it is done to. Yes or no; with a name, only that name is a yes. Errors: not_confirmed. */
export async function askFirst(
  terminal: Pick<SecretInput, 'ask'>,
  { act, effect, name }: Question,
  place: string,
): Promise<void> {
  const allowed = name === undefined ? ['y', 'yes'] : [shown(name)];
  const question = `${act} on ${place}? ${effect}`;
  const prompt = name === undefined ? `${question} [y/N]` : `${question} Enter its name (${shown(name)}) to continue`;
  const found = (await terminal.ask(escapeLine(prompt), { echo: true })).trim();
  if (!allowed.some((answer) => answer.toLowerCase() === found.toLowerCase()))
    throw cliFault('not_confirmed', { found: found.slice(0, 64), allowed: allowed.join(', ') });
}

/** True when this line has to ask. */
export function mustAsk({ asks }: Pick<Command, 'asks'>, isForced: boolean): boolean {
  return asks === 'always' || (asks === 'forced' && isForced);
}

/** The client of a command that has to ask: until it has, it only reads. */
export function askingClient(client: Client, hasAsked: () => boolean): Client {
  const check = (what: string): void => {
    if (!hasAsked()) throw new TypeError(`${what} before the question`);
  };
  return {
    async request(method, path, call) {
      if (method !== 'GET' && call?.query?.['dryRun'] !== true) check(`${method} ${path}`);
      return await client.request(method, path, call);
    },
    changed: (path, known, seconds) => client.changed(path, known, seconds),
    text: (path, call) => client.text(path, call),
    download: (path, call, method) => client.download(path, call, method),
    async upload(path, upload) {
      check(`${upload.method ?? 'POST'} ${path}`);
      return await client.upload(path, upload);
    },
  };
}
