// The commands on subscriptions: receivers to which Central pushes events, and how far each is.
import { shellWord } from '../../../../shared/terminal/escape.ts';
import type { Command, CommandCall } from '../../command.ts';
import { authoritiesFile } from '../../files.ts';
import { LIST, readList } from '../../list.ts';
import { facts, recordOf, rowsOf, shown } from '../../print.ts';
import { SECRET_OUT, secretPlace } from '../../secret-answer.ts';
import { changed, IF_MATCH, REASON, termsOf, YES } from '../../terms.ts';
import { WATCH } from '../../watching/watch.ts';

const ONE = { least: 1, most: 1 } as const;
const HELP =
  'The secret, with which the receiver verifies signatures, is shown on a terminal only. Otherwise, and with --out, it is written to a new\nfile with mode 0600: the answer names the file.';
const SETTINGS = {
  type: { type: 'string', value: 'TYPE', doc: 'only events of this type' },
  source: { type: 'string', value: 'SOURCE', doc: 'only events from this source' },
  agent: { type: 'string', value: 'AGENT', doc: 'only events of this agent' },
  label: {
    type: 'string',
    short: 'l',
    value: 'TERMS',
    doc: 'only events of agents with these labels, such as region=north',
  },
} as const;
const CA = {
  'target-ca-file': {
    type: 'string',
    value: 'FILE',
    doc: 'PEM file of the authorities that sign the certificate of the target; those of the system unless set',
  },
} as const;

export const subscriptionCommands: readonly Command[] = [
  {
    name: 'subscriptions list',
    usage: '',
    summary: 'receivers of events, and how far each is',
    options: LIST,
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await readList(call, '/subscriptions');
      call.answer(answer, () =>
        call.table(
          ['name', 'state', 'behind', 'oldest', 'lost', 'target', 'id'],
          rowsOf(answer, 'items').map((row) => [
            row['name'],
            row['state'],
            row['lagCount'],
            `${shown(row['lagSeconds'])} s`,
            row['lostCount'],
            row['target'],
            row['id'],
          ]),
          'No subscriptions. "queuegate subscriptions create --help" explains how to create one.',
        ),
      );
    },
  },
  {
    name: 'subscriptions show',
    usage: 'SUBSCRIPTION',
    summary: 'one subscription, by its id or name, with its last error',
    options: WATCH,
    words: ONE,
    async run(call) {
      const row = recordOf(await call.client.request('GET', pathOf(call)));
      call.answer(row, () => subscriptionText(row));
    },
  },
  {
    name: 'subscriptions create',
    usage: '--name NAME --target URL [--type TYPE] [--label TERMS] [--after CURSOR] [--out FILE]',
    summary: 'push events to a webhook; its secret is shown once, on a terminal, or written to a file',
    help: HELP,
    options: {
      name: { type: 'string', doc: 'a name of your own' },
      target: { type: 'string', value: 'URL', doc: 'https URL of the receiver' },
      ...SETTINGS,
      ...CA,
      after: {
        type: 'string',
        value: 'CURSOR',
        doc: 'a cursor of events, oldest, or newest (new events only), which is the default',
      },
      ...SECRET_OUT,
      ...REASON,
    },
    words: { least: 0, most: 0 },
    async run(call) {
      const [name, target, after] = [call.text('name'), call.text('target'), call.text('after')];
      if (name === undefined || target === undefined) throw call.complain('--name and --target are required');
      const ca = await authoritiesFile(call, 'target-ca-file');
      const place = await secretPlace(call, 'webhook-secret');
      const body = { name, target, filter: filterOf(call), ...(ca === undefined ? {} : { ca }) };
      const { secret, ...rest } = recordOf(
        await call.client.request('POST', '/subscriptions', {
          query: termsOf(call),
          body: { ...body, ...(after === undefined ? {} : { after }) },
        }),
      );
      await handOver(call, await place.keep(shown(secret), shown(rest['id'])), shown(secret), rest);
    },
  },
  {
    name: 'subscriptions set',
    usage: 'SUBSCRIPTION [--name NAME] [--target URL] [--type TYPE] [--label TERMS] [--target-ca-file FILE]',
    summary: 'set the name, the target or the filter; what is not set stays',
    help: 'Of the filter, all four conditions are set together: those that are left out hold no more. --all-events removes all.',
    options: {
      name: { type: 'string', doc: 'another name' },
      target: { type: 'string', value: 'URL', doc: 'https URL of the receiver' },
      ...SETTINGS,
      'all-events': { type: 'boolean', doc: 'all events from now on' },
      ...CA,
      'system-ca': { type: 'boolean', doc: 'trust the authorities of the system again' },
      ...IF_MATCH,
      ...REASON,
    },
    words: ONE,
    async run(call) {
      const [name, target] = [call.text('name'), call.text('target')];
      const ca = call.flag('system-ca') ? null : await authoritiesFile(call, 'target-ca-file');
      const filter = filterOf(call);
      const hasFilter = call.flag('all-events') || Object.keys(filter).length > 0;
      const body = {
        ...(name === undefined ? {} : { name }),
        ...(target === undefined ? {} : { target }),
        ...(ca === undefined ? {} : { ca }),
        ...(hasFilter ? { filter: call.flag('all-events') ? {} : filter } : {}),
      };
      const row = await changed(call, pathOf(call), body);
      call.answer(row, () => `Set.\n\n${subscriptionText(row)}`);
    },
  },
  {
    name: 'subscriptions delete',
    usage: 'SUBSCRIPTION',
    summary: 'delete a subscription; nothing is delivered to it any more',
    options: { ...YES, ...REASON },
    asks: 'always',
    words: ONE,
    async run(call) {
      const name = call.words[0] ?? '';
      await call.confirm({
        act: `Delete the subscription ${name}`,
        effect: 'Events that are not yet delivered to it are not delivered any more.',
      });
      await call.client.request('DELETE', pathOf(call), { query: termsOf(call) });
      call.answer({}, () => 'Deleted.');
    },
  },
  act('pause', 'deliver nothing until it is resumed', 'Paused'),
  act('resume', 'continue where it was paused', 'Resumed'),
  {
    name: 'subscriptions replay',
    usage: 'SUBSCRIPTION --after CURSOR',
    summary: 'deliver from another position, again or not at all',
    options: {
      after: { type: 'string', value: 'CURSOR', doc: 'a cursor of events, oldest, or newest (skips what is behind)' },
      ...REASON,
    },
    words: ONE,
    async run(call) {
      const after = call.text('after');
      if (after === undefined) throw call.complain('--after is missing');
      const row = recordOf(
        await call.client.request('POST', `${pathOf(call)}/replay`, { query: termsOf(call), body: { after } }),
      );
      call.answer(
        row,
        () => `It delivers from the cursor ${shown(row['cursor'])}; ${shown(row['lagCount'])} events are behind it.`,
      );
    },
  },
  {
    name: 'subscriptions rotate-secret',
    namedBy: 'id',
    usage: 'SUBSCRIPTION [--out FILE]',
    summary: 'give it a new secret; for 24 hours the previous one signs, too',
    help: HELP,
    options: { ...SECRET_OUT, ...REASON },
    words: ONE,
    async run(call) {
      const place = await secretPlace(call, 'webhook-secret');
      const { secret, ...rest } = recordOf(
        await call.client.request('POST', `${pathOf(call)}/rotate-secret`, { query: termsOf(call) }),
      );
      await handOver(call, await place.keep(shown(secret), shown(rest['id'])), shown(secret), rest);
    },
  },
  {
    name: 'subscriptions deliveries',
    namedBy: 'number',
    usage: 'SUBSCRIPTION',
    summary: 'the last attempts, newest first',
    options: LIST,
    words: ONE,
    async run(call) {
      const answer = await readList(call, `${pathOf(call)}/deliveries`);
      call.answer(answer, () =>
        call.table(
          ['at', 'attempt', 'events', 'status', 'seconds', 'error', 'webhook-id'],
          rowsOf(answer, 'items').map((row) => [
            row['startedAt'],
            row['attempt'],
            row['eventCount'],
            row['status'],
            row['durationSeconds'],
            recordOf(row['failure'])['code'],
            row['webhookId'],
          ]),
          'No attempts yet.',
        ),
      );
    },
  },
];

