// The commands about the daemon: runs it, and shows its state, its consumers and what keeps it from Central.
import { setFlagsFromString } from 'node:v8';
import { watchForOrphaning } from '../../shared/orphan.ts';
import { AGENT_PREFIX, AGENT_SCHEMA } from '../../shared/settings/agent-settings.ts';
import { loadSettings } from '../../shared/settings/settings.ts';
import { stopSignal } from '../../shared/signals.ts';
import { EXIT_DONE, EXIT_FAILED } from '../../shared/terminal/exit-status.ts';
import { releaseInput } from '../../shared/terminal/standard-streams.ts';
import { loadAgentConf, type AgentConf, type AgentConfRequest } from '../conf.ts';
import { agentFault } from '../errors.ts';
import type { LocalStatus } from '../local-api/client.ts';
import { expectNoArguments, TIMEOUT, UsageError, type AgentCommand, type Call } from './command.ts';
import { enrollmentToken } from './enrollment-commands.ts';

/** Longer than an orderly stop takes; after it the process ends, whatever hangs. */
const STOP_WITHIN_MS = 10_000;
/** For what is left after an orderly stop, such as the end of TLS on a line. */
const HELD_MS = 2_000;

/**
 * V8 lets the part of the heap for objects that live shortly grow to 48 MiB for a burst, and keeps much of it. With its
 * first size an idle daemon has 3 MiB less and a busy one 7, for about 4 % more CPU time per event (measured).
 */
const SMALL_YOUNG_HEAP = '--semi-space-growth-factor=1';

export const DAEMON_COMMANDS = {
  start: {
    name: 'start',
    usages: [{ words: '', help: 'Runs the daemon.' }],
    options: {},
    withoutAnswer: true,
    run: start,
  },
  runner: {
    name: 'runner',
    usages: [
      { words: '', help: 'Runs the programs of tasks for the daemon, under another account (docs/TASKS.md#accounts).' },
    ],
    options: {},
    withoutAnswer: true,
    run: runner,
  },
  status: {
    name: 'status',
    usages: [
      {
        words: '[-o FORMAT] [--timeout TIME]',
        help: 'Shows the state of the running daemon. Exit status 0 if it is online, 1 if it is not, 3 if no daemon answers.',
      },
    ],
    options: TIMEOUT,
    run: status,
  },
  listConsumers: {
    name: 'consumers list',
    usages: [
      {
        words: '[-o FORMAT] [--timeout TIME]',
        help: 'Lists the consumers of the running daemon: which commands each gets, how many wait for it, where its token is.',
      },
    ],
    options: TIMEOUT,
    run: listConsumers,
  },
  rotateToken: {
    name: 'consumers rotate-token',
    usages: [
      {
        words: '[CONSUMER] [-o FORMAT] [--timeout TIME]',
        help: 'Creates a new token for a consumer ("default" without a name). The old token stays valid for 24 hours.',
      },
    ],
    options: TIMEOUT,
    run: rotateToken,
  },
  doctor: {
    name: 'doctor',
    usages: [
      { words: '[-o FORMAT] [--timeout TIME]', help: '' },
      {
        words: '--enroll URL --pin sha256:... [--token-file FILE] [--timeout TIME]',
        help: 'Checks step by step what keeps this agent (or its enrollment) from Central, and prints how to fix it. It never takes over the session of a running daemon. Exit status 0 if no fault was found, 1 at the first fault.',
      },
    ],
    options: {
      ...TIMEOUT,
      enroll: { type: 'string' },
      pin: { type: 'string' },
      token: { type: 'string' },
      'token-file': { type: 'string' },
    },
    run: doctor,
  },
} as const satisfies Readonly<Record<string, AgentCommand>>;

