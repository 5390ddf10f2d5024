// The commands that give this machine its identity: enroll with a token or by approval, by files, or with a recovery
// code.
import { secondsOf } from '../../shared/terminal/quantities.ts';
import { canPrompt } from '../../shared/terminal/secret-input.ts';
import { printError } from '../../shared/terminal/standard-streams.ts';
import { loadAgentConf, type AgentConf } from '../conf.ts';
import type { Enrollment } from '../enrollment/command.ts';
import { makeDefaultProfile } from '../profile.ts';
import { dialTargets, targetName } from '../target.ts';
import { UsageError, type AgentCommand, type Call } from './command.ts';

/** Long enough for a telephone call with the administrator. */
const WAIT_SECONDS = 300;

export const ENROLLMENT_COMMANDS = {
  enroll: {
    name: 'enroll',
    usages: [
      {
        words: 'URL --token-file FILE --pin sha256:... [--replace-identity]',
        help: 'Enrolls this machine as an agent of a Central. Copy the line that "queuegate enrollment-tokens create" printed. FILE holds the token; "-" reads it from stdin, on a terminal from a prompt. The environment variable QUEUE_AGENT_TOKEN works too. --token TOKEN also works, but other users of this machine can see it. --replace-identity enrolls a machine that is enrolled already.',
      },
      {
        words: 'URL --pin sha256:... [--wait DURATION] [--replace-identity]',
        help: `Enrolls without a token: prints the thumbprint of this machine's key and waits (5m by default) until an administrator of Central has compared and accepted it. If the time is up, the exit status is 8: run it again to continue waiting.`,
      },
    ],
    options: {
      token: { type: 'string' },
      'token-file': { type: 'string' },
      pin: { type: 'string' },
      'replace-identity': { type: 'boolean' },
      wait: { type: 'string' },
    },
    run: enroll,
  },
  requestCertificate: {
    name: 'certificate request',
    usages: [{ words: '--out FILE', help: '' }],
    options: { out: { type: 'string' } },
    run: requestCertificate,
  },
  installCertificate: {
    name: 'certificate install',
    usages: [
      {
        words: 'FILE [--central URL]',
        help: 'Enrolls without a connection to Central: take the certificate request to Central ("queuegate agents create") and install the file that it writes.',
      },
    ],
    options: { central: { type: 'string' } },
    run: installFile,
  },
  recover: {
    name: 'recover',
    usages: [
      {
        words: '[--code-file FILE]',
        help: 'Reconnects an agent that Central no longer accepts, with the recovery code that "queuegate agents recovery-code create" printed on Central. Without a file the code is read from a prompt, or from stdin ("--code-file -").',
      },
    ],
    options: { 'code-file': { type: 'string' } },
    run: recover,
  },
} as const satisfies Readonly<Record<string, AgentCommand>>;

async function enroll(call: Call): Promise<number> {
  const { request, positionals, text } = call;
  const [url, ...more] = positionals;
  if (url === undefined || more.length > 0) throw new UsageError('enroll needs one URL');
  const wait = text('wait') === undefined ? WAIT_SECONDS : secondsOf(text('wait') ?? '');
  if (wait === undefined)
    throw new UsageError(`--wait is "${text('wait')}"; allowed: a duration such as 90s, 10m or 2h`);
  const token = await enrollmentToken(call);
  await ensureProfile(call);
  const conf = await loadAgentConf(request);
  const { enrollAgent } = await import('../enrollment/command.ts');
  const enrolled = await enrollAgent(conf, {
    url,
    token,
    pin: text('pin'),
    replaceIdentity: call.flag('replace-identity'),
    waitMs: wait * 1000,
    onPending: ({ keyThumbprint }) =>
      call.notice([
        `asked to become an agent as ${conf.name}; an administrator has to accept it`,
        `  key         sha256:${keyThumbprint}`,
        `On Central, compare this thumbprint with "queuegate enrollment-requests list", then: queuegate enrollment-requests accept ${keyThumbprint.slice(0, 16)}`,
        `waiting for at most ${wait} seconds`,
      ]),
  });
  printEnrolled(call, conf, enrolled);
  const { secure, signingKey } = enrolled.identity;
  if (token === undefined && !secure) {
    const { pinOf } = await import('../../shared/wire/enrollment.ts');
    printError(
      `warning: plain http does not prove that this is Central. Compare its signing key with "queuegate ca show" there:\n  ${pinOf(Buffer.from(signingKey, 'base64'))}\n`,
    );
  }
  return 0;
}

