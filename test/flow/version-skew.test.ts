// Central and agents of neighboring versions work together: the installed programs of each version in test/fixtures
// with those of this checkout, both ways. The newer side is upgraded first or last, as it comes.
import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { unpackPrograms } from './frozen-programs.ts';
import {
  agentFlags,
  agentFolders,
  CentralProcess,
  Cleanup,
  ROOT,
  run,
  Running,
  until,
  type Ended,
} from './processes.ts';

const versions = readdirSync(join(ROOT, 'test/fixtures')).filter((name) => /^v\d/.test(name));
const cleanup = new Cleanup();
afterEach(() => cleanup.run());

const event = (id: string): object => ({
  specversion: '1.0',
  id,
  source: '/skew',
  type: 'ticket.issued',
  data: { id },
});

interface Side {
  readonly central: string;
  readonly centralCli: string;
  readonly agent: string;
}

const present: Side = {
  central: join(ROOT, 'central/main.ts'),
  centralCli: join(ROOT, 'central/cli.ts'),
  agent: join(ROOT, 'agent/cli.ts'),
};

async function frozen(version: string): Promise<Side> {
  const folder = await unpackPrograms(cleanup, version);
  return {
    central: join(folder, 'central/main.js'),
    centralCli: join(folder, 'central/cli.js'),
    agent: join(folder, 'agent/cli.js'),
  };
}

/** With the program of `side` in the place of the one of this checkout. */
async function startCentral({ central: program }: Side, folder: string, port = '0'): Promise<CentralProcess> {
  const script = 'run=$1; shift; while [ "$1" != "${1#-}" ]; do run="$run $1"; shift; done; shift; exec $run "$0" "$@"';
  const words = ['sh', '-c', script, program];
  const central = await CentralProcess.start(cleanup, folder, ['--websocket-secure-port', port], {}, words);
  central.isDescribed = program === present.central;
  return central;
}

async function say(side: Side, central: CentralProcess, ...args: string[]): Promise<string> {
  return printed(await run(process.execPath, [side.centralCli, ...args], { env: central.environment }));
}

function printed({ code, stdout, stderr }: Ended): string {
  expect(code, `${stdout}${stderr}`).toBe(0);
  return stdout;
}

/** Enrolls, exchanges messages both ways, takes a release of its profile, and reconnects after a restart of Central. */
async function workTogether(centralSide: Side, agentSide: Side): Promise<{ readonly events: number }> {
  const folder = await cleanup.folder();
  let central = await startCentral(centralSide, folder);
  const folders = await agentFolders(cleanup);
  const { wss } = central.ports;
  const enrolled = await run(process.execPath, [
    agentSide.agent,
    ...(await central.enrollment()),
    ...agentFlags(folders, 'branch-1'),
  ]);
  printed(enrolled);
  const agent = new Running(process.execPath, [agentSide.agent, 'start', ...agentFlags(folders, 'branch-1')]);
  cleanup.add(() => agent.stop());
  await central.online('branch-1');
  const local = async (method: string, path: string, body?: unknown): Promise<Record<string, unknown>> => {
    const text = await readFile(join(folders.data, 'local-api.json'), 'utf8');
    const { url, token } = JSON.parse(text) as { url: string; token: string };
    const answer = await fetch(`${url}/api/v1${path}`, {
      method,
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    return (await answer.json()) as Record<string, unknown>;
  };
  const exchange = async (count: number): Promise<void> => {
    await local('POST', '/events', event(`e-${count}`));
    await until(async () => ((await central.events()).length === count ? true : undefined));
    const sent = await central.rest('POST', '/agents/branch-1/commands', event(`c-${count}`));
    expect(sent.status).toBe(202);
    await until(async () => ((await local('GET', '/commands'))['items'] as unknown[]).length === count || undefined);
  };
  await exchange(1);
  await say(centralSide, central, 'profiles', 'import', folders.profile, '--name', 'branch');
  await say(centralSide, central, 'profiles', 'truststore', 'import', 'branch', '--central');
  await say(centralSide, central, 'profiles', 'set', 'branch', 'log.level=debug');
  const prepared = await say(centralSide, central, 'profiles', 'prepare', 'branch');
  const release = /branch@[0-9a-f]+/.exec(prepared)?.[0] ?? '';
  await say(centralSide, central, 'profiles', 'upgrade', release, '--agents', 'branch-1');
  await until(async () => {
    const { body } = await central.rest('GET', '/rollouts/r-1/agents');
    return (body.items as { state: string }[])[0]?.state === 'succeeded' ? true : undefined;
  }, 60_000);
  await central.stop();
  central = await startCentral(centralSide, folder, String(wss));
  await central.online('branch-1');
  await exchange(2);
  return { events: (await central.events()).length };
}

describe.each(versions)('the installed programs of %s', (version) => {
  it('an agent of it works with this Central', async () => {
    expect(await workTogether(present, await frozen(version))).toEqual({ events: 2 });
  });

  it('Central of it works with this agent', async () => {
    expect(await workTogether(await frozen(version), present)).toEqual({ events: 2 });
  });
});