function act(verb: 'pause' | 'resume', summary: string, done: string): Command {
  return {
    name: `subscriptions ${verb}`,
    usage: 'SUBSCRIPTION',
    summary,
    options: REASON,
    words: ONE,
    async run(call) {
      const row = recordOf(await call.client.request('POST', `${pathOf(call)}/${verb}`, { query: termsOf(call) }));
      call.answer(row, () => `${done}. ${shown(row['lagCount'])} events wait for it.`);
    },
  };
}

function pathOf(call: CommandCall): string {
  return `/subscriptions/${encodeURIComponent(call.words[0] ?? '')}`;
}

/** The conditions that the line names. */
function filterOf(call: CommandCall): Readonly<Record<string, string>> {
  return Object.fromEntries(
    (['type', 'source', 'agent', 'label'] as const).flatMap((name) => {
      const value = call.text(name);
      return value === undefined ? [] : [[name, value] as const];
    }),
  );
}

async function handOver(
  call: CommandCall,
  file: string | undefined,
  secret: string,
  rest: Readonly<Record<string, unknown>>,
): Promise<void> {
  if (file === undefined)
    return call.answer({ ...rest, secret }, () => `${secret}\n\nIt is shown only once.\n\n${subscriptionText(rest)}`);
  call.answer(
    { ...rest, secretFile: file },
    () => `The secret is in ${shellWord(file)} (mode 0600).\n\n${subscriptionText(rest)}`,
  );
}

function subscriptionText(row: Readonly<Record<string, unknown>>): string {
  const [filter, reason, error] = [recordOf(row['filter']), recordOf(row['stateReason']), recordOf(row['lastError'])];
  const conditions = Object.entries(filter).filter(([, value]) => value !== null);
  return facts([
    ['name', row['name']],
    ['id', row['id']],
    ['target', row['target']],
    ['trusts', row['ca'] === null ? 'the authorities of the system' : 'authorities of its own'],
    [
      'events',
      conditions.length === 0 ? 'all' : conditions.map(([name, value]) => `${name} ${shown(value)}`).join(', '),
    ],
    ['state', `${shown(row['state'])} since ${shown(row['stateChangedAt'])}`],
    ...(row['stateReason'] === null
      ? []
      : ([['reason', `${shown(reason['detail'])} ${shown(reason['hint'])}`]] as const)),
    ['cursor', row['cursor']],
    ['behind', `${shown(row['lagCount'])} events, the oldest for ${shown(row['lagSeconds'])} s`],
    ['lost', row['lostCount']],
    [
      'last error',
      row['lastError'] === null ? '' : `${shown(error['detail'])} ${shown(error['hint'])} (${shown(error['code'])})`,
    ],
  ]);
}