/** A machine that enrolls in a new folder gets the default profile there; one that was named must exist. */
async function ensureProfile({ request: { profileFolder, environment, flags }, notice }: Call): Promise<void> {
  if (flags['profile'] !== undefined || environment['QUEUE_AGENT_PROFILE'] !== undefined) return;
  if (await makeDefaultProfile(profileFolder)) notice([`made the profile ${profileFolder} from the default one`]);
}

/** Undefined: without a token, an administrator has to accept the agent. */
export async function enrollmentToken({ text, secrets, request }: Call): Promise<string | undefined> {
  const [token, file] = [text('token'), text('token-file')];
  if (file === undefined) return token ?? request.environment['QUEUE_AGENT_TOKEN'];
  if (token !== undefined) throw new UsageError('--token and --token-file exclude each other');
  return (await secrets.read(file, { what: 'The token file', prompt: 'Enrollment token' })).trim();
}

async function requestCertificate(call: Call): Promise<number> {
  const { request, positionals, text } = call;
  const out = text('out');
  if (out === undefined || positionals.length > 0)
    throw new UsageError('certificate request needs --out FILE, and nothing else');
  await ensureProfile(call);
  const conf = await loadAgentConf(request);
  const { writeRequest } = await import('../enrollment/offline.ts');
  const key = await writeRequest(conf, out);
  const { name, dataFolder } = conf;
  call.answer({ file: out, name, keyThumbprint: key.thumbprint, dataFolder }, () => [
    `${out} is the request of ${name}`,
    `  key         sha256:${key.thumbprint}`,
    `  data        ${dataFolder} (the key; keep it private)`,
    'next, on Central: queuegate agents create --csr FILE --out agent.pem (compare the thumbprint)',
    `then, here: queue-agent certificate install agent.pem --profile ${request.profileFolder}`,
  ]);
  return 0;
}

async function installFile(call: Call): Promise<number> {
  const { request, positionals, text } = call;
  const [file, ...more] = positionals;
  if (file === undefined || more.length > 0) throw new UsageError('certificate install needs one file');
  const conf = await loadAgentConf(request);
  const { installCertificate } = await import('../enrollment/offline.ts');
  printEnrolled(call, conf, await installCertificate(conf, file, text('central'), new Date()));
  return 0;
}

async function recover(call: Call): Promise<number> {
  const { request, positionals, text, secrets } = call;
  if (positionals.length > 0) {
    throw new UsageError(
      'the recovery code is not taken from the command line, where other users of this machine can see it. Run "queue-agent recover" and type it at the prompt, or name a file: --code-file FILE ("-": stdin)',
    );
  }
  const file = text('code-file');
  if (file === undefined && !canPrompt())
    throw new UsageError(
      'recover needs the recovery code, and it cannot prompt without a terminal. Name a file: --code-file FILE ("-": stdin)',
    );
  const conf = await loadAgentConf(request);
  const code = (
    await secrets.read(file ?? '-', { what: 'The file with the recovery code', prompt: 'Recovery code' })
  ).trim();
  const { recoverAgent } = await import('../enrollment/recover.ts');
  printEnrolled(call, conf, await recoverAgent(conf, code));
  return 0;
}

function printEnrolled({ request, answer }: Call, conf: AgentConf, { identity, trusted }: Enrollment): void {
  const { id, name, central: centralName } = identity;
  const [target] = dialTargets(conf, identity);
  const dials = target === undefined ? null : targetName(target);
  answer({ id, name, centralName, dataFolder: conf.dataFolder, trustFile: trusted ?? null, dials }, () => [
    `enrolled with Central "${centralName}" as ${name}`,
    `  id          ${id}`,
    `  data        ${conf.dataFolder} (key, identity; keep it private)`,
    ...(trusted === undefined
      ? []
      : [`  trust       ${trusted} holds Central's root, beside the truststore of the profile`]),
    ...(dials === null ? [] : [`  dials       ${dials}`]),
    `next: queue-agent start --profile ${request.profileFolder}`,
  ]);
}
