// The commands on drains: list, show, create, cancel.
import type { Command, CommandCall } from '../../command.ts';
import { LIST, readList } from '../../list.ts';
import { facts, recordOf, rowsOf, shown } from '../../print.ts';
import { cutOffText, DRY_RUN, REASON, termsOf } from '../../terms.ts';
import { WAIT, waitForEnd, waitSeconds } from '../../watching/wait.ts';
import { WATCH } from '../../watching/watch.ts';
import { AGENTS } from './actions.ts';

const ONE = { least: 1, most: 1 } as const;

export const drainCommands: readonly Command[] = [
  {
    name: 'drains list',
    usage: '[--state draining|drained|canceled]',
    summary: 'drains since Central started, newest first',
    options: { state: { type: 'string', doc: 'only in this state' }, ...LIST },
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await readList(call, '/drains', { state: call.text('state') });
      call.answer(answer, () =>
        call.table(
          ['id', 'state', 'agents', 'selected', 'waiting', 'away', 'reconnected', 'by'],
          rowsOf(answer, 'items').map((row) => [
            row['id'],
            row['state'],
            row['agents'],
            row['agentCount'],
            row['waitingCount'],
            row['awayCount'],
            row['reconnectedCount'],
            row['createdBy'],
          ]),
          'No drains.',
        ),
      );
    },
  },
  {
    name: 'drains show',
    usage: 'DRAIN [--wait]',
    summary: 'one drain, with its agents counted now; with --wait when no session is left to end',
    options: { ...WAIT, ...WATCH },
    words: ONE,
    async run(call) {
      const row = await atEnd(call, recordOf(await call.current(pathOf(call))));
      call.answer(row, () => drainText(row));
    },
  },
  {
    name: 'drains create',
    usage: '(AGENT... | --agents SELECTOR...) [--within TIME] [--retry-after TIME] [--wait]',
    summary: 'end the sessions of agents, spread over a time, so that they connect again',
    help: 'No message is lost: both sides continue where they were. "queuegate drains show" counts the agents that are back.',
    options: {
      ...AGENTS,
      within: {
        type: 'string',
        value: 'TIME',
        doc: 'spread over this time, such as 10m; agents.drain.spreadSeconds unless set',
      },
      'retry-after': { type: 'string', value: 'TIME', doc: 'agents connect again after this time; at once unless set' },
      ...WAIT,
      ...DRY_RUN,
      ...REASON,
    },
    words: { least: 0, most: 100 },
    async run(call) {
      const agents = [...call.words, ...(call.list('agents') ?? [])];
      if (agents.length === 0) throw call.complain('either an agent or --agents is required');
      const [withinSeconds, retryAfterSeconds] = [call.seconds('within'), call.seconds('retry-after')];
      const answer = await call.client.request('POST', '/drains', {
        isCreating: true,
        query: termsOf(call),
        body: {
          agents,
          ...(withinSeconds === undefined ? {} : { withinSeconds }),
          ...(retryAfterSeconds === undefined ? {} : { retryAfterSeconds }),
        },
      });
      if (call.flag('dry-run')) return call.answer(answer, () => reportText(answer));
      const drain = await atEnd(call, recordOf(answer));
      call.answer(drain, () => drainText(drain));
    },
  },
  {
    name: 'drains cancel',
    usage: 'DRAIN',
    summary: 'end a drain: the sessions that it has not ended yet stay open',
    options: REASON,
    words: ONE,
    async run(call) {
      const answer = recordOf(await call.client.request('POST', `${pathOf(call)}/cancel`, { query: termsOf(call) }));
      call.answer(answer, () => `Canceled: the sessions of ${shown(answer['waitingCount'])} agents stay open.`);
    },
  },
];

const pathOf = (call: CommandCall): string => `/drains/${encodeURIComponent(call.words[0] ?? '')}`;

/** With --wait the drain in its final state; the command fails when it was canceled. */
async function atEnd(
  call: CommandCall,
  drain: Readonly<Record<string, unknown>>,
): Promise<Readonly<Record<string, unknown>>> {
  const seconds = waitSeconds(call);
  if (seconds === undefined) return drain;
  const id = shown(drain['id']);
  const path = `/drains/${encodeURIComponent(id)}`;
  const awaited = {
    path,
    what: `The drain ${id}`,
    command: `drains show ${id}`,
    passing: ['draining'],
    isAwaited: true,
  };
  const ended = await waitForEnd(call, seconds, awaited);
  if (ended['state'] === 'canceled') call.fail();
  return ended;
}

function drainText(row: Readonly<Record<string, unknown>>): string {
  return facts([
    ['id', row['id']],
    ['state', `${shown(row['state'])} since ${shown(row['stateChangedAt'])}`],
    ['agents', row['agents']],
    ...(row['scope'] === null ? [] : [['scope', row['scope']] as const]),
    ['by', `${shown(row['createdBy'])}, ${shown(row['createdAt'])}`],
    ['within', `${shown(row['withinSeconds'])} s, retry after ${shown(row['retryAfterSeconds'])} s`],
    ['selected', `${shown(row['agentCount'])}, of which ${shown(row['offlineCount'])} were offline`],
    ['waiting', row['waitingCount']],
    ['away', row['awayCount']],
    ['reconnected', row['reconnectedCount']],
  ]);
}

function reportText(report: unknown): string {
  const { agentCount } = recordOf(recordOf(report)['result']);
  return [`${shown(agentCount)} agents are selected.`, ...cutOffText(report, 'Sessions that would end:')].join('\n');
}
