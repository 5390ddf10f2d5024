// The commands on the audit log: list, show, verify, export.
import type { Command, CommandCall } from '../../command.ts';
import { cliFault } from '../../errors.ts';
import { LIST, readList } from '../../list.ts';
import { facts, recordOf, rowsOf, shown } from '../../print.ts';

const FILTERS = {
  actor: { type: 'string', doc: 'only by this API token, or central; * stands for any text' },
  action: { type: 'string', doc: 'only this action, such as agents.delete or "ca.*"' },
  target: { type: 'string', doc: 'only what concerns this id, name or thumbprint' },
  'created-after': { type: 'string', doc: 'only from this time on, such as 2026-11-27T08:00:00Z' },
  'created-before': { type: 'string', doc: 'only before this time' },
  text: { type: 'string', doc: 'only with this text in actor, address, action, detail, comment or ticket' },
  result: { type: 'string', doc: 'done, or refused: only what Central refused, or all but that' },
} as const;
const NONE = { least: 0, most: 0 } as const;
const PAGE = 1000;

function filtersOf(call: CommandCall) {
  return {
    actor: call.text('actor'),
    action: call.text('action'),
    target: call.text('target'),
    createdAfter: call.text('created-after'),
    createdBefore: call.text('created-before'),
    text: call.text('text'),
    result: call.text('result'),
  };
}

export const auditCommands: readonly Command[] = [
  {
    name: 'audit list',
    namedBy: 'number',
    usage: '[--actor NAME] [--action ACTION] [--target TARGET] [--created-after TIME] [--sort KEY]',
    summary: 'who did what, newest first',
    help: 'docs/AUDIT.md lists the actions.',
    options: {
      ...FILTERS,
      sort: {
        type: 'string',
        value: 'KEY',
        doc: 'number (the oldest first) or -number (the newest first, unless set)',
      },
      ...LIST,
    },
    words: NONE,
    async run(call) {
      const answer = await readList(call, '/audit', { ...filtersOf(call), sort: call.text('sort') });
      call.answer(answer, () =>
        call.table(
          ['number', 'at', 'actor', 'address', 'action', 'target', 'ticket', 'comment'],
          rowsOf(answer, 'items').map((row) => [
            row['number'],
            row['createdAt'],
            row['actor'],
            row['address'],
            row['action'],
            row['target'],
            row['ticket'],
            row['comment'],
          ]),
          'No entries.',
        ),
      );
    },
  },
  {
    name: 'audit show',
    namedBy: 'number',
    usage: 'NUMBER',
    summary: 'one entry of the audit log with its details',
    options: {},
    words: { least: 1, most: 1 },
    async run(call) {
      const number = call.words[0] ?? '';
      const [row] = rowsOf(await call.client.request('GET', '/audit', { query: { number } }), 'items');
      if (row === undefined) throw cliFault('audit_entry_unknown', { number });
      call.answer(row, () => facts(Object.entries(row)));
    },
  },
  {
    name: 'audit verify',
    usage: '[--head HASH]',
    summary: 'verify that no entry of the audit log was changed or removed',
    help: 'Prints the hash of the newest entry, the head. Keep it elsewhere: with --head, a later verification shows that the log still has that\nentry, even if the whole log was rewritten since. The exit status is 1 if the log is not valid.',
    options: { head: { type: 'string', doc: 'the hash of an entry that must be in the log' } },
    words: NONE,
    async run(call) {
      const head = call.text('head')?.toLowerCase();
      const body = head === undefined ? {} : { head };
      const answer = recordOf(await call.client.request('POST', '/audit/verify', { body }));
      call.answer(answer, () =>
        [
          ...rowsOf(answer, 'faults').map((fault) => `${shown(fault['code'])}: ${shown(fault['detail'])}`),
          `${answer['valid'] === true ? 'All' : 'Not all of the'} ${shown(answer['entryCount'])} entries are as they were written.`,
          `Head: ${shown(answer['head'])}`,
        ].join('\n'),
      );
      if (answer['valid'] !== true) throw cliFault('audit_invalid', { count: rowsOf(answer, 'faults').length });
    },
  },
  {
    name: 'audit export',
    usage: '[--actor NAME] [--action ACTION] [--target TARGET] [--created-after TIME]',
    summary: 'all entries, oldest first, as one JSON object a line',
    options: FILTERS,
    words: NONE,
    async run(call) {
      let after: string | undefined;
      do {
        const query = { ...filtersOf(call), sort: 'number', limit: PAGE, after };
        const page = await call.client.request('GET', '/audit', { query });
        for (const row of rowsOf(page, 'items')) call.line(JSON.stringify(row));
        const next: unknown = recordOf(page)['next'];
        after = typeof next === 'string' ? next : undefined;
      } while (after !== undefined);
    },
  },
];
