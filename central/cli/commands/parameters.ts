// The commands on parameters: list, show, set, reset, confirm, undo.
import type { Command, CommandCall } from '../command.ts';
import { facts, recordOf, rowsOf, shown, table } from '../print.ts';

const CHANGE_OPTIONS = {
  'dry-run': { type: 'boolean', doc: 'only say what would happen, and to whom' },
  force: { type: 'boolean', doc: 'change it even if agents are cut off' },
  comment: { type: 'string', doc: 'why, for the audit log' },
  ticket: { type: 'string', doc: 'number of the ticket, for the audit log' },
} as const;

export const parameterCommands: readonly Command[] = [
  {
    name: 'parameters list',
    usage: '[--group NAME]',
    summary: 'all parameters with their values',
    options: { group: { type: 'string', doc: 'only this group, such as "Queue Agent settings"' } },
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await call.client.request('GET', '/parameters', { query: { group: call.text('group') } });
      call.answer(answer, () => {
        const rows = rowsOf(answer, 'parameters').map((row) => [
          row['name'],
          valueText(row['value']),
          row['isDefault'] === true ? '' : 'changed',
          row['overriddenBy'] === null ? '' : `${valueText(row['effective'])} here (${shown(row['overriddenBy'])})`,
        ]);
        const pending = recordOf(answer)['pending'];
        return (
          table(['name', 'value', 'default', 'this node'], rows, 'No parameters.') +
          (pending === null ? '' : `\n\n${pendingText(pending)}`)
        );
      });
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
    help: 'Lists are written with commas (a,b), an empty list or text as NAME=. With --confirm-within the change is undone by\nitself unless "queuegate parameters confirm" follows in time: the safe way to move a port that you depend on.',
    options: {
      ...CHANGE_OPTIONS,
      'confirm-within': { type: 'string', doc: 'seconds within which the change must be confirmed' },
      'confirm-share': { type: 'string', doc: 'share of agents (0 to 1) that must be back by then; 0.9 unless set' },
    },
    words: { least: 1, most: 100 },
    async run(call) {
      const types = new Map(
        rowsOf(await call.client.request('GET', '/parameters'), 'parameters').map((row) => [
          shown(row['name']),
          row['type'],
        ]),
      );
      const values: Record<string, unknown> = {};
      for (const word of call.words) {
        const at = word.indexOf('=');
        if (at < 1) throw call.complain(`"${word}" is not of the form NAME=VALUE`);
        const name = word.slice(0, at);
        values[name] = valueOf(word.slice(at + 1), types.get(name));
      }
      const answer = await call.client.request('PATCH', '/parameters', {
        body: { values, ...reasonOf(call), ...confirmOf(call) },
      });
      call.answer(answer, () => reportText(answer));
    },
  },
  {
    name: 'parameters reset',
    usage: 'NAME... [options]',
    summary: 'restore defaults',
    options: CHANGE_OPTIONS,
    words: { least: 1, most: 100 },
    async run(call) {
      const values = Object.fromEntries(call.words.map((name) => [name, null]));
      const answer = await call.client.request('PATCH', '/parameters', { body: { values, ...reasonOf(call) } });
      call.answer(answer, () => reportText(answer));
    },
  },
  {
    name: 'parameters confirm',
    usage: '[--force]',
    summary: 'let the pending change stay',
    options: { force: { type: 'boolean', doc: 'even if fewer agents are back than the change asked for' } },
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await call.client.request('POST', '/parameters/confirm', { body: { force: call.flag('force') } });
      call.answer(answer, () => 'The change is confirmed and stays.');
    },
  },
  {
    name: 'parameters undo',
    usage: '',
    summary: 'take the pending change back at once',
    options: {},
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await call.client.request('POST', '/parameters/undo', { body: {} });
      call.answer(answer, () => 'The change is undone.');
    },
  },
];

/** The text of a value as its type wants it; what does not fit goes as text, and Central says what is allowed. */
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

function reasonOf(call: CommandCall): Record<string, unknown> {
  const [comment, ticket] = [call.text('comment'), call.text('ticket')];
  return {
    dryRun: call.flag('dry-run'),
    force: call.flag('force'),
    ...(comment === undefined ? {} : { comment }),
    ...(ticket === undefined ? {} : { ticket }),
  };
}

function confirmOf(call: CommandCall): Record<string, unknown> {
  const [withinSeconds, share] = [call.number('confirm-within'), call.number('confirm-share')];
  if (withinSeconds === undefined && share !== undefined)
    throw call.complain('--confirm-share says nothing without --confirm-within');
  return withinSeconds === undefined ? {} : { confirm: { withinSeconds, ...(share === undefined ? {} : { share }) } };
}

function reportText(answer: unknown): string {
  const report = recordOf(answer);
  const would = report['dryRun'] === true;
  const changed = rowsOf(report, 'changed').map(
    (row) => `${shown(row['name'])}: ${valueText(row['from'])} -> ${valueText(row['to'])}`,
  );
  const cutOff = rowsOf(report, 'cutOff').map(
    (row) =>
      `  ${shown(row['name'])} (${shown(row['transport'])} from ${shown(row['address'])}, since ${shown(row['since'])}): ${shown(row['reason'])}`,
  );
  const lines = [
    changed.length === 0 ? 'Nothing changes: the values are these already.' : would ? 'Would change:' : 'Changed:',
    ...changed.map((line) => `  ${line}`),
    ...(cutOff.length === 0 ? [] : [would ? 'Would cut off:' : 'Cut off:', ...cutOff]),
    ...sentences(report['notices'], 'Note:'),
    ...sentences(report['listens'], would ? 'Would listen:' : 'Listens:'),
  ];
  if (report['pending'] !== null && report['pending'] !== undefined) lines.push(pendingText(report['pending']));
  return lines.join('\n');
}

function sentences(value: unknown, title: string): string[] {
  return Array.isArray(value) && value.length > 0 ? [title, ...value.map((text) => `  ${shown(text)}`)] : [];
}

function pendingText(value: unknown): string {
  const pending = recordOf(value);
  return `Not confirmed yet: it is undone at ${shown(pending['deadline'])} unless "queuegate parameters confirm" is given before, and ${Math.round(Number(pending['share']) * 100)} % of the ${shown(pending['agents'])} agents are back.`;
}

function valueText(value: unknown): string {
  if (Array.isArray(value)) return value.length === 0 ? '(empty)' : value.map(shown).join(',');
  return value === '' ? '(empty)' : shown(value);
}
