// An installation is turned to secure communication: agents of the field's profile on ws, brought to wss by a rollout. Real processes,
// and the commands that an administrator types.
import { appendFile, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { trustFile } from '../../agent/trust/managed-roots.ts';
import {
  agentFlags,
  agentFolders,
  AgentProcess,
  CentralProcess,
  Cleanup,
  runNode,
  until,
  type AgentFolders,
} from '../flow/processes.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const AGENTS = 20;
const nameOf = (number: number): string => `branch-${number}`;

/** The profile of the field as a branch has it today: unencrypted, its truststore without Central's root. */
async function fieldProfile(central: CentralProcess): Promise<AgentFolders> {
  const folders = await agentFolders(cleanup, 'test/fixtures/profile');
  const file = join(folders.profile, 'conf/agent.conf');
  const text = (await readFile(file, 'latin1')).replace('secure = true', 'secure = false');
  await writeFile(file, text, 'latin1');
  await appendFile(file, `\ncentral.hosts = localhost\ncentral.websocket.port = ${central.ports.ws}\n`);
  return folders;
}

/** Agents on ws, each with a copy of that profile. */
async function fieldAgents(central: CentralProcess, count: number): Promise<AgentProcess[]> {
  const agents: AgentProcess[] = [];
  for (let number = 1; number <= count; number += 1) {
    const folders = await fieldProfile(central);
    const enrolled = await runNode('agent/cli.ts', [
      ...(await central.enrollment()),
      ...agentFlags(folders, nameOf(number)),
    ]);
    expect(enrolled, enrolled.stderr).toMatchObject({ code: 0 });
    agents.push(AgentProcess.start(cleanup, folders, nameOf(number)));
  }
  for (let number = 1; number <= count; number += 1)
    expect((await central.online(nameOf(number)))['session']).toMatchObject({ transport: 'ws' });
  return agents;
}

/** A command of an administrator, which succeeds; what it printed. */
async function typed(central: CentralProcess, line: string): Promise<string> {
  const ended = await central.cli(...line.split(' '));
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

describe('a rollout of a profile', () => {
  it('brings agents from ws to wss in waves, without a visit or a restart, and every event is there once', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    const agents = await fieldAgents(central, AGENTS);
    const accepted: string[] = [];
    const post = async (when: string): Promise<void> => {
      for (const [index, agent] of agents.entries()) {
        const id = `${when}-${index}`;
        expect(await agent.local('POST', '/api/v1/events', { id, type: 'tick' })).toMatchObject({ status: 202 });
        accepted.push(id);
      }
    };
    await post('before');
    const release = await prepared(central, (await fieldProfile(central)).profile);

    await typed(central, `profiles synchronize ${release} --agents all --rate 2MB/s`);
    expect(await typed(central, 'rollouts show r-1 --wait=5m')).toContain(`${AGENTS} synchronized`);
    await post('synchronized');
    await typed(
      central,
      `profiles upgrade ${release} --rollout r-1 --waves 1,10%,100% --success 95% --error 5% --soak 1s --trial 5m`,
    );
    await post('while');
    const shown = await typed(central, 'rollouts show r-1 --wait=9m');
    expect(shown).toMatch(/state +completed/);
    expect(shown).toContain(`${AGENTS} succeeded`);
    await post('after');
    for (let number = 1; number <= AGENTS; number += 1)
      expect((await central.online(nameOf(number)))['session']).toMatchObject({ transport: 'wss' });

    await typed(central, 'parameters set websocket.enabled=false');
    const received = await until(async () => {
      const events = (await central.events()).map(({ event }) => event['id']);
      return events.length >= accepted.length ? events : undefined;
    });
    expect(new Set(received)).toEqual(new Set(accepted));
    expect(received).toHaveLength(accepted.length);
  });

  it('that does not verify Central halts in its first wave: those agents are on the previous release, and say why', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    // Nothing but the truststore of the release verifies Central: what it gave them is removed.
    for (const { folders } of await fieldAgents(central, 3)) await rm(trustFile(folders.data), { force: true });
    const release = await prepared(central, (await fieldProfile(central)).profile, '--force', '--yes');
    await typed(central, `profiles upgrade ${release} --agents all --waves 1,100% --trial 30s`);
    const ended = await central.cli('rollouts', 'show', 'r-1', '--wait=3m');
    expect(ended.code).toBe(1);
    expect(ended.stdout).toMatch(/state +halted/);
    const agents = await typed(central, 'rollouts show r-1 --agents --json');
    const items = (JSON.parse(agents) as { items: { state: string; stateReason: { code: string } | null }[] }).items;
    expect(items.map(({ state }) => state).toSorted()).toEqual(['rolled-back', 'waiting', 'waiting']);
    expect(items.find(({ state }) => state === 'rolled-back')?.stateReason?.code).toMatch(/^tls_/);
    for (let number = 1; number <= 3; number += 1)
      expect((await central.online(nameOf(number)))['session']).toMatchObject({ transport: 'ws' });
  });
});
