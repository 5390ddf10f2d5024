// The commands on what went wrong: incidents of agents, dead letters, failed handshakes.
import type { Command, CommandCall } from '../command.ts';
import { cliFault } from '../errors.ts';
import { LIST, readList } from '../list.ts';
import { facts, recordOf, rowsOf, shown } from '../print.ts';

const OF_AGENT = {
  agent: { type: 'string', doc: 'only of this agent (id, name or the beginning of an id)' },
  ...LIST,
} as const;
const NONE = { least: 0, most: 0 } as const;
const ONE = { least: 1, most: 1 } as const;

export const failureCommands: readonly Command[] = [
  {
    name: 'incidents list',
    usage: '[--agent AGENT] [--code CODE]',
    summary: 'what went wrong with agents, newest first',
    options: { code: { type: 'string', doc: 'only with this code; docs/ERRORS.md explains them' }, ...OF_AGENT },
    words: NONE,
    async run(call) {
      const answer = await readList(call, '/incidents', { agent: call.text('agent'), code: call.text('code') });
      call.answer(answer, () =>
        call.table(
          ['incident', 'at', 'code', 'count', 'agent', 'address', 'detail'],
          rowsOf(answer, 'items').map((row) => [
            row['id'],
            row['firstAt'],
            row['code'],
            row['count'],
            row['agentId'],
            row['address'],
            row['detail'],
          ]),
          'No incidents.',
        ),
      );
    },
  },
  {
    name: 'incidents show',
    usage: 'INCIDENT',
    summary: 'one incident with all its facts',
    options: {},
    words: ONE,
    run: (call) => showOne(call, '/incidents'),
  },
  {
    name: 'dead-letters list',
    usage: '[--agent AGENT] [--direction up|down] [--code CODE] [--created-after TIME] [--created-before TIME]',
    summary: 'messages that expired, or were rejected or withdrawn, newest first',
    options: {
      direction: { type: 'string', doc: 'only events (up), or only commands (down)' },
      code: {
        type: 'string',
        isList: true,
        doc: 'only with this code: message_expired, message_withdrawn, id_reused or message_invalid; repeated: one of them',
      },
      'created-after': { type: 'string', value: 'TIME', doc: 'only from this time on, such as 2026-11-27T08:00:00Z' },
      'created-before': { type: 'string', value: 'TIME', doc: 'only before this time' },
      ...OF_AGENT,
    },
    words: NONE,
    async run(call) {
      const answer = await readList(call, '/dead-letters', {
        agent: call.text('agent'),
        direction: call.text('direction'),
        code: call.list('code'),
        createdAfter: call.text('created-after'),
        createdBefore: call.text('created-before'),
      });
      call.answer(answer, () =>
        call.table(
          ['letter', 'at', 'direction', 'agent', 'number', 'count', 'message', 'code', 'place', 'detail'],
          rowsOf(answer, 'items').map((row) => [
            row['id'],
            row['createdAt'],
            row['direction'],
            row['agentId'],
            row['number'],
            row['count'],
            row['messageId'],
            row['code'],
            row['place'],
            row['detail'],
          ]),
          'No dead letters.',
        ),
      );
    },
  },
  {
    name: 'dead-letters show',
    usage: 'LETTER',
    summary: 'one dead letter, with the text of its message',
    options: {},
    words: ONE,
    run: (call) => showOne(call, '/dead-letters'),
  },
  {
    name: 'handshake-failures list',
    usage: '[--agent AGENT] [--cause CAUSE] [--address ADDRESS] [--listener LISTENER]',
    summary: 'connections and enrollments that failed, with their cause',
    help: 'Since this Central started, one line for each listener, cause and address; the latest first. docs/ERRORS.md explains the causes.',
    options: {
      agent: { type: 'string', doc: 'only from the address of its last session, which other agents may share' },
      cause: { type: 'string', doc: 'only with this cause' },
      address: { type: 'string', doc: 'only from this address' },
      listener: { type: 'string', doc: 'only at this listener: ws, wss, https or http' },
      ...LIST,
    },
    words: NONE,
    async run(call) {
      const query = {
        agent: call.text('agent'),
        cause: call.text('cause'),
        address: call.text('address'),
        listener: call.text('listener'),
      };
      const answer = await readList(call, '/handshake-failures', query);
      const rows = rowsOf(answer, 'items');
      // Each hint once, however many addresses need it.
      const hints = new Map(rows.map((row) => [shown(row['cause']), shown(row['hint'])]));
      call.answer(answer, () =>
        [
          call.table(
            ['last', 'count', 'listener', 'address', 'cause', 'what happened'],
            rows.map((row) => [
              row['lastAt'],
              row['count'],
              row['listener'],
              row['address'],
              row['cause'],
              row['detail'],
            ]),
            `No handshake failed since ${shown(recordOf(answer)['startedAt'])}.`,
          ),
          ...(hints.size === 0 ? [] : ['', ...[...hints].map(([cause, hint]) => `${cause}: ${hint}`)]),
        ].join('\n'),
      );
    },
  },
];

/** The row of a list that an id names. */
async function showOne(call: CommandCall, path: '/dead-letters' | '/incidents'): Promise<void> {
  const [id = ''] = call.words;
  const [row] = rowsOf(await call.client.request('GET', path, { query: { id } }), 'items');
  if (row === undefined) throw cliFault('row_unknown', { id, list: path.slice(1) });
  call.answer(row, () => facts(Object.entries(row)));
}
