#!/usr/bin/env node
// `queue-agent`: the daemon and its tools on the command line. Says what to do; the parts do it.
import { parseArgs } from 'node:util';
import { isCoded, printable, textOf } from '../shared/errors.ts';
import { watchForOrphaning } from '../shared/orphan.ts';
import { flagOptions } from '../shared/settings.ts';
import { VERSION } from '../shared/version.ts';
import { AGENT_SCHEMA, loadAgentConf, type AgentConfRequest } from './conf.ts';

const USAGE = `queue-agent ${VERSION}

  queue-agent start [--profile FOLDER] [settings]
      Runs the daemon.
  queue-agent enrol URL --token TOKEN --pin sha256:... [--again] [--profile FOLDER] [settings]
      Makes this machine an agent of a Central: copy the line that "queuegate tokens create-enrolment" printed.
      The token may stand in the environment instead (QUEUE_AGENT_TOKEN), where other users of this machine do not see it.
  queue-agent status [--json] [--profile FOLDER] [settings]
      What the running daemon says of itself.
  queue-agent doctor [--json] [--profile FOLDER] [settings]
  queue-agent doctor --enrol URL --pin sha256:... [--token TOKEN] [--json]
      Looks for what keeps this agent (or its enrolment) from Central, step by step, and says how to mend it. It never takes
      the session of a running daemon. Exit status 0 when all is well, 1 at the first fault.
  queue-agent truststore list|import|delete|convert|create|change-password ...
      Truststores without keytool or KeyStore Explorer; "queue-agent truststore --help" tells more.
  queue-agent help | version

The profile is profiles/default, or QUEUE_AGENT_PROFILE. Settings are flags such as --central-host HOST, --agent-name NAME,
--data-folder FOLDER, --log-level debug; docs/CONFIGURATION.md lists them all.
`;

/** Longer than the daemon needs to stop in order; then it is ended whatever hangs. */
const STOP_WITHIN_MS = 10_000;

class UsageError extends Error {}

async function main(argv: readonly string[]): Promise<number> {
  const [command, ...rest] = argv;
  switch (command) {
    case 'start':
      return await start(rest);
    case 'enrol':
      return await enrolCommand(rest);
    case 'status':
      return await status(rest);
    case 'doctor':
      return await doctor(rest);
    case 'truststore': {
      const { truststoreCommand } = await import('../shared/truststore/command.ts');
      return await truststoreCommand(rest, { program: 'queue-agent', stdout: (text) => void process.stdout.write(text), stderr: (text) => void process.stderr.write(text), env: process.env });
    }
    case 'version':
    case '--version':
      process.stdout.write(`${VERSION}\n`);
      return 0;
    case 'help':
    case '--help':
    case '-h':
      process.stdout.write(USAGE);
      return 0;
    default:
      process.stderr.write(command === undefined ? USAGE : `error: there is no "queue-agent ${command}"\n\n${USAGE}`);
      return 2;
  }
}

interface Parsed {
  readonly request: AgentConfRequest;
  readonly values: Readonly<Record<string, unknown>>;
  readonly positionals: readonly string[];
}

function parse(args: readonly string[], own: Readonly<Record<string, { type: 'string' | 'boolean' }>>): Parsed {
  let parsed;
  try {
    parsed = parseArgs({ args: [...args], options: { ...flagOptions(AGENT_SCHEMA), profile: { type: 'string' }, ...own }, allowPositionals: true, strict: true });
  } catch (error) {
    throw new UsageError(textOf(error));
  }
  const { profile } = parsed.values;
  const profileFolder = typeof profile === 'string' ? profile : (process.env['QUEUE_AGENT_PROFILE'] ?? 'profiles/default');
  return { request: { profileFolder, environment: process.env, flags: parsed.values }, values: parsed.values, positionals: parsed.positionals };
}

async function start(args: readonly string[]): Promise<number> {
  const { request, positionals } = parse(args, {});
  if (positionals.length > 0) throw new UsageError(`start takes no "${positionals[0]}"`);
  const { startAgent } = await import('./main.ts');
  const agent = await startAgent(request);
  const signal = new Promise<'signal'>((resolve) => {
    // Windows knows no SIGTERM; a service there ends the process, and both logs are on disk.
    for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => resolve('signal'));
    watchForOrphaning(process.env, () => resolve('signal'));
    // Only the Central agent has a parent at the other end of a channel (central/central-agent.ts): it goes when that one does.
    process.once('disconnect', () => resolve('signal'));
    process.channel?.unref();
  });
  const ended = await Promise.race([signal, agent.failed]);
  setTimeout(() => process.exit(1), STOP_WITHIN_MS).unref();
  await agent.stop();
  return ended === 'signal' ? 0 : 1;
}

