// The commands on rollouts: list, show and what administrators decide about one; and those that start one.
import { rateOf, waveOf } from '../../../../shared/terminal/quantities.ts';
import type { Command, CommandCall } from '../../command.ts';
import { LIST, readList } from '../../list.ts';
import { facts, recordOf, rowsOf, shown } from '../../print.ts';
import { REASON, termsOf, YES } from '../../terms.ts';
import { WAIT, waitForEnd, waitSeconds } from '../../watching/wait.ts';
import { AGENTS } from '../agents/actions.ts';

type RolloutStage = 'synchronize' | 'upgrade';
type Row = Readonly<Record<string, unknown>>;

const ONE = { least: 1, most: 1 } as const;
const BAR_WIDTH = 30;
/** Words for people, of the counts that have them. */
const COUNTS = [
  ['succeeded', 'succeeded'],
  ['synchronized', 'synchronized'],
  ['trying', 'on trial'],
  ['synchronizing', 'synchronizing'],
  ['offered', 'offered'],
  ['waiting', 'waiting'],
  ['rolledBack', 'rolled back'],
  ['failed', 'failed'],
  ['timedOut', 'timed out'],
  ['skipped', 'skipped'],
  ['canceled', 'canceled'],
] as const;
const OPEN = ['waiting', 'offered', 'synchronizing', 'trying'];

const RATE = {
  rate: { type: 'string', value: 'RATE', doc: 'of the downloads of each agent, such as 2MB/s; no limit unless set' },
} as const;
export const DRY_RUN = {
  'dry-run': {
    type: 'boolean',
    doc: 'only show how it would start: its waves, and how many agents are in which state',
  },
} as const;
const ACT_DRY_RUN = {
  'dry-run': { type: 'boolean', doc: 'only show its state, and how many agents would be in which state' },
} as const;
const PLAN = {
  waves: {
    type: 'string',
    value: 'LIST',
    doc: 'counts and shares of agents, such as 1,10%,100%; all at once unless set',
  },
  success: { type: 'string', value: 'SHARE', doc: 'of a wave must succeed before the next one starts; 95% unless set' },
  error: { type: 'string', value: 'SHARE', doc: 'more failures of a wave halt the rollout; 5% unless set' },
  soak: { type: 'string', value: 'DURATION', doc: 'between a wave that is complete and the next one; 0s unless set' },
  trial: {
    type: 'string',
    value: 'DURATION',
    doc: 'after this time without success an agent returns to its previous release; 5m unless set',
  },
} as const;

/** The commands that bring a release to agents: of profiles, and of software. */
export function releaseCommands(
  noun: 'profiles' | 'software',
  help: Readonly<Record<RolloutStage, string>>,
): Command[] {
  const kind = noun === 'profiles' ? 'profile' : noun;
  return [
    {
      name: `${noun} synchronize`,
      namedBy: 'id',
      usage: 'NAME@PREFIX --agents SELECTOR... [--rate RATE]',
      summary: 'send the files of a release to agents, which do not switch to it yet',
      help: help.synchronize,
      options: { ...AGENTS, ...RATE, ...DRY_RUN, ...REASON },
      words: ONE,
      async run(call) {
        const agents = call.list('agents');
        if (agents === undefined) throw call.complain('--agents is missing');
        await begin(call, { kind, stage: 'synchronize', agents, bytesPerSecond: rateIn(call) });
      },
    },
    {
      name: `${noun} upgrade`,
      namedBy: 'id',
      usage: 'NAME@PREFIX (--rollout ROLLOUT | --agents SELECTOR...) [options]',
      summary: 'switch agents to a release, in waves; where it does not work, the agent returns automatically',
      help: help.upgrade,
      options: {
        rollout: { type: 'string', value: 'ROLLOUT', doc: 'one that synchronized the release, such as r-17' },
        ...AGENTS,
        ...PLAN,
        ...RATE,
        ...DRY_RUN,
        ...REASON,
      },
      words: ONE,
      async run(call) {
        const [agents, rollout] = [call.list('agents'), call.text('rollout')];
        if ((agents === undefined) === (rollout === undefined))
          throw call.complain('one of --rollout and --agents is needed');
        await begin(call, { kind, stage: 'upgrade', agents, rollout, ...planIn(call), bytesPerSecond: rateIn(call) });
      },
    },
  ];
}

