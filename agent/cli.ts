#!/usr/bin/env node
// Runs the command line of the agent: parses arguments, calls the part that does the work, and prints its result.
import { parseArgs } from 'node:util';
import { isCoded, textOf } from '../shared/errors.ts';
import { watchForOrphaning } from '../shared/orphan.ts';
import { stopSignal } from '../shared/signals.ts';
import { canPrompt, PromptCanceled, SecretInput } from '../shared/terminal/secret-input.ts';
import { flagOptions } from '../shared/settings/settings.ts';
import { wrongDash } from '../shared/terminal/dashes.ts';
import { endWithReader, printError, printOut } from '../shared/terminal/standard-streams.ts';
import { escapeLine } from '../shared/terminal/escape.ts';
import { VERSION } from '../shared/version.ts';
import { AGENT_SCHEMA, loadAgentConf, type AgentConf, type AgentConfRequest } from './conf.ts';
import type { Enrollment } from './enrollment/command.ts';
import { DEFAULT_PROFILE, makeDefaultProfile } from './profile.ts';
import { dialTargets, targetName } from './target.ts';

const USAGE = `queue-agent ${VERSION}

  queue-agent start [--profile FOLDER] [settings]
      Runs the daemon.
  queue-agent enroll URL --token-file FILE --pin sha256:... [--replace-identity] [--profile FOLDER] [settings]
      Enrolls this machine as an agent of a Central. Copy the line that "queuegate enrollment-tokens create" printed. FILE holds the
      token; "-" reads it from stdin, on a terminal from a prompt. The environment variable QUEUE_AGENT_TOKEN works too. --token TOKEN
      also works, but other users of this machine can see it. --replace-identity enrolls a machine that is enrolled already.
  queue-agent enroll URL --pin sha256:... [--wait SECONDS] [--replace-identity] [--profile FOLDER] [settings]
      Enrolls without a token: prints the thumbprint of this machine's key and waits (300 seconds by default) until an administrator
      of Central has compared and accepted it. Run it again to go on waiting.
  queue-agent certificate request --out FILE [--profile FOLDER] [settings]
  queue-agent certificate install FILE [--central URL] [--profile FOLDER] [settings]
      Enrolls without a connection to Central: take the certificate request to Central ("queuegate agents create") and bring back the
      file that it writes.
  queue-agent recover [--code-file FILE] [--profile FOLDER] [settings]
      Reconnects an agent that Central no longer accepts, with the recovery code that "queuegate agents recovery-code create" printed on Central.
      Without a file the code is read from a prompt, or from stdin ("--code-file -").
  queue-agent status [--json] [--profile FOLDER] [settings]
      Shows the state of the running daemon.
  queue-agent consumers list [--json] [--profile FOLDER] [settings]
      Lists the consumers of the running daemon: which commands each gets, how many wait for it, where its token is.
  queue-agent consumers rotate-token [CONSUMER] [--json] [--profile FOLDER] [settings]
      Creates a new token for a consumer ("default" without a name). The old token stays valid for 24 hours.
  queue-agent doctor [--json] [--profile FOLDER] [settings]
  queue-agent doctor --enroll URL --pin sha256:... [--token-file FILE] [--json]
      Checks step by step what keeps this agent (or its enrollment) from Central, and prints how to fix it. It never takes over the
      session of a running daemon. Exit status 0 if no fault was found, 1 at the first fault.
  queue-agent truststore list|import|delete|convert|create|change-password ...
      Manages truststores without keytool or KeyStore Explorer; see "queue-agent truststore --help".
  queue-agent help | version

The profile is profiles/default, or QUEUE_AGENT_PROFILE. Settings are flags such as --central-host HOST, --agent-name NAME,
--data-folder FOLDER, --log-level debug; docs/CONFIGURATION.md lists them all.
`;

