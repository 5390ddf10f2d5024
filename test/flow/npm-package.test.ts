// The npm package outside of the repository: packed, unpacked elsewhere, and used from another folder, as its users do.
import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { VERSION } from '../../shared/version.ts';
import { CentralProcess, Cleanup, ROOT, run, Running, until, type Ended } from './processes.ts';

const cleanup = new Cleanup();
let installed: string;
let packed: string;

beforeAll(async () => {
  const source = await cleanup.folder();
  const { files } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { files: string[] };
  for (const name of ['package.json', ...files.filter((one) => one !== 'dist' && !one.includes('*')), 'docs'])
    cpSync(join(ROOT, name), join(source, name), { recursive: true });
  // As "npm run build" does it, but not into this checkout: its commands would run what is built there.
  await print(join(ROOT, 'node_modules/.bin/tsc'), [
    '-p',
    join(ROOT, 'tsconfig.build.json'),
    '--outDir',
    join(source, 'dist'),
  ]);
  cpSync(join(ROOT, 'profiles'), join(source, 'dist/profiles'), { recursive: true });
  const target = await cleanup.folder();
  packed = (await print('npm', ['pack', '--pack-destination', target], source)).stdout;
  // What npm install does, without a registry: the packages that it names are those of this checkout.
  const modules = join(target, 'node_modules');
  mkdirSync(modules);
  for (const name of readdirSync(join(ROOT, 'node_modules')).filter((one) => !one.startsWith('.')))
    symlinkSync(join(ROOT, 'node_modules', name), join(modules, name));
  await print('tar', ['-xzf', join(target, `queuegate-${VERSION}.tgz`), '-C', target]);
  installed = join(modules, 'queuegate');
  cpSync(join(target, 'package'), installed, { recursive: true });
}, 120_000);
afterAll(() => cleanup.run());

async function print(program: string, args: readonly string[], cwd?: string): Promise<Ended> {
  const ended = await run(program, args, cwd === undefined ? {} : { cwd });
  if (ended.code !== 0) throw new Error(`${program} failed:\n${ended.stdout}\n${ended.stderr}`);
  return ended;
}

const command = (name: string): string => join(installed, `shared/bin/${name}.cjs`);

describe('the npm package, installed elsewhere', () => {
  it('holds no sources, tests or packages of other kinds', () => {
    expect(packed).toContain(`queuegate-${VERSION}.tgz`);
    expect(readdirSync(installed).toSorted()).toEqual([
      'LICENSE',
      'README.md',
      'dist',
      'docs',
      'package.json',
      'shared',
    ]);
    expect(readdirSync(join(installed, 'dist')).toSorted()).toEqual(['agent', 'central', 'profiles', 'shared']);
  });

  it('enrolls an agent in an empty folder with the line that Central prints, and runs it', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    const folder = await cleanup.folder();
    const line = await central.enrollment();
    const flags = ['--agent-name', 'elsewhere', '--local-api-port', '0'];
    const enrolled = await run(process.execPath, [command('queue-agent'), ...line, ...flags], { cwd: folder });
    expect([enrolled.code, enrolled.stderr, enrolled.stdout]).toEqual([
      0,
      '',
      expect.stringContaining('made the profile profiles/default from the default one'),
    ]);
    const agent = new Running(process.execPath, [command('queue-agent'), 'start', ...flags], { cwd: folder });
    cleanup.add(() => agent.stop());
    await central.online('elsewhere');
    const status = await run(process.execPath, [command('queuegate'), 'agents', 'list', '-o', 'name'], {
      env: { QUEUEGATE_DATA_FOLDER: central.folder },
    });
    expect(status.stdout).toContain('elsewhere');
  });

  it('runs Central with its agent, and names its commands as they are installed', async () => {
    const ports = ['--websocket-port', '--websocket-secure-port', '--https-port', '--http-port'].flatMap((one) => [
      one,
      '0',
    ]);
    const central = new Running(process.execPath, [command('queuegate-central'), '--central-agent', ...ports], {
      cwd: await cleanup.folder(),
      env: { QUEUE_AGENT_LOCAL_API_PORT: '0' },
    });
    cleanup.add(() => central.stop());
    await central.printed(/"msg":"agent online"/);
    expect(central.stdout).toMatch(/^ {2}Enroll an agent: queuegate enrollment-tokens create$/m);
    await until(() => central.running);
  });

  it('says on an old Node.js what it needs', () => {
    const old = ['/usr/bin/node', '/usr/local/bin/node'].find((node) =>
      /^v(?:1\d|2[0-5])\./.test(spawnSync(node, ['--version'], { encoding: 'utf8' }).stdout ?? ''),
    );
    const { stderr, status } = spawnSync(old ?? process.execPath, [command('queue-agent'), 'version'], {
      encoding: 'utf8',
    });
    expect(status).toBe(old === undefined ? 0 : 1);
    expect(stderr).toMatch(old === undefined ? /^$/ : /needs Node\.js 26/);
  });
});
