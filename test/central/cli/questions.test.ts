// Every command that destroys something asks before it acts. The rule follows from the verb and the options of a
// command, so that a new one that does not ask, or whose question names too little, fails here.
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { CENTRAL } from '../../../central/audit.ts';
import type { Client } from '../../../central/cli/client.ts';
import { COMMANDS } from '../../../central/cli/commands.ts';
import { packDirectory } from '../../../central/cli/commands/profiles/archive.ts';
import { placeOf } from '../../../central/cli/connection/target.ts';
import { askingClient } from '../../../central/cli/line/question.ts';
import { runCli } from '../../../central/cli/run.ts';
import { measureFolder } from '../../../shared/releases/folder.ts';
import { SecretInput } from '../../../shared/terminal/secret-input.ts';
import { startRest, type Rest } from '../admin/rest.ts';
import { agentRecord } from '../fakes.ts';
import { memoryReleases } from '../memory-releases.ts';

/**
 * Verbs after which something is gone. What `reject` refuses can still be accepted, and `rollback` ends what is not
 * confirmed.
 */
const DESTRUCTIVE_VERBS = new Set(['delete', 'delete-key', 'discard', 'revoke', 'restore', 'accept-clock']);

/** Others that ask. */
const ALSO_DESTRUCTIVE = new Set([
  'agents replace',
  'maintenance enable',
  'rollouts cancel',
  'rollouts rollback',
  'services unexpose',
]);

/** How each is typed, what its question names, and what is a yes. */
const LINES: Readonly<Record<string, { line: readonly string[]; names: string; yes?: string }>> = {
  'agents delete': { line: ['branch-7'], names: 'the agent branch-7', yes: 'branch-7' },
  'agents recovery-code delete': { line: ['branch-7'], names: 'the recovery code of branch-7' },
  'agents replace': { line: ['branch-7', '--by', 'spare'], names: 'the agent branch-7' },
  'agents revoke': { line: ['branch-7'], names: 'the agent branch-7' },
  'api-tokens delete': { line: ['0123'], names: 'the API token 0123' },
  'ca delete-key': { line: ['aabb'], names: 'the authority AA:BB' },
  'ca import': { line: ['FILE', '--force'], names: 'FILE' },
  'ca rotation retire': { line: ['--force'], names: '"retire" of the rotation' },
  'ca rotation rollback': { line: ['--force'], names: '"rollback" of the rotation' },
  'ca rotation switch': { line: ['--force'], names: '"switch" of the rotation' },
  'changes confirm': { line: ['c7', '--force'], names: 'the change c7' },
  'contexts delete': { line: ['prod'], names: 'the context "prod"' },
  'enrollment-tokens delete': { line: ['x7'], names: 'the enrollment token x7' },
  'maintenance accept-clock': { line: [], names: 'the clock' },
  'maintenance enable': { line: [], names: 'Enable maintenance mode' },
  'nodes delete': { line: ['n2'], names: 'the node n2' },
  'parameters reset': { line: ['agents.max', '--force'], names: 'Reset agents.max' },
  'parameters set': { line: ['agents.max=5', '--force'], names: 'Set agents.max=5' },
  'profiles delete': { line: ['branch'], names: 'the profile branch', yes: 'branch' },
  'profiles files delete': { line: ['branch', 'bin/run'], names: 'bin/run of the profile branch' },
  'profiles prepare': { line: ['branch', '--force'], names: 'a release of branch' },
  'profiles set': { line: ['branch', 'some.key=1', '--force'], names: 'Set some.key' },
  'profiles truststore delete': { line: ['branch', 'bank'], names: 'bank from the truststore of the profile branch' },
  'services unexpose': { line: ['x7'], names: 'the exposure x7' },
  'subscriptions delete': { line: ['tickets'], names: 'the subscription tickets' },
  'rollouts cancel': { line: ['r-17'], names: 'the rollout r-17' },
  'rollouts rollback': { line: ['r-17'], names: 'the rollout r-17' },
  'server-certificate activate': { line: ['--force'], names: 'the staged one' },
  'server-certificate discard': { line: [], names: 'the staged server certificate' },
  'server-certificate import': { line: ['FILE', '--force'], names: 'FILE' },
  'server-certificate install': { line: ['FILE', '--force'], names: 'FILE' },
  'server-certificate issue': { line: ['--force'], names: 'a new one' },
  'server-certificate request delete': { line: [], names: 'the request for a server certificate' },
  'software delete': { line: ['queue-agent-program-0.2.0'], names: 'the release queue-agent-program-0.2.0' },
  'software import': { line: ['FILE', '--force'], names: 'FILE' },
  'store restore': { line: ['FILE'], names: 'FILE', yes: 'central.test' },
};

const PROFILE = join(import.meta.dirname, '../../fixtures/profile');
const ACTOR = { ...CENTRAL, who: 'admin', comment: undefined, ticket: undefined };

let folder: string;
let rest: Rest;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'questions-'));
  writeFileSync(join(folder, 'FILE'), 'x');
});
afterAll(() => rmSync(folder, { recursive: true }));
beforeEach(async () => {
  const context = { url: null, caFile: null, tokenFile: null, readOnly: false };
  writeFileSync(join(folder, 'config.json'), JSON.stringify({ current: 'prod', contexts: { prod: context } }));
  const { profiles, profileReleases, software } = memoryReleases();
  await profiles.import('branch', packDirectory(PROFILE, await measureFolder(PROFILE)), {
    actor: ACTOR,
    replace: false,
  });
  rest = await startRest(async () => ({ profiles, profileReleases, software }));
  rest.agents.push(agentRecord({ name: 'branch-7', id: 'thumb' }));
  const server = createServer((socket) => {
    const beyond = connect(Number(new URL(rest.url).port), '127.0.0.1');
    socket
      .on('error', () => beyond.destroy())
      .pipe(beyond.on('error', () => socket.destroy()))
      .pipe(socket);
  });
  onTestFinished(() => void server.close());
  await once(server.listen(join(folder, 'central.sock')), 'listening');
});

