// The commands on the profile of one agent: what is assigned to it, what it says it runs, and its repair.
import type { Command } from '../../command.ts';
import { facts, recordOf, rowsOf, shown } from '../../print.ts';
import { REASON, termsOf } from '../../terms.ts';
import { WATCH } from '../../watching/watch.ts';
import { DRY_RUN, previewText } from './rollouts.ts';

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
          ['drift', driftText(row['drift'])],
          ['overridden', listText(drift['overriddenKeys'])],
          ...rowsOf(row, 'software').flatMap((part): [string, string][] => [
            [shown(part['part']), releaseText(part['reported'], 'of its package')],
            [`${shown(part['part'])} drift`, driftText(part['drift'])],
          ]),
        ]),
      );
    },
  },
  {
    name: 'agents profile measure',
    usage: 'AGENT',
    summary: 'make an agent measure the files of its profile and its software now',
    help: 'It measures at its start and each hour. "queuegate agents profile show AGENT" shows what it found, and when.',
    options: {},
    words: ONE,
    async run(call) {
      const row = recordOf(await call.client.request('POST', `${pathOf(call.words[0])}/measure`));
      const { name } = recordOf(row['agent']);
      call.answer(
        row,
        () =>
          `${shown(name)} measures its releases; "queuegate agents profile show ${shown(name)}" shows what it found.`,
      );
    },
  },
  {
    name: 'agents profile repair',
    namedBy: 'id',
    usage: 'AGENT',
    summary: 'send an agent its release again: files that were changed there are restored',
    options: { ...DRY_RUN, ...REASON },
    words: ONE,
    async run(call) {
      const row = recordOf(
        await call.client.request('POST', `${pathOf(call.words[0])}/repair`, {
          isCreating: true,
          query: termsOf(call),
        }),
      );
      call.answer(row, () =>
        call.flag('dry-run')
          ? previewText(recordOf(row['result']))
          : `Rollout ${shown(row['id'])} repairs it; "queuegate rollouts show ${shown(row['id'])} --watch" shows how far.`,
      );
    },
  },
];

/** What the agent found changed, and when it said so. */
function driftText(value: unknown): string {
  if (value === null || value === undefined) return 'none, as far as is known';
  const { reason, reportedAt } = recordOf(value);
  const { detail, hint } = recordOf(reason);
  if (detail === undefined) return `none, measured ${shown(reportedAt)}`;
  return `${shown(detail)} ${shown(hint)}`;
}

function listText(value: unknown): string {
  const names = Array.isArray(value) ? value.map((name: unknown) => shown(name)) : [];
  return names.length === 0 ? 'none, as far as is known' : names.join(', ');
}

function releaseText(value: unknown, none: string): string {
  if (value === null || value === undefined) return none;
  const { digest, name } = recordOf(value);
  return name === null ? shown(digest) : `${shown(name)} (${shown(digest)})`;
}