export const rolloutCommands: readonly Command[] = [
  ...releaseCommands('profiles', {
    synchronize:
      'PREFIX is at least 8 characters of the digest of the release, as "prepare" printed it. Continue with\n"queuegate profiles upgrade".',
    upgrade:
      'With --rollout the agents of a rollout that synchronized the release continue. An agent tries the release beside its session: until\nCentral has welcomed it with the release, nothing is interrupted.',
  }),
  {
    name: 'rollouts list',
    watches: 'rollouts',
    namedBy: 'id',
    usage: '[--state STATE,...]',
    summary: 'rollouts, the newest first',
    options: {
      state: {
        type: 'string',
        value: 'STATE,...',
        doc: 'running, paused, halted, rolling-back, completed, canceled, rolled-back',
      },
      ...LIST,
    },
    words: { least: 0, most: 0 },
    async run(call) {
      const answer = await readList(call, '/rollouts', { state: statesIn(call) });
      call.answer(answer, () =>
        call.table(
          ['id', 'release', 'stage', 'state', 'since', 'agents', 'done'],
          rowsOf(answer, 'items').map((row) => [
            row['id'],
            releaseText(row),
            row['stage'],
            row['state'],
            row['stateChangedAt'],
            recordOf(row['counts'])['total'],
            doneIn(row),
          ]),
          'No rollouts. "queuegate profiles upgrade" or "queuegate software upgrade" starts one.',
        ),
      );
    },
  },
  {
    name: 'rollouts show',
    watches: 'rollouts',
    namedBy: 'id',
    usage: 'ROLLOUT [--agents [--state STATE,...]] [--wait]',
    summary: 'a rollout, or each of its agents with the reason',
    options: {
      agents: { type: 'boolean', doc: 'its agents instead' },
      state: {
        type: 'string',
        value: 'STATE,...',
        doc: 'with --agents: only those, such as failed,rolled-back,timed-out',
      },
      ...WAIT,
      ...LIST,
    },
    words: ONE,
    async run(call) {
      const id = call.words[0] ?? '';
      if (call.flag('agents')) return await showAgents(call, id);
      if (call.text('state') !== undefined) throw call.complain('--state has no effect without --agents');
      const seconds = waitSeconds(call);
      const row = seconds === undefined ? recordOf(await call.current(pathOf(id))) : await ended(call, id, seconds);
      call.answer(row, () => rolloutText(row, call.terminal));
    },
  },
  actCommand('pause', 'start no further agents; those that have started finish', 'Paused'),
  actCommand('resume', 'continue a rollout that is paused or halted; its failures so far are accepted', 'Resumed'),
  actCommand('cancel', 'end a rollout; agents on trial finish it', 'Canceled'),
  actCommand('retry', 'repeat it on the agents where it failed, timed out, was rolled back or skipped', 'Repeated'),
  actCommand('rollback', 'return its agents to their previous releases, all at once', 'Rolling back'),
];

/** What changes agents back, or ends what they do, asks first. */
function actCommand(verb: string, summary: string, done: string): Command {
  const asks = verb === 'cancel' || verb === 'rollback';
  return {
    name: `rollouts ${verb}`,
    namedBy: 'id',
    usage: 'ROLLOUT',
    summary,
    options: { ...ACT_DRY_RUN, ...(asks ? YES : {}), ...REASON },
    ...(asks ? { asks: 'always' } : {}),
    words: ONE,
    async run(call) {
      const id = call.words[0] ?? '';
      if (asks && !call.flag('dry-run')) {
        const act = `${verb === 'cancel' ? 'Cancel' : 'Roll back'} the rollout ${id}`;
        const effect =
          verb === 'cancel'
            ? 'Agents that have not begun their trial stay on their release.'
            : 'Its agents return to the release that they ran before, all at once.';
        await call.confirm({ act, effect });
      }
      const row = recordOf(await call.client.request('POST', `${pathOf(id)}/${verb}`, { query: termsOf(call) }));
      call.answer(row, () =>
        call.flag('dry-run')
          ? actPreviewText(recordOf(row['result']))
          : `${done}: ${shown(row['id'])} is ${shown(row['state'])}.\n${countsText(row)}`,
      );
    },
  };
}

/** Errors: usage, those of the request. */
async function begin(call: CommandCall, body: Readonly<Record<string, unknown>>): Promise<void> {
  const answer = recordOf(
    await call.client.request('POST', '/rollouts', {
      isCreating: true,
      body: { release: call.words[0], ...body },
      query: termsOf(call),
    }),
  );
  call.answer(answer, () => (call.flag('dry-run') ? previewText(recordOf(answer['result'])) : begunText(answer)));
}

function begunText(row: Row): string {
  const id = shown(row['id']);
  return `Rollout ${id}: ${scopeText(row)}.\n"queuegate rollouts show ${id} --watch" shows how far they are.`;
}

export function previewText(row: Row): string {
  const which = row['id'] === null ? 'A new rollout' : `Rollout ${shown(row['id'])}`;
  return [`${which} would start: ${scopeText(row)}.`, `Waves: ${wavesText(row)}.`, countsText(row)].join('\n');
}

const actPreviewText = (row: Row): string =>
  `Nothing was changed. ${shown(row['id'])} would be ${shown(row['state'])}.\n${countsText(row)}`;

function scopeText(row: Row): string {
  const { total, eligible } = recordOf(row['counts']);
  const away = Number(total) - Number(eligible);
  return `${shown(row['stage'])} ${releaseText(row)}, ${shown(total)} agents${away > 0 ? `, ${away} of them away for more than 7 days, disabled or revoked` : ''}`;
}

