// The commands on what was sent to agents: list, show, withdraw. `commands send` is in agents.ts.
import type { Command } from '../../command.ts';
import { LIST, readList } from '../../list.ts';
import { facts, recordOf, rowsOf, shown } from '../../print.ts';
import { REASON, termsOf } from '../../terms.ts';
import { WATCH } from '../../watching/watch.ts';

const ONE = { least: 1, most: 1 } as const;
const KNOWN = 'It is known for as many days as the parameter messages.deduplicationDays says.';

export const sentCommands: readonly Command[] = [
  {
    name: 'commands list',
    usage: '[--agent AGENT] [--source SOURCE --id ID]',
    summary: 'commands that wait for their agents, the oldest first; or what became of one, by its source and id',
    help: `With --source and --id it shows the state of that command at each agent that it was sent to. ${KNOWN}`,
    options: {
      agent: { type: 'string', doc: 'only of this agent' },
      source: { type: 'string', doc: 'source of a command; /central if it was sent without one' },
      id: { type: 'string', doc: 'its id' },
      ...LIST,
    },
    words: { least: 0, most: 0 },
    async run(call) {
      const filters = { agent: call.text('agent'), source: call.text('source'), id: call.text('id') };
      if ((filters.source === undefined) !== (filters.id === undefined))
        throw call.complain('--source and --id belong together');
      const answer = await readList(call, '/commands', filters);
      call.answer(answer, () =>
        call.table(
          ['command', 'agent', 'state', 'queued', 'expires', 'type', 'source', 'id'],
          rowsOf(answer, 'items').map((row) => [
            row['commandId'],
            recordOf(row['agent'])['name'],
            row['state'],
            row['queuedAt'],
            row['expiresAt'] ?? 'never',
            row['type'],
            row['source'],
            row['id'],
          ]),
          filters.id === undefined ? 'No command waits.' : 'No such command is known.',
        ),
      );
    },
  },
  {
    name: 'commands show',
    usage: 'COMMAND',
    summary: 'what became of a command: queued, delivered, acknowledged, expired or withdrawn',
    help: `Acknowledged means that the program at the agent has it. ${KNOWN}`,
    options: WATCH,
    words: ONE,
    async run(call) {
      const row = recordOf(await call.client.request('GET', pathOf(call.words[0])));
      call.answer(row, () =>
        facts([
          ['command', row['commandId']],
          ['agent', recordOf(row['agent'])['name']],
          ['state', row['state']],
          ['queued', row['queuedAt']],
          ['number', row['number']],
          ...(row['text'] === null
            ? []
            : [
                ['expires', row['expiresAt'] ?? 'never'] as const,
                ['type', row['type']] as const,
                ['source', row['source']] as const,
                ['id', row['id']] as const,
                ['text', row['text']] as const,
              ]),
        ]),
      );
    },
  },
  {
    name: 'commands withdraw',
    usage: 'COMMAND',
    summary: 'withdraw a command that waits for an agent without a session, and was not sent to it',
    help: 'It becomes a dead letter. Sent again with the same source and id, it counts as a duplicate.',
    options: REASON,
    words: ONE,
    async run(call) {
      const [command = ''] = call.words;
      await call.client.request('DELETE', pathOf(command), { query: termsOf(call) });
      call.answer({ withdrawn: command }, () => `Withdrew ${shown(command)}.`);
    },
  },
];

function pathOf(command = ''): string {
  return `/commands/${encodeURIComponent(command)}`;
}