/** Longer than an orderly stop takes; after it the process ends, whatever hangs. */
const STOP_WITHIN_MS = 10_000;
/** For what is left after an orderly stop, such as the end of TLS on a line. */
const HELD_MS = 2_000;
/** Long enough for a telephone call with the administrator. */
const WAIT_SECONDS = 300;

class UsageError extends Error {}

const secrets = new SecretInput();

/** One line for each part, except for the list of refused settings, which this program writes itself. */
function errorText(error: unknown): string {
  if (!isCoded(error)) return `error: ${escapeLine(textOf(error))}\n`;
  return `error: ${error.code === 'settings_refused' ? error.message : escapeLine(error.message)}\n  ${escapeLine(error.hint)}\n  (${error.code})\n`;
}

async function main(argv: readonly string[]): Promise<number> {
  const [command, ...rest] = argv;
  switch (command) {
    case 'start':
      return await start(rest);
    case 'enroll':
      return await enrollCommand(rest);
    case 'certificate':
      return await certificate(rest);
    case 'recover':
      return await recover(rest);
    case 'status':
      return await status(rest);
    case 'consumers':
      return await consumers(rest);
    case 'doctor':
      return await doctor(rest);
    case 'truststore': {
      const { truststoreCommand } = await import('../shared/truststore/command.ts');
      return await truststoreCommand(rest, {
        program: 'queue-agent',
        stdout: printOut,
        stderr: printError,
        secrets,
        env: process.env,
      });
    }
    case 'version':
    case '--version':
      printOut(`${VERSION}\n`);
      return 0;
    case 'help':
    case '--help':
    case '-h':
      printOut(USAGE);
      return 0;
    default:
      printError(
        command === undefined ? USAGE : `error: unknown command "queue-agent ${escapeLine(command)}"\n\n${USAGE}`,
      );
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
    parsed = parseArgs({
      args: [...args],
      options: { ...flagOptions(AGENT_SCHEMA), profile: { type: 'string' }, ...own },
      allowPositionals: true,
      strict: true,
    });
  } catch (error) {
    throw new UsageError(wrongDash(args) ?? textOf(error));
  }
  const dash = wrongDash(parsed.positionals);
  if (dash !== undefined) throw new UsageError(dash);
  const { profile } = parsed.values;
  const profileFolder = typeof profile === 'string' ? profile : (process.env['QUEUE_AGENT_PROFILE'] ?? DEFAULT_PROFILE);
  return {
    request: { profileFolder, environment: process.env, flags: parsed.values },
    values: parsed.values,
    positionals: parsed.positionals,
  };
}

async function start(args: readonly string[]): Promise<number> {
  const { request, positionals } = parse(args, {});
  if (positionals.length > 0) throw new UsageError(`start does not take "${positionals[0]}"`);
  const { startAgent } = await import('./main.ts');
  const agent = await startAgent(request);
  const orphaned = new Promise<'signal'>((resolve) => {
    watchForOrphaning(process.env, () => resolve('signal'));
    // Only the Central agent has a parent on an IPC channel (central/central-agent.ts); it stops together with it.
    process.once('disconnect', () => resolve('signal'));
    process.channel?.unref();
  });
  const signal = Promise.race([stopSignal(() => agent.reload()), orphaned]);
  const ended = await Promise.race([signal, agent.failed]);
  const code = ended === 'signal' ? 0 : 1;
  const force = setTimeout(() => process.exit(1), STOP_WITHIN_MS).unref();
  await agent.stop();
  clearTimeout(force);
  // All is on disk: what still holds the process (a TLS probe of a silent host) has nothing to lose.
  setTimeout(() => process.exit(code), HELD_MS).unref();
  return code;
}

