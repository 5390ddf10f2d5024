// The commands on contexts: list, show, use, set, delete. They change one file of this account, and reach no Central.
import { resolve } from 'node:path';
import type { Command, CommandCall } from '../command.ts';
import { facts } from '../print.ts';
import { YES } from '../terms.ts';
import { checkName, configFile, contextOf, readContexts, writeContexts, type Context } from './contexts.ts';
import { checkUrl } from './target.ts';

const ONE = { least: 1, most: 1 } as const;

export const contextCommands: readonly Command[] = [
  {
    name: 'contexts list',
    usage: '',
    summary: 'the Centrals that this account has a context for',
    options: {},
    words: { least: 0, most: 0 },
    async run(call) {
      const { current, contexts } = await readContexts(call);
      const items = [...contexts].map(([name, context]) => ({ name, isCurrent: name === current, ...context }));
      call.answer({ items, next: null }, () =>
        call.table(
          ['name', 'current', 'url', 'token file', 'read-only'],
          items.map((item) => [
            item.name,
            item.isCurrent ? 'current' : '',
            item.url ?? 'the socket in the data folder',
            item.tokenFile,
            item.readOnly ? 'yes' : 'no',
          ]),
          'No contexts. "queuegate contexts set NAME --url URL --ca-file FILE --token-file FILE" makes one.',
        ),
      );
    },
  },
  {
    name: 'contexts show',
    usage: '[NAME]',
    summary: 'one context; the current one unless named',
    options: {},
    words: { least: 0, most: 1 },
    async run(call) {
      const all = await readContexts(call);
      const name = call.words[0] ?? all.current;
      if (name === null) throw call.complain('No context is current; name one');
      const context = contextOf(all, name);
      call.answer({ name, isCurrent: name === all.current, ...context }, () =>
        facts([
          ['name', name],
          ['current', name === all.current ? 'yes' : 'no'],
          ['url', context.url ?? 'the socket in the data folder'],
          ['ca file', context.caFile],
          ['token file', context.tokenFile],
          ['read-only', context.readOnly ? 'yes' : 'no'],
        ]),
      );
    },
  },
  {
    name: 'contexts use',
    usage: 'NAME',
    summary: 'make a context the current one',
    options: {},
    words: ONE,
    async run(call) {
      const all = await readContexts(call);
      const [name = ''] = call.words;
      contextOf(all, name);
      await writeContexts(call, { ...all, current: name });
      call.answer({ name, isCurrent: true }, () => `The current context is ${name}.`);
    },
  },
  {
    name: 'contexts set',
    usage: 'NAME [--url URL] [--ca-file FILE] [--token-file FILE] [--read-only | --writable]',
    summary: 'create or change a context',
    help: 'What is not named stays as it is; the first context becomes the current one. The token stays in its own file. A read-only context sends no request that changes anything.',
    options: {
      'read-only': { type: 'boolean', doc: 'refuse commands that change anything' },
      writable: { type: 'boolean', doc: 'allow them again' },
    },
    words: ONE,
    async run(call) {
      const all = await readContexts(call);
      const [name = ''] = call.words;
      checkName(name);
      if (call.flag('read-only') && call.flag('writable'))
        throw call.complain('--read-only and --writable exclude each other');
      const before = all.contexts.get(name);
      const url = call.text('url') ?? before?.url ?? null;
      if (url !== null) checkUrl(url);
      const context: Context = {
        url,
        caFile: pathOf(call, 'ca-file') ?? before?.caFile ?? null,
        tokenFile: pathOf(call, 'token-file') ?? before?.tokenFile ?? null,
        readOnly: call.flag('read-only') || (before?.readOnly === true && !call.flag('writable')),
      };
      const contexts = new Map([...all.contexts, [name, context]]);
      const current = all.current ?? name;
      await writeContexts(call, { current, contexts });
      call.answer(
        { name, isCurrent: current === name, ...context },
        () => `The context ${name} is in ${configFile(call)}.${current === name ? ' It is the current one.' : ''}`,
      );
    },
  },
  {
    name: 'contexts delete',
    usage: 'NAME',
    summary: 'delete a context; its token file stays',
    options: YES,
    asks: 'always',
    words: ONE,
    async run(call) {
      const all = await readContexts(call);
      const [name = ''] = call.words;
      const { url } = contextOf(all, name);
      await call.confirm({
        act: `Delete the context "${name}" of ${url ?? 'the Central of this host'}`,
        effect: 'Its token file stays.',
        place: `this account (${configFile(call)})`,
      });
      const contexts = new Map([...all.contexts].filter(([other]) => other !== name));
      await writeContexts(call, { current: all.current === name ? null : all.current, contexts });
      call.answer({ deleted: name }, () => `Deleted ${name}.`);
    },
  },
];

function pathOf(call: CommandCall, option: string): string | undefined {
  const file = call.text(option);
  return file === undefined ? undefined : resolve(call.workingFolder, file);
}