interface Outcome {
  readonly status: number;
  readonly asked: string;
  readonly error: string;
  /** Requests that change something. */
  readonly acts: readonly string[];
}

async function run(name: string, line: readonly string[], typed: string | undefined): Promise<Outcome> {
  const shown: string[] = [];
  const error: string[] = [];
  const stdin = Readable.from([Buffer.from(typed ?? '')]);
  const words = line.map((word) => (word === 'FILE' ? join(folder, word) : word));
  const status = await runCli([...name.split(' '), ...words, '--context', 'prod', '--verbose'], {
    environment: {
      QUEUEGATE_CONFIG: join(folder, 'config.json'),
      QUEUEGATE_DATA_FOLDER: folder,
      QUEUEGATE_TOKEN: rest.tokens.administrator,
      QUEUEGATE_BACKUP_PASSWORD: 'a long password',
    },
    workingFolder: folder,
    out: () => undefined,
    error: (text) => error.push(text),
    readStdin: async () => '',
    terminal: true,
    secrets: new SecretInput(
      () => stdin,
      (text) => shown.push(text),
    ),
    canPrompt: typed !== undefined,
    // A restore waits for the Central that starts again.
    signal: AbortSignal.timeout(2_000),
  });
  const all = error.join('\n');
  return { status, asked: shown.join(''), error: all, acts: all.match(/\b(?:POST|PUT|PATCH|DELETE) \/\S+/g) ?? [] };
}

const destructive = COMMANDS.filter(({ asks }) => asks !== undefined);

describe('a command that destroys something', () => {
  test.each(COMMANDS.map((command) => [command.name, command] as const))(
    '%s is one only if it asks',
    (name, command) => {
      const isDestructive = DESTRUCTIVE_VERBS.has(name.split(' ').at(-1) ?? '') || ALSO_DESTRUCTIVE.has(name);
      const expected = isDestructive ? 'always' : Object.hasOwn(command.options, 'force') ? 'forced' : undefined;
      expect(command.asks).toBe(expected);
      expect(Object.hasOwn(command.options, 'yes')).toBe(expected !== undefined);
      expect(Object.hasOwn(LINES, name)).toBe(expected !== undefined);
    },
  );

  test.each(destructive.map(({ name }) => name))(
    '%s asks, and names the thing, the Central and the context',
    async (name) => {
      const { line = [], names = '' } = LINES[name] ?? {};
      const no = await run(name, line, 'n\n');
      expect(no).toMatchObject({ status: 1, acts: [] });
      expect(no.error).toContain('(not_confirmed)');
      expect(no.asked).toContain(names);
      expect(no.asked).toContain('prod');
      expect(no.asked).toMatch(/ on .*(?:central\.sock\) \(context "prod"\)|config\.json\))\? [A-Z].*\. /);
      expect(readFileSync(join(folder, 'config.json'), 'utf8')).toContain('prod');
    },
  );

  test.each(destructive.map(({ name }) => name))('%s without a terminal needs --yes', async (name) => {
    const { line = [] } = LINES[name] ?? {};
    const refused = await run(name, line, undefined);
    expect(refused).toMatchObject({ status: 2, asked: '', acts: [] });
    expect(refused.error).toContain('--yes is required without a terminal, since the command cannot ask');
  });

  test.each(destructive.map(({ name }) => name).filter((name) => !['contexts delete', 'store restore'].includes(name)))(
    '%s acts after a yes, and with --yes without a question',
    async (name) => {
      const { line = [], yes = 'y' } = LINES[name] ?? {};
      const answered = await run(name, line, `${yes}\n`);
      expect(answered.acts).toHaveLength(1);
      const { asked, acts } = await run(name, [...line, '--yes'], undefined);
      expect([asked, acts.length]).toEqual(['', name === 'agents delete' ? 0 : 1]);
    },
  );
});

test('a command that would act before it has asked is a defect, and sends nothing', async () => {
  const sent: string[] = [];
  const client = { request: async (method: string) => void sent.push(method) } as unknown as Client;
  let hasAsked = false;
  const guarded = askingClient(client, () => hasAsked);
  await guarded.request('GET', '/agents');
  await expect(guarded.request('DELETE', '/agents/a')).rejects.toThrow('before the question');
  await expect(
    guarded.upload('/store/restore', { query: {}, headers: {}, content: Readable.from([]) }),
  ).rejects.toThrow('before the question');
  hasAsked = true;
  await guarded.request('DELETE', '/agents/a');
  expect(sent).toEqual(['GET', 'DELETE']);
});

test('a question names the address of Central, and no more of it', () => {
  const context = {
    url: 'https://anna:secret@central.bank.test:8443/x',
    caFile: null,
    tokenFile: null,
    readOnly: false,
  };
  const request = { text: () => undefined, environment: {}, workingFolder: '/work' };
  expect(placeOf({ ...request, context: { ...context, name: 'prod', isNamed: true } })).toBe(
    'https://central.bank.test:8443 (context "prod")',
  );
  expect(placeOf({ ...request, context: undefined })).toBe(
    'the Central of this host (/work/data/central/central.sock)',
  );
});