async function enrollCommand(args: readonly string[]): Promise<number> {
  const { request, values, positionals } = parse(args, {
    token: { type: 'string' },
    'token-file': { type: 'string' },
    pin: { type: 'string' },
    'replace-identity': { type: 'boolean' },
    wait: { type: 'string' },
  });
  const [url, ...more] = positionals;
  const text = (name: string): string | undefined => (typeof values[name] === 'string' ? values[name] : undefined);
  if (url === undefined || more.length > 0) throw new UsageError('enroll needs one URL');
  const wait = text('wait') ?? String(WAIT_SECONDS);
  if (!/^\d{1,5}$/.test(wait)) throw new UsageError(`--wait is "${wait}"; allowed: seconds, from 0 to 99999`);
  const token = await enrollmentToken(values);
  await ensureProfile(request);
  const conf = await loadAgentConf(request);
  const { enrollAgent } = await import('./enrollment/command.ts');
  const enrolled = await enrollAgent(conf, {
    url,
    token,
    pin: text('pin'),
    replaceIdentity: values['replace-identity'] === true,
    waitMs: Number(wait) * 1000,
    onPending: ({ keyThumbprint }) =>
      printOut(
        [
          `asked to become an agent as ${conf.name}; an administrator has to accept it`,
          `  key         sha256:${keyThumbprint}`,
          `On Central, compare this thumbprint with "queuegate enrollment-requests list", then: queuegate enrollment-requests accept ${keyThumbprint.slice(0, 16)}`,
          `waiting for at most ${wait} seconds`,
          '',
        ].join('\n'),
      ),
  });
  printEnrolled(request, conf, enrolled);
  const { secure, signingKey } = enrolled.identity;
  if (token === undefined && !secure) {
    const { pinOf } = await import('../shared/wire/enrollment.ts');
    printError(
      `warning: plain http does not prove that this is Central. Compare its signing key with "queuegate ca show" there:\n  ${pinOf(Buffer.from(signingKey, 'base64'))}\n`,
    );
  }
  return 0;
}

/** A machine that enrolls in a new folder gets the default profile there; one that was named must exist. */
async function ensureProfile({ profileFolder, environment, flags }: AgentConfRequest): Promise<void> {
  if (flags['profile'] !== undefined || environment['QUEUE_AGENT_PROFILE'] !== undefined) return;
  if (await makeDefaultProfile(profileFolder)) printOut(`made the profile ${profileFolder} from the default one\n`);
}

/** Undefined: without a token, an administrator has to accept the agent. */
async function enrollmentToken(values: Parsed['values']): Promise<string | undefined> {
  const [token, file] = [values['token'], values['token-file']];
  if (typeof file === 'string') {
    if (token !== undefined) throw new UsageError('--token and --token-file exclude each other');
    return (await secrets.read(file, { what: 'The token file', prompt: 'Enrollment token' })).trim();
  }
  return typeof token === 'string' ? token : process.env['QUEUE_AGENT_TOKEN'];
}

async function certificate(args: readonly string[]): Promise<number> {
  const [verb, ...rest] = args;
  if (verb === 'request') return await requestCertificate(rest);
  if (verb === 'install') return await installCertificateCommand(rest);
  throw new UsageError('certificate needs the word request or install');
}

async function requestCertificate(args: readonly string[]): Promise<number> {
  const { request, values, positionals } = parse(args, { out: { type: 'string' } });
  const { out } = values;
  if (typeof out !== 'string' || positionals.length > 0)
    throw new UsageError('certificate request needs --out FILE, and nothing else');
  await ensureProfile(request);
  const conf = await loadAgentConf(request);
  const { writeRequest } = await import('./enrollment/offline.ts');
  const key = await writeRequest(conf, out);
  printOut(
    [
      `${out} is the request of ${conf.name}`,
      `  key         sha256:${key.thumbprint}`,
      `  data        ${conf.dataFolder} (the key; keep it private)`,
      'next, on Central: queuegate agents create --csr FILE --out agent.pem (compare the thumbprint)',
      `then, here: queue-agent certificate install agent.pem --profile ${request.profileFolder}`,
      '',
    ].join('\n'),
  );
  return 0;
}

