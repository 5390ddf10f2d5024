// The command `status`.
import type { Command } from '../command.ts';
import { facts, recordOf, rowsOf, shown } from '../print.ts';
import { WATCH } from '../watching/watch.ts';

export const statusCommands: readonly Command[] = [
  {
    name: 'status',
    usage: '',
    summary: 'the listeners and their encryption, the version, and current problems',
    options: WATCH,
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await call.client.request('GET', '/status');
      const status = recordOf(answer);
      const certificate = recordOf(status['certificate']);
      const problems = rowsOf(status, 'problems');
      call.answer(answer, () =>
        [
          facts([
            ['central', status['central']],
            ['version', status['version']],
            ['node', nodeText(status)],
            ['running since', status['startedAt']],
            ['agents', agentsText(recordOf(status['agents']))],
            ...rowsOf(status, 'listeners').map((row) => [shown(row['listener']), row['text']] as const),
            [
              'certificate',
              status['certificate'] === null
                ? null
                : `${shown(certificate['subject'])}, until ${shown(certificate['notAfter'])}, for ${shown(certificate['names'])}`,
            ],
          ]),
          ...(problems.length === 0
            ? []
            : [
                '',
                'Problems:',
                ...problems.map(
                  (row) =>
                    `  ${shown(row['detail'])} ${shown(row['hint'])} (${shown(row['code'])}, since ${shown(row['startedAt'])})`,
                ),
              ]),
        ].join('\n'),
      );
    },
  },
];

/** "central-1, one of 3; central-2 leads" */
function nodeText(status: Readonly<Record<string, unknown>>): string {
  const { aliveCount, leader } = recordOf(status['nodes']);
  if (aliveCount === undefined || aliveCount === 1) return shown(status['node']);
  return `${shown(status['node'])}, one of ${shown(aliveCount)}; ${leader === null ? 'none' : shown(leader)} leads`;
}

/** "240: 230 online, 10 disconnected" */
function agentsText(agents: Readonly<Record<string, unknown>>): string {
  const states = rowsOf(agents, 'states').filter(({ agentCount }) => agentCount !== 0);
  const parts = states.map(({ state, agentCount }) => `${shown(agentCount)} ${shown(state)}`);
  return `${shown(agents['agentCount'])}${parts.length === 0 ? '' : `: ${parts.join(', ')}`}`;
}
