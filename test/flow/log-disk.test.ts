// What the programs do when the disk of their log is full, and on the signals that log rotation and terminals send.
import { spawnSync } from 'node:child_process';
import { readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import {
  agentFlags,
  agentFolders,
  AgentProcess,
  CentralProcess,
  Cleanup,
  freePorts,
  ROOT,
  runNode,
  Running,
  until,
} from './processes.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** A small file system for a log. */
async function smallDisk(kibibytes: number): Promise<string | undefined> {
  const folder = await cleanup.folder();
  if (spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${kibibytes}k`, 'tmpfs', folder]).status !== 0) return undefined;
  cleanup.add(() => spawnSync('umount', ['-l', folder]));
  return folder;
}

/** Takes all the room, also what is left of the last block of the log. Returns what gives it back. */
function fill(folder: string, log: string): () => void {
  const filler = join(folder, 'filler');
  try {
    writeFileSync(filler, Buffer.alloc(1024 * 1024));
  } catch {
    // No room is left: that is what it is for.
  }
  try {
    for (;;) writeFileSync(log, '#', { flag: 'a' });
  } catch {
    // No room is left: that is what it is for.
  }
  return () => rmSync(filler);
}

/** Starts a program of ours whose standard output is a file. */
function loggingTo(file: string, script: string, args: readonly string[]): Running {
  writeFileSync(file, '');
  const words = ['-c', 'log=$1; shift; exec "$@" >>"$log"', 'sh', file, process.execPath, join(ROOT, script), ...args];
  const running = new Running('sh', words);
  cleanup.add(() => running.stop());
  return running;
}

async function logged(file: string, pattern: RegExp): Promise<void> {
  await until(
    () => pattern.test(readFileSync(file, 'utf8')) || undefined,
    30_000,
    () => `${pattern} is not in the log:\n${readFileSync(file, 'utf8')}`,
  );
}

const canMount = process.platform === 'linux' && process.getuid?.() === 0;

describe('a full disk of the log', () => {
  it.runIf(canMount)('costs Central log lines only, which it counts and reports when there is room', async () => {
    const disk = await smallDisk(64);
    if (disk === undefined) throw new Error('no tmpfs could be mounted');
    const [port = 0] = await freePorts(1);
    const file = join(disk, 'log');
    const folder = await cleanup.folder();
    const ports = ['--websocket-port', '0', '--websocket-secure-port', '0', '--https-port', '0'];
    const running = loggingTo(file, 'central/main.ts', [
      ...ports,
      '--http-port',
      String(port),
      '--advertised-names',
      'localhost',
      '--data-folder',
      folder,
    ]);
    await logged(file, /Administration: /);
    const authorization = `Bearer ${readFileSync(join(folder, 'administrator-token'), 'utf8').trim()}`;
    const ask = async (path: string): Promise<string> =>
      await (await fetch(`http://127.0.0.1:${port}${path}`, { headers: { authorization } })).text();
    const lostLines = async (): Promise<number> =>
      Number(/^queuegate_log_lines_lost_total (\d+)$/m.exec(await ask('/metrics'))?.[1]);
    expect(await lostLines()).toBe(0);

    const makeRoom = fill(disk, file);
    await until(async () => {
      running.child.kill('SIGHUP');
      return (await lostLines()) > 2 || undefined;
    });
    expect(JSON.parse(await ask('/api/v1/status'))).toMatchObject({ version: expect.any(String) });
    makeRoom();
    await logged(file, /"lines":\d+,"error":"ENOSPC","msg":"lines of this log were lost/);
    expect((await running.stop()).code).toBe(0);
    expect(readFileSync(file, 'utf8')).toMatch(/"msg":"Central stopped"/);
  });

  it.runIf(canMount)('costs an agent log lines only: it goes on to deliver, and reconnects', async () => {
    const disk = await smallDisk(64);
    if (disk === undefined) throw new Error('no tmpfs could be mounted');
    const folder = await cleanup.folder();
    const first = await CentralProcess.startOnParameters(cleanup, folder);
    const enrolled = await AgentProcess.enrolled(cleanup, first, 'branch');
    await enrolled.process.stop();
    const file = join(disk, 'log');
    const running = loggingTo(file, 'agent/cli.ts', ['start', ...agentFlags(enrolled.folders, 'branch')]);
    await first.online('branch');

    const makeRoom = fill(disk, file);
    running.child.kill('SIGHUP');
    await first.process.stop('SIGKILL');
    const second = await CentralProcess.startOnParameters(cleanup, folder);
    await second.online('branch');
    makeRoom();
    await logged(file, /"error":"ENOSPC","msg":"lines of this log were lost/);
    expect((await running.stop()).code).toBe(0);
    expect(readFileSync(file, 'utf8')).toMatch(/"msg":"stopped"/);
  });
});

describe('a start on a nearly full disk', () => {
  it.runIf(canMount)('ends with its exit status or comes online: it never stays in between', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    const folders = { ...(await agentFolders(cleanup)), data: (await smallDisk(3_000)) ?? '' };
    const flags = agentFlags(folders, 'branch');
    expect((await runNode('agent/cli.ts', [...(await central.enrollment()), ...flags])).code).toBe(0);
    const filler = join(folders.data, 'filler');
    const ends: (number | null | 'online')[] = [];
    for (const freeKibibytes of [0, 4, 8, 16, 32]) {
      writeFileSync(filler, '');
      const { bavail, bsize } = statfsSync(folders.data);
      writeFileSync(filler, Buffer.alloc(bavail * bsize - freeKibibytes * 1024));
      const running = new Running(process.execPath, [join(ROOT, 'agent/cli.ts'), 'start', ...flags]);
      cleanup.add(() => running.stop());
      ends.push(
        await running.printed(/"msg":"online"/).then(
          () => 'online' as const,
          async () => (await running.ended()).code,
        ),
      );
      await running.stop();
    }
    expect(ends).toContain(1);
  });
});

describe('signals', () => {
  it('SIGHUP makes both programs read their configuration again; SIGUSR1 and SIGUSR2 do nothing', async () => {
    const central = await CentralProcess.start(cleanup, await cleanup.folder());
    const agent = await AgentProcess.enrolled(cleanup, central, 'branch');
    await central.online('branch');
    await appendFile(
      join(agent.folders.profile, 'conf/agent.local.conf'),
      '\nlog.level = debug\noutbox.maxMessages = 5000\ncentral.websocket.proxied = true\nconsumer.printer.types = print.*\n',
    );
    for (const { process } of [central, agent]) {
      for (const signal of ['SIGUSR1', 'SIGUSR2', 'SIGHUP'] as const) process.child.kill(signal);
      await process.printed(/"msg":"the configuration was read again"/);
      expect(process.stderr).not.toMatch(/Debugger/);
    }
    expect(agent.process.stdout).toMatch(
      /"logLevel":"debug","consumers":\["printer"\],"services":\[\],"taskHandlers":\[\],"nextConnection":\["central.websocket.proxied"\],"needsRestart":\["outbox.maxMessages"\]/,
    );
    expect(readFileSync(join(agent.folders.data, 'consumers', 'printer.json'), 'utf8')).toContain('"token":"qgl_');
    await appendFile(join(agent.folders.profile, 'conf/agent.local.conf'), 'log.level = loud\n');
    agent.process.child.kill('SIGHUP');
    await agent.process.printed(/the configuration could not be read again; the agent continues with the previous one/);
    for (const { process } of [agent, central]) expect((await process.stop()).code).toBe(0);
  });
});