async function start(call: Call): Promise<number> {
  expectNoArguments(call, 'start');
  releaseInput();
  setFlagsFromString(SMALL_YOUNG_HEAP);
  const { startAgent } = await import('../main.ts');
  const agent = await startAgent(call.request);
  const orphaned = new Promise<'signal'>((resolve) => {
    watchForOrphaning(process.env, () => resolve('signal'));
    // Only the Central agent has a parent on an IPC channel (central/central-agent.ts); it stops together with it.
    process.once('disconnect', () => resolve('signal'));
    process.channel?.unref();
  });
  const signal = Promise.race([stopSignal(() => agent.reload()), orphaned]);
  const ended = await Promise.race([signal, agent.restart, agent.failed]);
  const code = ended === 'signal' || ended === 'restart' ? 0 : 1;
  const force = setTimeout(() => process.exit(1), STOP_WITHIN_MS).unref();
  await agent.stop();
  clearTimeout(force);
  // All is on disk: what still holds the process (a TLS probe of a silent host) has nothing to lose.
  setTimeout(() => process.exit(code), HELD_MS).unref();
  return code;
}

/** Without the configuration of the agent, which its account cannot read. */
async function runner(call: Call): Promise<number> {
  expectNoArguments(call, 'runner');
  releaseInput();
  const { environment, flags } = call.request;
  const variable = `${AGENT_PREFIX}RUNNER_SOCKET`;
  const { values } = loadSettings({
    schema: AGENT_SCHEMA,
    prefix: AGENT_PREFIX,
    files: [],
    environment: { [variable]: environment[variable] },
    flags,
  });
  const { startRunner } = await import('../tasks/runner/server.ts');
  const running = await startRunner(values['runner.socket']);
  await stopSignal(() => Promise.resolve());
  await running.stop();
  return EXIT_DONE;
}

async function status(call: Call): Promise<number> {
  expectNoArguments(call, 'status');
  const conf = await loadAgentConf(call.request);
  const { askDaemon } = await import('../local-api/client.ts');
  const answer = await askDaemon(conf.dataFolder, call.timeoutMs);
  if (answer.kind !== 'status') throw noDaemon(answer, conf, call.request);
  const found = answer.status;
  call.answer(found, () => statusLines(found));
  return found.connection.state === 'online' ? EXIT_DONE : EXIT_FAILED;
}

function statusLines({
  name,
  version,
  connection,
  outbox,
  inbox,
  releases,
  devicePort,
  accounts,
  problems,
}: LocalStatus): string[] {
  return [
    `${name} (queue-agent ${version}): ${connection.state} since ${connection.stateChangedAt}`,
    ...(connection.central === null ? [] : [`  central   ${connection.central.name} at ${connection.central.url}`]),
    ...(connection.stateReason === null
      ? []
      : [`  reason    ${connection.stateReason.detail}`, `  hint      ${connection.stateReason.hint}`]),
    `  events    ${outbox.messageCount} wait for Central (${outbox.bytes} bytes)`,
    `  commands  ${inbox.messageCount} wait for local programs (${inbox.bytes} bytes)`,
    ...releaseLines(releases),
    ...devicePortLines(devicePort),
    ...(accounts === null ? [] : [`  accounts  ${accounts} (of agent and tasks)`]),
    ...problems.flatMap(({ code, detail, hint }) => [`  problem   ${detail} (${code})`, `  hint      ${hint}`]),
  ];
}

function devicePortLines(found: LocalStatus['devicePort']): string[] {
  if (found === null || found === undefined) return [];
  const { address, port, state, names, notAfter, clientCertificates = false, connectionCount = 0 } = found;
  return [
    `  devices   port ${port}${address === '' ? '' : ` at ${address}`} ${state}, ${connectionCount} connected`,
    ...(notAfter === null ? [] : [`            certificate for ${names.join(', ')} until ${notAfter}`]),
    ...(clientCertificates ? ['            client certificates are accepted'] : []),
  ];
}