async function installCertificateCommand(args: readonly string[]): Promise<number> {
  const { request, values, positionals } = parse(args, { central: { type: 'string' } });
  const [file, ...more] = positionals;
  if (file === undefined || more.length > 0) throw new UsageError('certificate install needs one file');
  const conf = await loadAgentConf(request);
  const { installCertificate } = await import('./enrollment/offline.ts');
  printEnrolled(
    request,
    conf,
    await installCertificate(
      conf,
      file,
      typeof values['central'] === 'string' ? values['central'] : undefined,
      new Date(),
    ),
  );
  return 0;
}

async function recover(args: readonly string[]): Promise<number> {
  const { request, values, positionals } = parse(args, { 'code-file': { type: 'string' } });
  if (positionals.length > 0) {
    throw new UsageError(
      'the recovery code is not taken from the command line, where other users of this machine can see it. Run "queue-agent recover" and type it at the prompt, or name a file: --code-file FILE ("-": stdin)',
    );
  }
  const file = values['code-file'];
  if (file === undefined && !canPrompt())
    throw new UsageError(
      'recover needs the recovery code, and there is no terminal to prompt on. Name a file: --code-file FILE ("-": stdin)',
    );
  const conf = await loadAgentConf(request);
  const code = (
    await secrets.read(typeof file === 'string' ? file : '-', {
      what: 'The file with the recovery code',
      prompt: 'Recovery code',
    })
  ).trim();
  const { recoverAgent } = await import('./enrollment/recover.ts');
  printEnrolled(request, conf, await recoverAgent(conf, code));
  return 0;
}

function printEnrolled(request: AgentConfRequest, conf: AgentConf, { identity, trusted }: Enrollment): void {
  const [target] = dialTargets(conf, identity);
  printOut(
    [
      `enrolled with Central "${escapeLine(identity.central)}" as ${escapeLine(identity.name)}`,
      `  id          ${escapeLine(identity.id)}`,
      `  data        ${conf.dataFolder} (key, identity; keep it private)`,
      ...(trusted === undefined ? [] : [`  truststore  ${trusted} now trusts Central's root`]),
      ...(target === undefined ? [] : [`  dials       ${targetName(target)}`]),
      `next: queue-agent start --profile ${request.profileFolder}`,
      '',
    ].join('\n'),
  );
}

async function doctor(args: readonly string[]): Promise<number> {
  const { request, values, positionals } = parse(args, {
    json: { type: 'boolean' },
    enroll: { type: 'string' },
    pin: { type: 'string' },
    token: { type: 'string' },
    'token-file': { type: 'string' },
  });
  if (positionals.length > 0) throw new UsageError(`doctor does not take "${positionals[0]}"`);
  const text = (name: string): string | undefined => (typeof values[name] === 'string' ? values[name] : undefined);
  const url = text('enroll');
  if (url === undefined && (text('pin') ?? text('token') ?? text('token-file')) !== undefined)
    throw new UsageError('--pin, --token and --token-file belong to doctor --enroll URL');
  const { doctorCommand } = await import('./doctor/command.ts');
  const enrollment = url === undefined ? undefined : { url, pin: text('pin'), token: await enrollmentToken(values) };
  return await doctorCommand({ request, enrollment, json: values['json'] === true, print: printOut });
}

async function status(args: readonly string[]): Promise<number> {
  const { request, values } = parse(args, { json: { type: 'boolean' } });
  const conf = await loadAgentConf(request);
  const { askDaemon } = await import('./local-api/client.ts');
  const answer = await askDaemon(conf.dataFolder);
  if (answer.kind !== 'status') return noDaemon(answer, conf, request);
  const found = answer.status;
  if (values['json'] === true) {
    printOut(`${JSON.stringify(found, null, 2)}\n`);
  } else {
    const { connection, problems } = found;
    const lines = [
      `${found.name} (queue-agent ${found.version}): ${connection.state} since ${connection.stateChangedAt}`,
      ...(connection.central === null ? [] : [`  central   ${connection.central.name} at ${connection.central.url}`]),
      ...(connection.stateReason === null
        ? []
        : [`  reason    ${connection.stateReason.detail}`, `  hint      ${connection.stateReason.hint}`]),
      `  events    ${found.outbox.messageCount} wait for Central (${found.outbox.bytes} bytes)`,
      `  commands  ${found.inbox.messageCount} wait for local programs (${found.inbox.bytes} bytes)`,
      ...problems.flatMap(({ code, detail, hint }) => [`  problem   ${detail} (${code})`, `  hint      ${hint}`]),
    ];
    printOut(`${lines.map(escapeLine).join('\n')}\n`);
  }
  return found.connection.state === 'online' ? 0 : 1;
}

