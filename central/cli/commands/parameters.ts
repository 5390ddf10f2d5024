// The commands on parameters: list, show, set, reset.
import type { Command, CommandCall } from '../command.ts';
import { readAuthorities } from '../files.ts';
import { LIST, readList } from '../list.ts';
import { facts, recordOf, rowsOf, shown } from '../print.ts';
import {
  CONFIRM,
  confirmForce,
  cutOffText,
  DRY_RUN,
  FORCE,
  IF_MATCH,
  noticeText,
  pendingText,
  REASON,
  termsOf,
  YES,
} from '../terms.ts';
import { awaitChange, checkWait, WAIT } from '../watching/wait.ts';

const CHANGE_OPTIONS = { ...DRY_RUN, ...FORCE, ...YES, ...CONFIRM, ...WAIT, ...IF_MATCH, ...REASON } as const;

export const parameterCommands: readonly Command[] = [
  {
    name: 'parameters list',
    watches: 'parameters',
    usage: '[--group NAME]',
    summary: 'all parameters with their values',
    options: { group: { type: 'string', doc: 'only this group, such as "Queue Agent settings"' }, ...LIST },
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await readList(call, '/parameters', { group: call.text('group') });
      call.answer(answer, () =>
        call.table(
          ['name', 'value', 'default', 'this node'],
          rowsOf(answer, 'items').map((row) => [
            row['name'],
            valueText(row['value']),
            row['isDefault'] === true ? '' : 'changed',
            row['overriddenBy'] === null ? '' : `${valueText(row['effective'])} here (${shown(row['overriddenBy'])})`,
          ]),
          'No parameters.',
        ),
      );
    },
  },
  {
    name: 'parameters show',
    usage: 'NAME',
    summary: 'one parameter, explained',
    options: {},
    words: { least: 1, most: 1 },
    async run(call) {
      const answer = await call.client.request('GET', `/parameters/${encodeURIComponent(call.words[0] ?? '')}`);
      const row = recordOf(answer);
      call.answer(answer, () =>
        [
          `${shown(row['name'])} = ${valueText(row['value'])}`,
          '',
          shown(row['description']),
          '',
          facts([
            ['group', row['group']],
            ['allowed', row['allowed']],
            ['default', `${valueText(row['default'])}. ${shown(row['defaultReason'])}`],
            ['when changed', row['applying']],
            [
              'on this node',
              row['overriddenBy'] === null
                ? valueText(row['effective'])
                : `${valueText(row['effective'])}, set by ${shown(row['overriddenBy'])}`,
            ],
            [
              'last change',
              row['changedBy'] === null ? null : `${shown(row['changedAt'])} by ${shown(row['changedBy'])}`,
            ],
          ]),
        ].join('\n'),
      );
    },
  },
  {
    name: 'parameters set',
    usage: 'NAME=VALUE... [options]',
    summary: 'change parameters, several as one step',
    help: 'Lists are written with commas (a,b), an empty list or text as NAME=, certificates as NAME=@FILE (PEM). With --confirm-within the change is rolled back\nautomatically unless "queuegate changes confirm" follows in time: the safe way to move a port that you depend on.',
    options: CHANGE_OPTIONS,
    asks: 'forced',
    words: { least: 1, most: 100 },
    async run(call) {
      const types = new Map(
        rowsOf(await call.client.request('GET', '/parameters', { query: { limit: 1000 } }), 'items').map((row) => [
          shown(row['name']),
          row['type'],
        ]),
      );
      const values: Record<string, unknown> = {};
      for (const word of call.words) {
        const at = word.indexOf('=');
        if (at < 1) throw call.complain(`"${word}" is not of the form NAME=VALUE`);
        const name = word.slice(0, at);
        const text = word.slice(at + 1);
        const isFile = types.get(name) === 'string' && text.startsWith('@');
        values[name] = isFile ? await readAuthorities(call, text.slice(1)) : valueOf(text, types.get(name));
      }
      checkWait(call);
      await confirmForce(call, `Set ${call.words.join(' ')}`);
      await change(call, values);
    },
  },
  {
    name: 'parameters reset',
    usage: 'NAME... [options]',
    summary: 'restore defaults',
    options: CHANGE_OPTIONS,
    asks: 'forced',
    words: { least: 1, most: 100 },
    async run(call) {
      const values = Object.fromEntries(call.words.map((name) => [name, null]));
      checkWait(call);
      await confirmForce(call, `Reset ${call.words.join(' ')}`);
      await change(call, values);
    },
  },
];

async function change(call: CommandCall, values: Readonly<Record<string, unknown>>): Promise<void> {
  const report = await call.client.request('PATCH', '/parameters', {
    query: termsOf(call),
    body: values,
    ifMatch: call.text('if-match'),
  });
  const answer = await awaitChange(call, recordOf(report));
  call.answer(answer, () => reportText(answer));
}

/** A value as its type requires; what does not fit goes as text, and the answer of Central says what is allowed. */
function valueOf(text: string, type: unknown): unknown {
  switch (type) {
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : text;
    case 'integer':
      return /^-?\d{1,15}$/.test(text) ? Number(text) : text;
    case 'list':
      return text.trim() === '' ? [] : text.split(',').map((item) => item.trim());
    default:
      return text;
  }
}

function reportText(answer: unknown): string {
  const report = recordOf(answer);
  const would = report['dryRun'] === true;
  const changed = rowsOf(report, 'changed').map(
    (row) => `${shown(row['name'])}: ${valueText(row['from'])} -> ${valueText(row['to'])}`,
  );
  const lines = [
    changed.length === 0
      ? 'Nothing changes: the parameters have these values already.'
      : would
        ? 'Would change:'
        : 'Changed:',
    ...changed.map((line) => `  ${line}`),
    ...cutOffText(report, would ? 'Would cut off:' : 'Cut off:'),
    ...noticeText(report),
    ...sentences(recordOf(report['result'])['listens'], would ? 'Would listen:' : 'Listens:'),
    ...nodesText(rowsOf(recordOf(report['result']), 'nodes')),
  ];
  return [...lines, ...pendingText(report['change'])].join('\n');
}

/** Of several nodes: what each says to the change. */
function nodesText(rows: ReturnType<typeof rowsOf>): string[] {
  if (rows.length < 2) return [];
  return [
    'Nodes:',
    ...rows.map(
      ({ name, answer, detail }) => `  ${shown(name)}: ${[answer, detail ?? []].flat().map(shown).join(': ')}`,
    ),
  ];
}

function sentences(value: unknown, title: string): string[] {
  return Array.isArray(value) && value.length > 0 ? [title, ...value.map((text) => `  ${shown(text)}`)] : [];
}

function valueText(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? '(empty)' : value.map(shown).join(',');
  if (typeof value === 'string' && value.startsWith('-----BEGIN ')) return '(certificates)';
  return value === '' ? '(empty)' : shown(value);
}