function releaseLines(releases: LocalStatus['releases']): string[] {
  const { profile = null, software = null } = releases ?? {};
  const named = (digest: string | null, otherwise: string): string =>
    digest === null ? otherwise : `release ${digest.slice(0, 12)}`;
  return [
    ...(profile === null
      ? []
      : [
          `  profile   ${named(profile.release, 'placed by hand')}`,
          ...instructionLines(profile.instruction),
          ...changedLines(profile.changedFiles),
        ]),
    ...(software === null
      ? []
      : [
          `  program   ${named(software.program, 'of the package')}`,
          `  runtime   ${named(software.runtime, 'of the package')}`,
          ...instructionLines(software.instruction),
          ...changedLines(software.changedFiles),
        ]),
  ];
}

function changedLines(files: readonly string[]): string[] {
  return files.length === 0 ? [] : [`  changed   ${files.join(', ')}`];
}

function instructionLines(instruction: NonNullable<NonNullable<LocalStatus['releases']>['profile']>['instruction']) {
  const { release, state, stateReason, receivedBytes, totalBytes } = instruction;
  const bytes = state === 'synchronizing' ? ` (${receivedBytes} of ${totalBytes} bytes)` : '';
  return [
    `  release   ${release.slice(0, 12)} ${state}${bytes}`,
    ...(stateReason === null ? [] : [`  reason    ${stateReason.detail} (${stateReason.code})`]),
    ...(stateReason === null ? [] : [`  hint      ${stateReason.hint}`]),
  ];
}

async function listConsumers(call: Call): Promise<number> {
  expectNoArguments(call, 'consumers list');
  const conf = await loadAgentConf(call.request);
  const client = await import('../local-api/client.ts');
  const answer = await client.listConsumers(conf.dataFolder, call.timeoutMs);
  if (answer.kind !== 'done') throw noDaemon(answer, conf, call.request);
  call.answer(answer.found, () =>
    answer.found.items.flatMap(({ name, types, tokenFile, waitingCount, oldestAt }) => [
      `${name}: ${waitingCount} commands wait${oldestAt === null ? '' : `, the oldest since ${oldestAt}`}`,
      `  types     ${types.length === 0 ? 'all that no other consumer gets' : types.join(', ')}`,
      `  token     ${tokenFile}`,
    ]),
  );
  return EXIT_DONE;
}

async function rotateToken(call: Call): Promise<number> {
  const [consumer = 'default', ...more] = call.positionals;
  if (more.length > 0) throw new UsageError(`consumers rotate-token does not take "${more[0]}"`);
  const conf = await loadAgentConf(call.request);
  const client = await import('../local-api/client.ts');
  const answer = await client.rotateToken(conf.dataFolder, consumer, call.timeoutMs);
  if (answer.kind !== 'done') throw noDaemon(answer, conf, call.request);
  const { tokenFile, previousExpiresAt } = answer.found;
  call.answer({ name: consumer, ...answer.found }, () => [
    `the new token is in ${tokenFile}`,
    `the old token stays valid until ${previousExpiresAt}; the next rotation revokes it at once`,
  ]);
  return EXIT_DONE;
}

async function doctor(call: Call): Promise<number> {
  expectNoArguments(call, 'doctor');
  const url = call.text('enroll');
  const pin = call.text('pin');
  if (url === undefined && (pin ?? call.text('token') ?? call.text('token-file')) !== undefined)
    throw new UsageError('--pin, --token and --token-file belong to doctor --enroll URL');
  const { doctorCommand } = await import('../doctor/command.ts');
  const enrollment = url === undefined ? undefined : { url, pin, token: await enrollmentToken(call) };
  return await doctorCommand({ call, enrollment });
}

function noDaemon(
  answer: { readonly kind: 'never' } | { readonly kind: 'silent'; readonly where: string },
  { dataFolder: folder }: AgentConf,
  { profileFolder: profile }: AgentConfRequest,
): Error {
  return answer.kind === 'never'
    ? agentFault('daemon_never_ran', { folder, profile })
    : agentFault('daemon_not_answering', { folder, where: answer.where, profile });
}