async function enrolCommand(args: readonly string[]): Promise<number> {
  const { request, values, positionals } = parse(args, { token: { type: 'string' }, pin: { type: 'string' }, again: { type: 'boolean' } });
  const [url, ...more] = positionals;
  const token = typeof values['token'] === 'string' ? values['token'] : process.env['QUEUE_AGENT_TOKEN'];
  if (url === undefined || more.length > 0 || token === undefined) throw new UsageError('enrol needs one URL, and --token TOKEN or QUEUE_AGENT_TOKEN');
  const conf = await loadAgentConf(request);
  const { enrolAgent } = await import('./enrol-command.ts');
  const { identity, trusted } = await enrolAgent(conf, { url, token, pin: typeof values['pin'] === 'string' ? values['pin'] : undefined, again: values['again'] === true });
  const { hostName, scheme } = dialled(conf.central.secure, identity.host);
  process.stdout.write(
    [
      `enrolled with Central "${identity.central}" as ${identity.name}`,
      `  id          ${identity.id}`,
      `  data        ${conf.dataFolder} (key, identity; keep it private)`,
      ...(trusted === undefined ? [] : [`  truststore  ${trusted} now trusts Central's root`]),
      `  dials       ${scheme}://${conf.central.endpoints[0]?.host ?? hostName}:${conf.central.endpoints[0]?.port ?? (identity.secure === conf.central.secure ? identity.port : conf.central.port)}`,
      `next: queue-agent start --profile ${request.profileFolder}`,
      '',
    ].join('\n'),
  );
  return 0;
}

function dialled(secure: boolean, host: string): { readonly scheme: string; readonly hostName: string } {
  return { scheme: secure ? 'wss' : 'ws', hostName: host };
}

async function doctor(args: readonly string[]): Promise<number> {
  const { request, values, positionals } = parse(args, { json: { type: 'boolean' }, enrol: { type: 'string' }, pin: { type: 'string' }, token: { type: 'string' } });
  if (positionals.length > 0) throw new UsageError(`doctor takes no "${positionals[0]}"`);
  const text = (name: string): string | undefined => (typeof values[name] === 'string' ? values[name] : undefined);
  const url = text('enrol');
  if (url === undefined && (text('pin') ?? text('token')) !== undefined) throw new UsageError('--pin and --token belong to doctor --enrol URL');
  const { doctorCommand } = await import('./doctor-command.ts');
  const enrolment = url === undefined ? undefined : { url, pin: text('pin'), token: text('token') ?? process.env['QUEUE_AGENT_TOKEN'] };
  return await doctorCommand({ request, enrolment, json: values['json'] === true, print: (line) => void process.stdout.write(line) });
}

async function status(args: readonly string[]): Promise<number> {
  const { request, values } = parse(args, { json: { type: 'boolean' } });
  const conf = await loadAgentConf(request);
  const { askDaemon } = await import('./local-status.ts');
  const answer = await askDaemon(conf.dataFolder);
  if (answer.kind !== 'status') {
    const found = answer.kind === 'never' ? `no daemon has run with the data folder ${conf.dataFolder} yet` : `the daemon of ${conf.dataFolder} does not answer at ${answer.url}`;
    process.stderr.write(`error: ${found}\n  Start it: queue-agent start --profile ${request.profileFolder}\n`);
    return 1;
  }
  const found = answer.status;
  if (values['json'] === true) {
    process.stdout.write(`${JSON.stringify(found, null, 2)}\n`);
  } else {
    const { connection } = found;
    process.stdout.write(
      [
        `${found.name} (queue-agent ${found.version}): ${connection.state} since ${connection.since}`,
        ...(connection.central === null ? [] : [`  central   ${connection.central.name} at ${connection.central.url}`]),
        ...(connection.reason === null ? [] : [`  reason    ${connection.reason.text}`, `  mend      ${connection.reason.hint}`]),
        `  events    ${found.outbox.messages} wait for Central (${found.outbox.bytes} bytes)`,
        `  commands  ${found.inbox.messages} wait for local programs (${found.inbox.bytes} bytes)`,
        '',
      ].join('\n'),
    );
  }
  return found.connection.state === 'online' ? 0 : 1;
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (error instanceof UsageError) {
    process.stderr.write(`error: ${error.message}\n\n${USAGE}`);
    process.exitCode = 2;
  } else {
    process.stderr.write(`${isCoded(error) ? printable(error) : `error: ${textOf(error)}`}\n`);
    process.exitCode = 1;
  }
}
