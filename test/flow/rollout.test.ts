// The turn to secure communication, as an administrator makes it: agents on ws get a release of their profile and come
// back on wss; one that reaches nothing is rolled back by the agent itself. Real processes, and the commands of the
// page.
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { agentFolders, AgentProcess, CentralProcess, Cleanup, until } from './processes.ts';
import { loadAgentConf } from '../../agent/conf.ts';
import { enrollAgent } from '../../agent/enrollment/command.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** An agent on ws whose truststore does not know Central. */
async function onWs(central: CentralProcess, name: string): Promise<string> {
  const folders = await agentFolders(cleanup);
  await writeFile(
    join(folders.profile, 'conf/agent.conf'),
    `central.host=localhost\ncentral.websocket.secure=false\ncentral.websocket.port=${central.ports.ws}\n`,
  );
  const flags = { 'data-folder': folders.data, 'agent-name': name };
  const conf = await loadAgentConf({ profileFolder: folders.profile, environment: {}, flags });
  const [, url = '', , token = '', , pin] = await central.enrollment();
  await enrollAgent(conf, { url, token, pin, replaceIdentity: false });
  AgentProcess.start(cleanup, folders, name);
  await central.online(name);
  return folders.profile;
}

async function say(central: CentralProcess, ...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await central.cli(...words);
  expect(code, `queuegate ${words.join(' ')}\n${stdout}${stderr}`).toBe(0);
  return stdout;
}

async function prepare(central: CentralProcess, ...settings: string[]): Promise<string> {
  await say(central, 'profiles', 'set', 'branch', ...settings);
  return /branch@[0-9a-f]+/.exec(await say(central, 'profiles', 'prepare', 'branch'))?.[0] ?? '';
}

const TRIED_AGAIN_MS = 150_000;

/** The agents of a rollout that has ended, by name. */
async function outcome(central: CentralProcess, rollout: string): Promise<Record<string, string[]>> {
  const items = await until(async () => {
    const { body } = await central.rest('GET', `/rollouts/${rollout}/agents`);
    const agents = body.items as { agent: { name: string }; state: string; stateReason: { code: string } | null }[];
    const open = new Set(['waiting', 'offered', 'synchronizing', 'synchronized', 'trying']);
    return agents.every(({ state }) => !open.has(state)) ? agents : undefined;
    // A trial during which Central was away is repeated after a minute.
  }, TRIED_AGAIN_MS);
  return Object.fromEntries(
    items.map(({ agent, state, stateReason }) => [agent.name, [state, stateReason?.code ?? '']]),
  );
}

// Agents that lost Central several times wait longer and longer before they dial again.
it(
  'turns agents from ws to wss by commands alone, and agents return by themselves from a release that reaches nothing, while Central is killed at each step of it',
  { timeout: 400_000 },
  async () => {
    let central = await CentralProcess.startOnParameters(cleanup, await cleanup.folder());
    const profile = await onWs(central, 'branch-1');
    await onWs(central, 'branch-2');
    await say(central, 'profiles', 'import', profile, '--name', 'branch');
    await say(central, 'profiles', 'truststore', 'import', 'branch', '--central');
    const secure = await prepare(
      central,
      'central.websocket.secure=true',
      `central.websocket.secure.port=${central.ports.wss}`,
    );
    // Prepared: it is there.
    central = await central.killed(cleanup);
    expect(await say(central, 'profiles', 'releases', 'branch')).toContain(secure.slice('branch@'.length));
    await say(central, 'profiles', 'upgrade', secure, '--agents', 'all', '--waves', '1,100%', '--soak', '1s');
    // Begun, before any agent has it, and then between two waves.
    central = await central.killed(cleanup);
    await until(async () => {
      const { body } = await central.rest('GET', '/rollouts/r-1/agents?state=succeeded');
      return body.items.length > 0 ? true : undefined;
    }, TRIED_AGAIN_MS);
    central = await central.killed(cleanup);
    expect(await outcome(central, 'r-1')).toEqual({ 'branch-1': ['succeeded', ''], 'branch-2': ['succeeded', ''] });
    for (const name of ['branch-1', 'branch-2'])
      expect(await say(central, 'agents', 'show', name)).toContain('Connected over wss');
    // Nothing listens there: the agents try it, and stay on the previous release without the loss of their session.
    await say(central, 'profiles', 'set', 'branch', 'central.websocket.secure.port=1');
    const forced = await say(central, 'profiles', 'prepare', 'branch', '--force', '--yes');
    const broken = /branch@[0-9a-f]+/.exec(forced)?.[0] ?? '';
    const session = (await central.rest('GET', '/agents/branch-2')).body.session;
    await say(central, 'profiles', 'upgrade', broken, '--agents', 'branch-2', '--trial', '30s');
    expect(await outcome(central, 'r-2')).toEqual({ 'branch-2': ['rolled-back', 'connection_refused'] });
    expect((await central.rest('GET', '/agents/branch-2')).body.session).toEqual(session);
    // Halted: it stays that, with its cause.
    const halted = (await central.rest('GET', '/rollouts/r-2')).body;
    expect(halted).toMatchObject({ state: 'halted', stateReason: { code: 'rollout_errors' } });
    central = await central.killed(cleanup);
    expect((await central.rest('GET', '/rollouts/r-2')).body).toEqual(halted);
    expect(await say(central, 'agents', 'profile', 'show', 'branch-2')).toContain(secure.slice('branch@'.length));
    await say(central, 'rollouts', 'cancel', 'r-2', '--yes');
    const debug = await prepare(central, `central.websocket.secure.port=${central.ports.wss}`, 'log.level=debug');
    await say(central, 'profiles', 'upgrade', debug, '--agents', 'all');
    expect(await outcome(central, 'r-3')).toEqual({ 'branch-1': ['succeeded', ''], 'branch-2': ['succeeded', ''] });
    // Rolled back: the agents have the previous release again.
    await say(central, 'rollouts', 'rollback', 'r-3', '--yes');
    central = await central.killed(cleanup);
    await until(
      async () => ((await central.rest('GET', '/rollouts/r-3')).body.state === 'rolled-back' ? true : undefined),
      TRIED_AGAIN_MS,
    );
    for (const name of ['branch-1', 'branch-2'])
      await until(async () => {
        const { body } = await central.rest('GET', `/agents/${name}/profile`);
        return JSON.stringify(body.reported).includes(secure.slice('branch@'.length)) ? true : undefined;
      }, TRIED_AGAIN_MS);
    expect((await central.rest('GET', '/rollouts/r-1')).body.state).toBe('completed');
  },
);
