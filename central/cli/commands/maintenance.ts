// The commands on maintenance: maintenance mode, in which no agent is admitted, and the clock of Central's host.
import type { Command, CommandCall } from '../command.ts';
import { facts, recordOf, shown } from '../print.ts';
import { cutOffText, DRY_RUN, REASON, termsOf, YES } from '../terms.ts';
import { WATCH } from '../watching/watch.ts';

const NONE = { least: 0, most: 0 } as const;

export const maintenanceCommands: readonly Command[] = [
  {
    name: 'maintenance show',
    usage: '',
    summary: 'whether maintenance mode is enabled',
    options: WATCH,
    words: NONE,
    async run(call) {
      answerState(call, await call.client.request('GET', '/maintenance'));
    },
  },
  {
    name: 'maintenance enable',
    usage: '[--retry-after TIME]',
    summary: 'end the sessions of all agents, and admit none until maintenance mode is disabled',
    help: 'Agents lose nothing: events wait on their disks, commands at Central. The mode outlasts a restart of Central. Run it again to change --retry-after. Enrollment continues.',
    options: {
      'retry-after': { type: 'string', value: 'TIME', doc: 'when agents try again, such as 30s or 5m; 1m unless set' },
      ...DRY_RUN,
      ...YES,
      ...REASON,
    },
    asks: 'always',
    words: NONE,
    async run(call) {
      await call.confirm({
        act: 'Enable maintenance mode',
        effect: 'The sessions of all agents end, and none is admitted until it is disabled.',
      });
      const retryAfterSeconds = call.seconds('retry-after');
      const answer = await call.client.request('PATCH', '/maintenance', {
        query: termsOf(call),
        body: { enabled: true, ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }) },
      });
      if (!call.flag('dry-run')) return answerState(call, answer);
      const cutOff = cutOffText(answer, 'Would cut off:');
      call.answer(answer, () => (cutOff.length === 0 ? 'No agent would be cut off.' : cutOff.join('\n')));
    },
  },
  {
    name: 'maintenance disable',
    usage: '',
    summary: 'admit agents again; they connect by themselves',
    help: 'Each agent is back within one and a half times --retry-after, or within 5 minutes if that is longer.',
    options: REASON,
    words: NONE,
    async run(call) {
      answerState(
        call,
        await call.client.request('PATCH', '/maintenance', { query: termsOf(call), body: { enabled: false } }),
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
    words: NONE,
    async run(call) {
      await call.confirm({
        act: 'Accept the clock',
        effect: 'What is older than its retention by this clock is deleted.',
      });
      const answer = recordOf(await call.client.request('POST', '/maintenance/accept-clock', { query: termsOf(call) }));
      call.answer(answer, () =>
        answer['foundAt'] === null
          ? 'The clock was not in doubt.'
          : `The clock is accepted: it showed ${shown(answer['foundAt'])}, and ${shown(answer['expectedAt'])} was expected. Pruning and expiry continue.`,
      );
    },
  },
];

function answerState(call: CommandCall, answer: unknown): void {
  const { enabled, retryAfterSeconds, enabledAt } = recordOf(answer);
  call.answer(answer, () =>
    facts([
      ['maintenance mode', enabled === true ? `enabled since ${shown(enabledAt)}: no agent is admitted` : 'disabled'],
      ['agents try again', `after ${shown(retryAfterSeconds)} s`],
    ]),
  );
}
