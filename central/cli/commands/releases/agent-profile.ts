// The commands on the profile of one agent: what is assigned to it, what it says it runs, and its repair.
import type { Command } from '../../command.ts';
import { facts, recordOf, shown } from '../../print.ts';
import { REASON, termsOf } from '../../terms.ts';
import { WATCH } from '../../watching/watch.ts';

const ONE = { least: 1, most: 1 } as const;
const pathOf = (agent: string | undefined): string => `/agents/${encodeURIComponent(agent ?? '')}/profile`;

export const agentProfileCommands: readonly Command[] = [
  {
    name: 'agents profile show',
    usage: 'AGENT',
    summary: 'the release that is assigned to an agent, the one it runs, and files that were changed there',
    options: WATCH,
    words: ONE,
    async run(call) {
      const row = recordOf(await call.client.request('GET', pathOf(call.words[0])));
      const drift = recordOf(row['drift']);
      call.answer(row, () =>
        facts([
          ['desired', releaseText(row['desired'], 'none: no rollout has brought it to a release')],
          ['reported', releaseText(row['reported'], 'none: its profile was placed by hand')],
          ['reported at', row['reportedAt']],
          ['rollout', row['rollout']],
          [
            'drift',
            drift['detail'] === undefined
              ? 'none, as far as is known'
              : `${shown(drift['detail'])} ${shown(drift['hint'])}`,
          ],
        ]),
      );
    },
  },
  {
    name: 'agents profile repair',
    namedBy: 'id',
    usage: 'AGENT',
    summary: 'send an agent its release again: files that were changed there are restored',
    options: REASON,
    words: ONE,
    async run(call) {
      const row = recordOf(
        await call.client.request('POST', `${pathOf(call.words[0])}/repair`, { query: termsOf(call) }),
      );
      call.answer(
        row,
        () =>
          `Rollout ${shown(row['id'])} repairs it; "queuegate rollouts show ${shown(row['id'])} --watch" shows how far.`,
      );
    },
  },
];

function releaseText(value: unknown, none: string): string {
  if (value === null || value === undefined) return none;
  const { digest, name } = recordOf(value);
  return name === null ? shown(digest) : `${shown(name)} (${shown(digest)})`;
}
