// The commands `status` and `store show`.
import type { Command } from '../command.ts';
import { facts, recordOf, rowsOf, shown } from '../print.ts';

export const statusCommands: readonly Command[] = [
  {
    name: 'status',
    usage: '',
    summary: 'what listens where and how encrypted; version; what is wrong',
    options: {},
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await call.client.request('GET', '/status');
      const status = recordOf(answer);
      const certificate = recordOf(status['certificate']);
      const problems = Array.isArray(status['problems']) ? status['problems'] : [];
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
          ...(problems.length === 0 ? [] : ['', 'Wrong:', ...problems.map((text) => `  ${shown(text)}`)]),
        ].join('\n'),
      );
    },
  },
  {
    name: 'store show',
    usage: '',
    summary: 'size of the store, the disk reserve, and the quotas of each agent',
    options: {},
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await call.client.request('GET', '/store');
      const store = recordOf(answer);
      const [reserve, quotas] = [recordOf(store['reserve']), recordOf(store['quotas'])];
      call.answer(answer, () =>
        facts([
          ['engine', `${shown(store['engine'])}, schema ${shown(store['schema'])}`],
          ['size', `${shown(store['bytes'])} bytes`],
          ['events', store['eventCount']],
          [
            'dead letters',
            `${shown(store['deadLetterCount'])} (${shown(store['droppedDeadLetterCount'])} gave way to newer ones)`,
          ],
          [
            'disk space',
            `${shown(reserve['state'])}: ${shown(reserve['availableBytes'])} bytes available, ${shown(reserve['reserveBytes'])} in reserve`,
          ],
          [
            'quota per agent',
            `${shown(quotas['deadLetterCount'])} dead letters or ${shown(quotas['deadLetterBytes'])} bytes of them, ${quotas['eventsPerDayCount'] === null ? 'any number of events' : `${shown(quotas['eventsPerDayCount'])} events a day`}`,
          ],
        ]),
      );
    },
  },
];
