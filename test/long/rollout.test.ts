// An installation is turned to secure communication: agents of the field's profile on ws, brought to wss by a rollout.
// Real processes, and the commands that an administrator types; what they print is on docs/RELEASES.md. And releases
// that do not work: their agents return by themselves.
import { appendFile, cp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { trustFile } from '../../agent/trust/managed-roots.ts';
import {
  agentFlags,
  agentFolders,
  AgentProcess,
  CentralProcess,
  Cleanup,
  ownAddress,
  ROOT,
  run,
  runNode,
  until,
  type AgentFolders,
} from '../flow/processes.ts';
import { MessagesBothWays } from './messages-both-ways.ts';
import { Recording, type SecureTurnStep } from './secure-turn.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const MINUTES = 60_000;
const AGENTS = 20;
const TRIAL_SECONDS = 30;
/** Not loopback: to Central, its agents are on other machines. */
const ADDRESS = ownAddress();
const nameOf = (number: number): string => `branch-${number}`;
const names = (count: number): string[] => Array.from({ length: count }, (_, i) => nameOf(i + 1));

/** On ws for other machines, too, until an administrator ends that. */
async function openCentral(): Promise<CentralProcess> {
  const central = await CentralProcess.start(cleanup, await cleanup.folder(), [
    '--advertised-names',
    ADDRESS,
    '--central-name',
    'central',
  ]);
  expect(await central.change({ 'websocket.enabled': true })).toMatchObject({ status: 200 });
  return central;
}

/** The profile of the field as a branch has it today: unencrypted, its truststore without Central's root. */
async function fieldProfile(central: CentralProcess): Promise<AgentFolders> {
  const folders = await agentFolders(cleanup, 'test/fixtures/profile');
  const file = join(folders.profile, 'conf/agent.conf');
  const text = (await readFile(file, 'latin1')).replace('secure = true', 'secure = false');
  await writeFile(file, text, 'latin1');
  await appendFile(file, `\ncentral.hosts = ${ADDRESS}\ncentral.websocket.port = ${central.ports.ws}\n`);
  return folders;
}

/** Agents on ws, each with a copy of that profile. */
async function fieldAgents(central: CentralProcess, count: number): Promise<AgentProcess[]> {
  const agents: AgentProcess[] = [];
  for (const name of names(count)) {
    const folders = await fieldProfile(central);
    const enrolled = await runNode('agent/cli.ts', [...(await central.enrollment()), ...agentFlags(folders, name)]);
    expect(enrolled, enrolled.stderr).toMatchObject({ code: 0 });
    agents.push(AgentProcess.start(cleanup, folders, name));
  }
  for (const name of names(count)) expect((await central.online(name))['session']).toMatchObject({ transport: 'ws' });
  return agents;
}

/** A command of an administrator, which succeeds; what it printed. */
async function typed(central: CentralProcess, line: string, cwd = ROOT): Promise<string> {
  const words = [join(ROOT, 'central/cli.ts'), ...line.split(' ')];
  const ended = await run(process.execPath, words, { cwd, env: central.environment });
  expect(ended, `${line}\n${ended.stdout}\n${ended.stderr}`).toMatchObject({ code: 0 });
  return ended.stdout;
}

/** Imports the profile, sets it secure, and prepares a release of it: NAME@PREFIX. */
async function prepared(central: CentralProcess, profile: string, ...more: string[]): Promise<string> {
  await typed(central, `profiles import ${profile} --name branch`);
  await typed(
    central,
    `profiles set branch central.websocket.secure=true central.websocket.secure.port=${central.ports.wss}`,
  );
  if (more.length === 0) await typed(central, 'profiles truststore import branch --central');
  const text = await typed(central, ['profiles prepare branch --comment wss --ticket CHG-101', ...more].join(' '));
  return /branch@[0-9a-f]{8}/.exec(text)?.[0] ?? text;
}

interface AgentItem {
  readonly agent: { readonly name: string };
  readonly state: string;
  readonly stateChangedAt: string;
  readonly stateReason: { readonly code: string; readonly detail: string } | null;
}

async function agentsOf(central: CentralProcess, rollout: string): Promise<AgentItem[]> {
  return (await central.rest('GET', `/rollouts/${rollout}/agents?limit=1000`)).body.items as AgentItem[];
}

const sessionOf = async (central: CentralProcess, name: string): Promise<unknown> =>
  (await central.online(name))['session'];

describe('a rollout of a profile', () => {
  it(
    'brings agents from ws to wss in waves, without a visit or a restart, and every message is there once',
    { timeout: 8 * MINUTES },
    async () => {
      const central = await openCentral();
      const agents = await fieldAgents(central, AGENTS);
      const folder = await cleanup.folder();
      await cp((await fieldProfile(central)).profile, join(folder, 'agentProfiles/branch'), { recursive: true });
      const messages = new MessagesBothWays(central, new Map(agents.map((agent, i) => [nameOf(i + 1), agent])));
      const page = new Recording(central.ports, ADDRESS);
      const type = async (step: SecureTurnStep): Promise<string> => {
        const line = page.lineOf(step);
        const printed = await typed(central, line, folder);
        page.add(line, printed);
        return printed;
      };
      await messages.post('before');
      for (const step of ['import', 'truststore', 'set', 'prepare', 'synchronize'] as const) await type(step);
      expect(await type('synchronized')).toContain(`${AGENTS} synchronized`);
      await messages.post('synchronized');
      await type('upgrade');
      await messages.post('while');
      const shown = await type('upgraded');
      expect(shown).toMatch(/state +completed/);
      expect(shown).toContain(`${AGENTS} succeeded`);
      await messages.post('after');
      for (const name of names(AGENTS)) expect(await sessionOf(central, name)).toMatchObject({ transport: 'wss' });
      const off = await type('off');
      expect(off).toContain('websocket.enabled: true -> false');
      expect(off).toContain('changes confirm');
      await messages.post('off');
      await type('confirm');
      const enabled = (await central.rest('GET', '/parameters/websocket.enabled')).body;
      expect(enabled).toMatchObject({ value: false });
      expect(await messages.received()).toEqual(messages.posted());
      for (const agent of agents) expect(agent.process.running).toBe(true);
      if (process.env['QUEUEGATE_RECORD'] !== undefined) await page.save();
    },
  );

  it.each([
    {
      what: 'a truststore without the root of Central',
      // Nothing but the truststore of the release verifies Central: what Central gave them is removed.
      spoil: async (_: string, agents: readonly AgentProcess[]) => {
        for (const { folders } of agents) await rm(trustFile(folders.data), { force: true });
      },
      cause: /^tls_/,
    },
    {
      what: 'a truststore that is damaged',
      spoil: async (profile: string) => {
        await writeFile(join(profile, 'conf/security/truststore.jks'), 'not a key store');
      },
      cause: /^keystore_/,
    },
  ])(
    'with $what halts in its first wave: those agents are on the previous release in time, and say why',
    { timeout: 4 * MINUTES },
    async ({ spoil, cause }) => {
      const central = await openCentral();
      const agents = await fieldAgents(central, 3);
      const { profile } = await fieldProfile(central);
      await spoil(profile, agents);
      const release = await prepared(central, profile, '--force', '--yes');
      const sessions = await Promise.all(names(3).map((name) => sessionOf(central, name)));
      await typed(central, `profiles upgrade ${release} --agents all --waves 1,100% --trial ${TRIAL_SECONDS}s`);
      const ended = await central.cli('rollouts', 'show', 'r-1', '--wait=3m');
      expect(ended.code, `${ended.stdout}\n${JSON.stringify(await agentsOf(central, 'r-1'))}`).toBe(1);
      expect(ended.stdout).toMatch(/state +halted/);
      const items = await agentsOf(central, 'r-1');
      expect(items.map(({ state }) => state).toSorted()).toEqual(['rolled-back', 'waiting', 'waiting']);
      const failed = items.find(({ state }) => state === 'rolled-back');
      expect(failed?.stateReason?.code).toMatch(cause);
      expect(failed?.stateReason?.detail.length).toBeGreaterThan(0);
      // By Central's clock, from the start of the rollout on.
      const { body } = await central.rest('GET', '/rollouts/r-1');
      const took = Date.parse(String(failed?.stateChangedAt)) - Date.parse(String(body.createdAt));
      expect(took).toBeLessThanOrEqual((TRIAL_SECONDS + 60) * 1000);
      // The sessions with the previous release were never interrupted.
      expect(await Promise.all(names(3).map((name) => sessionOf(central, name)))).toEqual(sessions);
    },
  );

  it(
    'goes on when Central drains its agents in the middle of their trials: none of them fails',
    { timeout: 6 * MINUTES },
    async () => {
      const central = await openCentral();
      await fieldAgents(central, 3);
      const release = await prepared(central, (await fieldProfile(central)).profile);
      await typed(central, `profiles upgrade ${release} --agents all --trial 5m`);
      // The trial of each lasts ten seconds from its welcome on.
      await until(async () => {
        const on = await Promise.all(names(3).map((name) => sessionOf(central, name)));
        return on.every((session) => (session as { transport: string }).transport === 'wss') || undefined;
      });
      await typed(central, 'drains create --agents all --within 1s');
      expect(await typed(central, 'rollouts show r-1 --wait=5m')).toContain('3 succeeded');
      const { stdout } = await central.cli('rollouts', 'show', 'r-1');
      expect(stdout).toMatch(/state +completed/);
      for (const name of names(3)) expect(await sessionOf(central, name)).toMatchObject({ transport: 'wss' });
    },
  );
});
