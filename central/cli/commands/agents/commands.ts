// The commands on what is sent to agents: send, list, show, withdraw.
import { bodyText } from '../../../../shared/delivery/body-text.ts';
import { readBoundedFile } from '../../../../shared/files/bounded-file.ts';
import { parseJson, type Command } from '../../command.ts';
import { LIST, readList } from '../../list.ts';
import { facts, recordOf, rowsOf, shown } from '../../print.ts';
import { DRY_RUN, REASON, termsOf } from '../../terms.ts';
import { WATCH } from '../../watching/watch.ts';
import { AGENTS, severalText } from './actions.ts';
import { findAgent, idIn } from './agents.ts';

const MAX_FILE_BYTES = 8 * 1024 * 1024;
const ONE = { least: 1, most: 1 } as const;
const KNOWN = 'It is known for as many days as the parameter commands.stateRetentionDays says.';

export const sentCommands: readonly Command[] = [
  {
    name: 'commands send',
    usage: '(AGENT | --agents SELECTOR...) (--type TYPE [--data JSON] | --file FILE)',
    summary: 'send a command to an agent, or to several',
    help: 'FILE holds one CloudEvent or an array of them as JSON; - reads it from the standard input. With --agents, what one agent refuses stops no other, and the exit status is then 6.',
    options: {
      ...AGENTS,
      type: { type: 'string', doc: 'type of the command' },
      data: { type: 'string', doc: 'its data, as JSON' },
      subject: { type: 'string', doc: 'its subject' },
      source: { type: 'string', doc: 'its source; /central unless set' },
      file: { type: 'string', short: 'f', value: 'FILE', doc: 'the whole command, or several' },
    },
    words: { least: 0, most: 1 },
    async run(call) {
      const [type, file, data] = [call.text('type'), call.text('file'), call.text('data')];
      if ((call.list('agents') === undefined) === (call.words.length === 0))
        throw call.complain('either an agent or --agents is required');
      if ((type === undefined) === (file === undefined)) throw call.complain('either --type or --file is required');
      const [subject, source] = [call.text('subject'), call.text('source')];
      const made = JSON.stringify({
        type,
        ...(subject === undefined ? {} : { subject }),
        ...(source === undefined ? {} : { source }),
      });
      const withData = data === undefined ? made : `${made.slice(0, -1)},"data":${data}}`;
      const text = file === undefined ? withData : file === '-' ? await call.readStdin() : await readText(file);
      // Only validated: what was typed or written is sent as it is.
      parseJson(file === undefined ? (data ?? '{}') : text, file ?? '--data');
      const agents = call.list('agents');
      if (agents !== undefined) {
        const answer = await call.client.request('POST', '/commands', { query: { agents }, bodyText: text });
        call.answer(answer, () => severalText(answer, 'have it on Central'));
        if (Number(recordOf(answer)['refusedCount']) > 0) call.refused();
        return;
      }
      const agent = await findAgent(call.client, call.words[0] ?? '');
      const answer = await call.client.request('POST', `/agents/${idIn(agent)}/commands`, { bodyText: text });
      call.answer(answer, () =>
        rowsOf(answer, 'items')
          .map(
            (row) =>
              `${shown(row['outcome'])}: number ${shown(row['number'])} for ${shown(agent['name'])}, id ${shown(row['id'])}`,
          )
          .join('\n'),
      );
    },
  },
  {
    name: 'commands list',
    usage: '[--agent AGENT] [--state STATE] [--source SOURCE --id ID]',
    summary: 'commands that wait for their agents, the oldest first; or those in a state, or what became of one',
    help: `With --source and --id it shows the state of that command at each agent that it was sent to. ${KNOWN}`,
    options: {
      agent: { type: 'string', doc: 'only of this agent' },
      state: {
        type: 'string',
        isList: true,
        doc: 'those in this state: queued, delivered, acknowledged, expired or withdrawn; repeated: one of them',
      },
      source: { type: 'string', doc: 'source of a command; /central if it was sent without one' },
      id: { type: 'string', doc: 'its id' },
      ...LIST,
    },
    words: { least: 0, most: 0 },
    async run(call) {
      const filters = {
        agent: call.text('agent'),
        state: call.list('state'),
        source: call.text('source'),
        id: call.text('id'),
      };
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
          filters.id === undefined && filters.state === undefined ? 'No command waits.' : 'No such command is known.',
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
    options: { ...DRY_RUN, ...REASON },
    words: ONE,
    async run(call) {
      const [command = ''] = call.words;
      const report = await call.client.request('DELETE', pathOf(command), { query: termsOf(call) });
      if (call.flag('dry-run')) return call.answer(report, () => `${shown(command)} would be withdrawn.`);
      call.answer({ withdrawn: command }, () => `Withdrew ${shown(command)}.`);
    },
  },
];

function pathOf(command = ''): string {
  return `/commands/${encodeURIComponent(command)}`;
}

async function readText(path: string): Promise<string> {
  const bytes = await readBoundedFile({
    path,
    what: 'The file',
    maxBytes: MAX_FILE_BYTES,
    hint: 'Name a file with one CloudEvent or an array of them.',
  });
  return bodyText(bytes);
}
