// On disk, not only written: the system calls of a real Central and a real agent show a sync of the log between the
// write of each message and the word to the peer that it is safe. That the reading of the trace can fail is shown with
// the same programs and synchronous=OFF.
import { cp, mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, describe, expect, it, onTestFinished, vi } from 'vitest';
import type * as processes from '../flow/processes.ts';
import { Cleanup, ROOT, until } from '../flow/processes.ts';
import { enrollKey, newKey, RawAgent } from '../flow/raw-agent.ts';
import { readTrace, toldTooEarly, type Promised } from './trace-reader.ts';
import { canTrace, missing, Tracer } from './tracer.ts';
import { enrolledFolders } from './traffic.ts';

/** The harness starts the programs of the tree that it is in. */
type Harness = typeof processes;

/** Whole pages of the log, bytes as bytes, with what each descriptor stands for. */
const OPTIONS = ['-y', '-xx', '-s', '8192', '-e', 'trace=pwrite64,write,writev,sendto,sendmsg,fsync,fdatasync'];
const MESSAGES = 5;
const numbers = Array.from({ length: MESSAGES }, (_, i) => i + 1);

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** The programs in a tree of their own, whose commits do not wait for the disk. */
async function withoutSync(): Promise<Harness> {
  const tree = await cleanup.folder();
  for (const folder of ['central', 'agent', 'shared', 'profiles', 'deploy/queuegate-central/systemd', 'test/flow']) {
    await mkdir(join(tree, folder), { recursive: true });
    await cp(join(ROOT, folder), join(tree, folder), { recursive: true });
  }
  for (const file of ['package.json', 'test/described-answers.ts']) await cp(join(ROOT, file), join(tree, file));
  await symlink(join(ROOT, 'node_modules'), join(tree, 'node_modules'));
  const file = join(tree, 'shared/sqlite/database.ts');
  const source = await readFile(file, 'utf8');
  const changed = source.replaceAll('synchronous = FULL', 'synchronous = OFF');
  expect(changed).not.toBe(source);
  await writeFile(file, changed);
  // Its own Central, and no bundle of this one.
  vi.stubEnv('CENTRAL_PROGRAM', undefined);
  onTestFinished(() => void vi.unstubAllEnvs());
  return (await import(pathToFileURL(join(tree, 'test/flow/processes.ts')).href)) as Harness;
}

async function here(): Promise<Harness> {
  return await import('../flow/processes.ts');
}

/** Central: events that an agent sends, and commands that REST takes. */
async function traceCentral({ CentralProcess }: Harness): Promise<string[]> {
  const central = await CentralProcess.start(cleanup, await cleanup.folder());
  const key = newKey();
  const id = await enrollKey(central, key, 'raw');
  const agent = await RawAgent.ws(cleanup, central);
  await agent.welcomed({ id, key, name: 'raw' });
  agent.send({ type: 'begin', incarnation: 'A'.repeat(22), next: 1, missing: null });
  const tracer = await Tracer.attach(cleanup, central.process.child.pid, OPTIONS);
  const promises: Promised[] = [];
  for (const n of numbers) {
    agent.send({
      type: 'messages',
      first: n,
      items: [{ specversion: '1.0', id: `event-${n}`, source: '/raw', type: 'tick' }],
    });
    await until(() => agent.frames.some((frame) => frame.type === 'ack' && frame['through'] === n) || undefined);
    promises.push({ written: `event-${n}`, reported: `{"type":"ack","through":${n},"crc32":` });
    expect((await central.rest('POST', `/agents/${id}/commands`, { id: `command-${n}`, type: 'tick' })).status).toBe(
      202,
    );
    // The first of both counts: the producer's 202, or the message itself at the agent.
    promises.push({ written: `command-${n}`, reported: `"command-${n}"` });
  }
  await tracer.detach();
  return toldTooEarly(readTrace(await tracer.text()), promises);
}

