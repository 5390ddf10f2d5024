// The command `handshakes list`.
import type { Command } from '../command.ts';
import { recordOf, rowsOf, shown, table } from '../print.ts';

export const handshakeCommands: readonly Command[] = [
  {
    name: 'handshakes list',
    usage: '[--cause CAUSE] [--address ADDRESS] [--listener LISTENER] [--limit N]',
    summary: 'connections and enrollments that came to nothing, and why',
    help: 'Since this Central started, one line for each listener, cause and address; the last one first. docs/ERRORS.md explains the causes.',
    options: {
      cause: { type: 'string', doc: 'only with this cause' },
      address: { type: 'string', doc: 'only from this address' },
      listener: { type: 'string', doc: 'only at this one: plain, secure, https or http' },
      limit: { type: 'string', doc: 'at most so many; 100 unless set' },
    },
    words: { least: 0, most: 0 },
    async run(call) {
      const query = {
        cause: call.text('cause'),
        address: call.text('address'),
        listener: call.text('listener'),
        limit: call.number('limit'),
      };
      const answer = await call.client.request('GET', '/handshake-failures', { query });
      const rows = rowsOf(answer, 'failures');
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
              row['text'],
            ]),
            `No handshake failed since ${shown(recordOf(answer)['since'])}.`,
          ),
          ...(hints.size === 0 ? [] : ['', ...[...hints].map(([cause, hint]) => `${cause}: ${hint}`)]),
        ].join('\n'),
      );
    },
  },
];
