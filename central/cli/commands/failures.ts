// The commands on what went wrong: incidents of agents, dead letters, failed handshakes.
import type { Command, CommandCall } from '../command.ts';
import { recordOf, rowsOf, shown, table } from '../print.ts';

const OF_AGENT = {
  agent: { type: 'string', doc: 'only of this agent (id, name or the beginning of an id)' },
  limit: { type: 'string', doc: 'at most this many; 100 unless set' },
} as const;
const NONE = { least: 0, most: 0 } as const;

export const failureCommands: readonly Command[] = [
  {
    name: 'incidents list',
    usage: '[--agent AGENT] [--limit N]',
    summary: 'what went wrong with agents, newest first',
    options: OF_AGENT,
    words: NONE,
    async run(call) {
      const answer = await call.client.request('GET', '/incidents', { query: queryOf(call) });
      call.answer(answer, () =>
        table(
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
    usage: '[--agent AGENT] [--limit N]',
    summary: 'messages that expired or were rejected, newest first',
    options: OF_AGENT,
    words: NONE,
    async run(call) {
      const answer = await call.client.request('GET', '/dead-letters', { query: queryOf(call) });
      call.answer(answer, () =>
        table(
          ['at', 'direction', 'agent', 'number', 'count', 'id', 'reason'],
          rowsOf(answer, 'items').map((row) => [
            row['createdAt'],
            row['direction'],
            row['agentId'],
            row['number'],
            row['count'],
            row['messageId'],
            row['reason'],
          ]),
          'No dead letters.',
        ),
      );
    },
  },
  {
    name: 'handshake-failures list',
    usage: '[--cause CAUSE] [--address ADDRESS] [--listener LISTENER] [--limit N]',
    summary: 'connections and enrollments that failed, with their cause',
    help: 'Since this Central started, one line for each listener, cause and address; the latest first. docs/ERRORS.md explains the causes.',
    options: {
      cause: { type: 'string', doc: 'only with this cause' },
      address: { type: 'string', doc: 'only from this address' },
      listener: { type: 'string', doc: 'only at this listener: plain, secure, https or http' },
      limit: OF_AGENT.limit,
    },
    words: NONE,
    async run(call) {
      const query = {
        cause: call.text('cause'),
        address: call.text('address'),
        listener: call.text('listener'),
        limit: call.number('limit'),
      };
      const answer = await call.client.request('GET', '/handshake-failures', { query });
      const rows = rowsOf(answer, 'items');
      // Each hint once, however many addresses need it.
      const hints = new Map(rows.map((row) => [shown(row['cause']), shown(row['hint'])]));
      call.answer(answer, () =>
        [
          table(
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

function queryOf(call: CommandCall): { agent: string | undefined; limit: number | undefined } {
  return { agent: call.text('agent'), limit: call.number('limit') };
}
