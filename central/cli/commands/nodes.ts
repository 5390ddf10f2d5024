// The commands on nodes, the processes of a Central that several hosts run: list, show, drain, delete.
import type { Command, CommandCall } from '../command.ts';
import { LIST, readList } from '../list.ts';
import { facts, recordOf, rowsOf, shown } from '../print.ts';
import { REASON, termsOf, YES } from '../terms.ts';
import { WATCH } from '../watching/watch.ts';

const ONE = { least: 1, most: 1 } as const;

export const nodeCommands: readonly Command[] = [
  {
    name: 'nodes list',
    watches: 'nodes',
    usage: '',
    summary: 'the processes of this Central, and which one leads',
    options: LIST,
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await readList(call, '/nodes');
      call.answer(answer, () =>
        call.table(
          ['name', 'state', 'leads', 'version', 'sessions', 'parameters', 'clock offset', 'last seen', 'drained'],
          rowsOf(answer, 'items').map((row) => [
            row['name'],
            row['state'],
            row['leader'] === true ? 'yes' : 'no',
            row['version'],
            row['sessionCount'],
            row['appliedParameters'],
            `${shown(row['clockOffsetSeconds'])} s`,
            row['lastSeenAt'],
            row['drainedAt'] ?? 'no',
          ]),
          'No nodes.',
        ),
      );
    },
  },
  {
    name: 'nodes show',
    usage: 'NODE',
    summary: 'one node',
    options: WATCH,
    words: ONE,
    async run(call) {
      const row = recordOf(await call.client.request('GET', pathOf(call)));
      call.answer(row, () => nodeText(row));
    },
  },
  {
    name: 'nodes drain',
    usage: 'NODE [--cancel]',
    summary: 'let the agents of a node reconnect to other nodes, such as before it is stopped or upgraded',
    help: 'The sessions end, spread over agents.drain.spreadSeconds, and the node admits no agents until --cancel, also after a restart.\nNo message is lost. "queuegate nodes show NODE" counts the sessions that are left.',
    options: { cancel: { type: 'boolean', doc: 'end the drain: the node admits agents again' }, ...REASON },
    words: ONE,
    async run(call) {
      const row = recordOf(
        await call.client.request('POST', `${pathOf(call)}/drain`, {
          query: termsOf(call),
          body: { cancel: call.flag('cancel') },
        }),
      );
      call.answer(row, () => nodeText(row));
    },
  },
  {
    name: 'nodes delete',
    usage: 'NODE',
    summary: 'forget a node that is stopped or dead and does not come back',
    help: 'A node that starts again with that name is listed again.',
    options: { ...YES, ...REASON },
    asks: 'always',
    words: ONE,
    async run(call) {
      await call.confirm({ act: `Delete the node ${call.words[0] ?? ''}`, effect: 'It is listed no more.' });
      await call.client.request('DELETE', pathOf(call), { query: termsOf(call) });
      call.answer({}, () => 'Deleted.');
    },
  },
];

function pathOf(call: CommandCall): string {
  return `/nodes/${encodeURIComponent(call.words[0] ?? '')}`;
}

function nodeText(row: Readonly<Record<string, unknown>>): string {
  return facts([
    ['name', row['name']],
    ['state', row['state']],
    ['leads', row['leader'] === true ? 'yes' : 'no'],
    ['version', row['version']],
    ['address for other nodes', row['address'] ?? 'none'],
    ['sessions', row['sessionCount']],
    ['applied parameters', `version ${shown(row['appliedParameters'])}`],
    ['clock offset', `${shown(row['clockOffsetSeconds'])} s`],
    ['started', row['startedAt']],
    ['last seen', row['lastSeenAt']],
    ['drained', row['drainedAt'] ?? 'no'],
  ]);
}
