// The commands `status` and `maintenance accept-clock`.
import type { Command } from '../command.ts';
import { facts, recordOf, rowsOf, shown } from '../print.ts';
import { REASON, termsOf, YES } from '../terms.ts';
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
            ['node', status['node']],
            ['running since', status['startedAt']],
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
  {
    name: 'maintenance accept-clock',
    usage: '',
    summary: "accept the clock of Central's host after it was set by more than a day",
    help: 'Until then nothing is pruned and nothing expires. Correct the clock first: what is older than its retention by the accepted clock is deleted.',
    options: { ...YES, ...REASON },
    asks: 'always',
    words: { least: 0, most: 0 },
    async run(call) {
      await call.confirm({
        act: 'Accept the clock',
        effect: 'What is older than its retention by this clock is deleted.',
      });
      const answer = recordOf(await call.client.request('POST', '/maintenance/accept-clock', { query: termsOf(call) }));
      call.answer(answer, () =>
        answer['foundAt'] === null
          ? 'The clock was not in doubt.'
          : `The clock is accepted: it showed ${shown(answer['foundAt'])}, and ${shown(answer['expectedAt'])} was expected. Pruning and expiry go on.`,
      );
    },
  },
];