async function consumers(args: readonly string[]): Promise<number> {
  const [verb, ...rest] = args;
  if (verb === 'list') return await listConsumersCommand(rest);
  if (verb === 'rotate-token') return await rotateTokenCommand(rest);
  throw new UsageError('consumers needs the word list or rotate-token');
}

async function listConsumersCommand(args: readonly string[]): Promise<number> {
  const { request, values, positionals } = parse(args, { json: { type: 'boolean' } });
  if (positionals.length > 0) throw new UsageError(`consumers list does not take "${positionals[0]}"`);
  const conf = await loadAgentConf(request);
  const { listConsumers } = await import('./local-api/client.ts');
  const answer = await listConsumers(conf.dataFolder);
  if (answer.kind !== 'done') return noDaemon(answer, conf, request);
  if (values['json'] === true) {
    printOut(`${JSON.stringify(answer.found, null, 2)}\n`);
    return 0;
  }
  const lines = answer.found.items.flatMap(({ name, types, tokenFile, waitingCount, oldestAt }) => [
    `${name}: ${waitingCount} commands wait${oldestAt === null ? '' : `, the oldest since ${oldestAt}`}`,
    `  types     ${types.length === 0 ? 'all that no other consumer gets' : types.join(', ')}`,
    `  token     ${tokenFile}`,
  ]);
  printOut(`${lines.map(escapeLine).join('\n')}\n`);
  return 0;
}

async function rotateTokenCommand(args: readonly string[]): Promise<number> {
  const { request, values, positionals } = parse(args, { json: { type: 'boolean' } });
  const [consumer = 'default', ...more] = positionals;
  if (more.length > 0) throw new UsageError(`consumers rotate-token does not take "${more[0]}"`);
  const conf = await loadAgentConf(request);
  const { rotateToken } = await import('./local-api/client.ts');
  const answer = await rotateToken(conf.dataFolder, consumer);
  if (answer.kind !== 'done') return noDaemon(answer, conf, request);
  const { tokenFile, previousExpiresAt } = answer.found;
  if (values['json'] === true) printOut(`${JSON.stringify(answer.found, null, 2)}\n`);
  else
    printOut(
      `the new token is in ${escapeLine(tokenFile)}\nthe old token stays valid until ${escapeLine(previousExpiresAt)}; the next rotation revokes it at once\n`,
    );
  return 0;
}

function noDaemon(
  answer: { readonly kind: 'never' } | { readonly kind: 'silent'; readonly where: string },
  conf: AgentConf,
  request: AgentConfRequest,
): number {
  const found =
    answer.kind === 'never'
      ? `no daemon has run with the data folder ${conf.dataFolder} yet`
      : `the daemon of ${conf.dataFolder} does not answer at ${escapeLine(answer.where)}`;
  printError(`error: ${found}\n  Start it: queue-agent start --profile ${request.profileFolder}\n`);
  return 1;
}

endWithReader();
try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (error instanceof UsageError) {
    printError(`error: ${escapeLine(error.message)}\n\n${USAGE}`);
    process.exitCode = 2;
  } else if (error instanceof PromptCanceled) {
    process.exitCode = 130;
  } else {
    printError(errorText(error));
    process.exitCode = 1;
  }
}
// A daemon that could not start, or that has ended, must not stay because of what still listens: nothing would start it again.
if (process.argv[2] === 'start') process.exit();