/** An agent: events that its local API takes, and commands that it acknowledges to Central. */
async function traceAgent({ CentralProcess, AgentProcess }: Harness): Promise<string[]> {
  const central = await CentralProcess.start(cleanup, await cleanup.folder());
  const agent = AgentProcess.start(cleanup, await enrolledFolders(cleanup, central, 'a1'), 'a1', [
    '--central-websocket-secure',
    'false',
    '--central-hosts',
    `127.0.0.1:${central.ports.ws}`,
  ]);
  const { id } = await central.online('a1');
  const tracer = await Tracer.attach(cleanup, agent.process.child.pid, OPTIONS);
  const promises: Promised[] = [];
  for (const n of numbers) {
    expect((await agent.local('POST', '/api/v1/events', { id: `event-${n}`, type: 'tick' })).status).toBe(202);
    promises.push({ written: `event-${n}`, reported: `"event-${n}"` });
    await central.rest('POST', `/agents/${String(id)}/commands`, { id: `command-${n}`, type: 'tick' });
    await until(async () =>
      (await central.rest('GET', `/agents/${String(id)}`)).body.logs.down.messageCount === 0 ? true : undefined,
    );
    promises.push({ written: `command-${n}`, reported: `{"type":"ack","through":${n},"crc32":` });
  }
  await tracer.detach();
  return toldTooEarly(readTrace(await tracer.text()), promises);
}

const early = (what: string): unknown => expect.stringMatching(new RegExp(`reported before ${what}-\\d was synced`));

describe.skipIf(missing('strace and the right to trace', canTrace()))('what is on disk', () => {
  it('at Central: every acknowledgement and every 202 leaves behind a sync of the log that holds its message', async () => {
    expect(await traceCentral(await here())).toEqual([]);
  }, 60_000);

  it('at the agent: every 202 and every acknowledgement leaves behind a sync of the log that holds its message', async () => {
    expect(await traceAgent(await here())).toEqual([]);
  }, 60_000);

  it('is not, and this test finds it, when the commits do not wait for the disk', async () => {
    const harness = await withoutSync();
    const expected = numbers.flatMap(() => [early('event'), early('command')]);
    expect(await traceCentral(harness)).toEqual(expected);
    expect(await traceAgent(harness)).toEqual(expected);
  }, 60_000);
});

describe('the reading of a trace', () => {
  const line = (text: string): string =>
    `7 ${text.replaceAll(/"([^"]*)"/g, (_, plain: string) => `"${Array.from(Buffer.from(plain), (byte) => `\\x${byte.toString(16).padStart(2, '0')}`).join('')}"`)}`;
  const write = line('pwrite64(21</d/central.db-wal>, "..m1..", 4096, 0) = 4096');
  const sync = line('fdatasync(21</d/central.db-wal>) = 0');
  const reported = line('write(25<socket:[9]>, "ack 1", 5) = 5');
  const promise = [{ written: 'm1', reported: 'ack 1' }];

  it.each([
    ['a sync between write and word', [write, sync, reported], []],
    [
      'a sync that another thread begins and ends in between',
      [write, '8 fdatasync(21</d/central.db-wal> <unfinished ...>', '8 <... fdatasync resumed>) = 0', reported],
      [],
    ],
    ['no sync', [write, reported], ['ack 1: reported before m1 was synced']],
    ['a sync before the write', [sync, write, reported], ['ack 1: reported before m1 was synced']],
    [
      'a sync that ends behind the word',
      [write, '8 fdatasync(21</d/central.db-wal> <unfinished ...>', reported, '8 <... fdatasync resumed>) = 0'],
      ['ack 1: reported before m1 was synced'],
    ],
    [
      'a sync of another file',
      [write, line('fdatasync(22</d/other.db-wal-old>) = 0'), reported],
      ['ack 1: reported before m1 was synced'],
    ],
    ['a word before the write', [reported, write, sync], ['ack 1: reported before m1 was written']],
    ['no word', [write, sync], ['ack 1: never reported']],
  ])('checks %s', (_, lines, found) => {
    expect(toldTooEarly(readTrace(lines.join('\n')), promise)).toEqual(found);
  });
});
