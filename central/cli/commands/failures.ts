// The commands on what went wrong: incidents of agents, dead letters, failed handshakes.
import type { Command } from '../command.ts';
import { LIST, readList } from '../list.ts';
import { recordOf, rowsOf, shown } from '../print.ts';

const OF_AGENT = {
  agent: { type: 'string', doc: 'only of this agent (id, name or the beginning of an id)' },
  ...LIST,
} as const;
const NONE = { least: 0, most: 0 } as const;

export const failureCommands: readonly Command[] = [
  {
    name: 'incidents list',
    usage: '[--agent AGENT]',
    summary: 'what went wrong with agents, newest first',
    options: OF_AGENT,
    words: NONE,
    async run(call) {
      const answer = await readList(call, '/incidents', { agent: call.text('agent') });
      call.answer(answer, () =>
        call.table(
          ['at', 'code', 'count', 'agent', 'address', 'detail'],
          rowsOf(answer, 'items').map((row) => [
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
    name: 'dead-letters list',
    usage: '[--agent AGENT]',
    summary: 'messages that expired or were rejected, newest first',
    options: OF_AGENT,
    words: NONE,
    async run(call) {
      const answer = await readList(call, '/dead-letters', { agent: call.text('agent') });
      call.answer(answer, () =>
        call.table(
          ['at', 'direction', 'agent', 'number', 'count', 'id', 'code', 'place', 'detail'],
          rowsOf(answer, 'items').map((row) => [
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
    name: 'handshake-failures list',
    usage: '[--cause CAUSE] [--address ADDRESS] [--listener LISTENER]',
    summary: 'connections and enrollments that failed, with their cause',
    help: 'Since this Central started, one line for each listener, cause and address; the latest first. docs/ERRORS.md explains the causes.',
    options: {
      cause: { type: 'string', doc: 'only with this cause' },
      address: { type: 'string', doc: 'only from this address' },
      listener: { type: 'string', doc: 'only at this listener: ws, wss, https or http' },
      ...LIST,
    },
    words: NONE,
    async run(call) {
      const query = {
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