function planIn(call: CommandCall): Readonly<Record<string, unknown>> {
  const text = call.text('waves');
  const waves = text?.split(',').map((one) => {
    const wave = waveOf(one);
    if (wave === undefined) throw call.complain(`--waves has "${one}"; allowed: counts and shares, such as 1,10%,100%`);
    return wave;
  });
  return {
    waves,
    successShare: call.share('success'),
    errorShare: call.share('error'),
    soakSeconds: call.seconds('soak'),
    trialSeconds: call.seconds('trial'),
  };
}

function rateIn(call: CommandCall): number | undefined {
  const text = call.text('rate');
  const rate = text === undefined ? undefined : rateOf(text);
  if (text !== undefined && rate === undefined)
    throw call.complain(`--rate is "${text}"; allowed: a number with kB/s, MB/s or GB/s, such as 2MB/s`);
  return rate;
}

const statesIn = (call: CommandCall): readonly string[] | undefined => call.text('state')?.split(',');
const pathOf = (id: string): string => `/rollouts/${encodeURIComponent(id)}`;
const releaseText = (row: Row): string => `${shown(row['name'])}@${shown(row['release']).slice(0, 8)}`;

async function showAgents(call: CommandCall, id: string): Promise<void> {
  const answer = await readList(call, `${pathOf(id)}/agents`, { state: statesIn(call) });
  call.answer(answer, () =>
    call.table(
      ['agent', 'state', 'since', 'wave', 'bytes', 'reason'],
      rowsOf(answer, 'items').map((row) => [
        recordOf(row['agent'])['name'],
        row['inconclusive'] === true ? `${shown(row['state'])} (inconclusive)` : row['state'],
        row['stateChangedAt'],
        row['wave'],
        bytesText(row),
        reasonText(row),
      ]),
      'No agents.',
    ),
  );
}

/** A rollout that halted waits for an administrator; one that did not complete fails the command. */
async function ended(call: CommandCall, id: string, seconds: number): Promise<Row> {
  const row = await waitForEnd(call, seconds, {
    path: pathOf(id),
    what: `The rollout ${id}`,
    command: `rollouts show ${id}`,
    passing: ['running', 'paused', 'rolling-back'],
    isAwaited: true,
  });
  if (row['state'] !== 'completed' && row['state'] !== 'rolled-back') call.fail();
  return row;
}

function rolloutText(row: Row, isTerminal: boolean): string {
  const reason = row['stateReason'] === null ? {} : recordOf(row['stateReason']);
  const bar = isTerminal ? [progressBar(row)] : [];
  return [
    facts([
      ['id', row['id']],
      ['release', `${shown(row['kind'])} ${releaseText(row)}`],
      ['stage', row['stage']],
      ['state', `${shown(row['state'])}, since ${shown(row['stateChangedAt'])}`],
      ...(reason['detail'] === undefined
        ? []
        : [['reason', `${shown(reason['detail'])} ${shown(reason['hint'])}`] as const]),
      ['waves', wavesText(row)],
      ...(row['soakUntilAt'] === null ? [] : [['soaks until', row['soakUntilAt']] as const]),
      ...(row['scope'] === null ? [] : [['scope', row['scope']] as const]),
      ['agents', `${shown(recordOf(row['counts'])['total'])}; eligible: ${shown(recordOf(row['counts'])['eligible'])}`],
    ]),
    ...bar,
    countsText(row),
  ].join('\n');
}

const wavesText = (row: Row): string =>
  rowsOf(row, 'waves')
    .map((wave) => `${shown(wave['agentCount'])} (${shown(wave['state'])})`)
    .join(', ');

/** The agents that have an outcome. */
function doneIn(row: Row): number {
  const counts = recordOf(row['counts']);
  const open = row['stage'] === 'upgrade' ? [...OPEN, 'synchronized'] : OPEN;
  return Number(counts['total']) - open.reduce((sum, name) => sum + Number(counts[name] ?? 0), 0);
}

function progressBar(row: Row): string {
  const total = Math.max(1, Number(recordOf(row['counts'])['total']));
  const done = Math.min(BAR_WIDTH, Math.round((doneIn(row) / total) * BAR_WIDTH));
  return `[${'#'.repeat(done)}${'-'.repeat(BAR_WIDTH - done)}] ${Math.floor((doneIn(row) / total) * 100)} %`;
}

function countsText(row: Row): string {
  const counts = recordOf(row['counts']);
  const some = COUNTS.filter(([name]) => Number(counts[name]) > 0).map(
    ([name, text]) => `${shown(counts[name])} ${text}`,
  );
  return some.join(', ') || 'No agents.';
}

function bytesText(row: Row): string {
  const [received, total] = [Number(row['receivedBytes']), Number(row['totalBytes'])];
  return total === 0 ? '-' : `${Math.floor((received / total) * 100)} % of ${total}`;
}

function reasonText(row: Row): string {
  if (row['stateReason'] !== null) {
    const { detail, hint } = recordOf(row['stateReason']);
    return `${shown(detail)} ${shown(hint)}`;
  }
  return row['state'] === 'waiting' && row['offlineAt'] !== null ? `away since ${shown(row['offlineAt'])}` : '-';
}
