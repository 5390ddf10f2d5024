// Two Centrals on one PostgreSQL, as processes, with an agent at each: tasks of queues run once, whichever node they are given
// to, and who watches one node sees what the other one committed.
import { randomBytes } from 'node:crypto';
import { copyFile, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { lacksPostgres } from '../postgres/binaries.ts';
import { freshDatabase } from '../postgres/cluster.ts';
import { agentFlags, agentFolders, AgentProcess, CentralProcess, Cleanup, runNode, until } from './processes.ts';

const cleanup = new Cleanup();
const sealing = randomBytes(32).toString('base64');

describe.skipIf(lacksPostgres())('two nodes with an agent each', () => {
  let a: CentralProcess;
  let b: CentralProcess;
  let ran: string;
  beforeAll(async () => {
    const database = await freshDatabase();
    cleanup.add(() => database.drop());
    const start = async (name: string, first?: CentralProcess): Promise<CentralProcess> => {
      const folder = await cleanup.folder();
      if (first !== undefined)
        await copyFile(join(first.folder, 'administrator-token'), join(folder, 'administrator-token'));
      return await CentralProcess.start(cleanup, folder, ['--central-name', 'bank', '--node-name', name], {
        QUEUEGATE_STORE_URL: database.url,
        QUEUEGATE_KEY_ENCRYPTION_KEY: sealing,
      });
    };
    a = await start('node-a');
    b = await start('node-b', a);
    ran = join(await cleanup.folder(), 'ran');
    await agentAt(a, 'at-a', 'both');
    await agentAt(b, 'at-b', 'both, only-b');
  }, 120_000);
  afterAll(() => cleanup.run());

  async function agentAt(node: CentralProcess, name: string, queues: string): Promise<void> {
    const folders = await agentFolders(cleanup);
    const conf = [
      'central.host=localhost',
      `central.websocket.secure.port=${node.ports.wss}`,
      `agent.queues=${queues}`,
      'task.note.command=/bin/sh',
      `task.note.fixedArguments=["-c", "echo ${name} $0 >> ${ran}"]`,
      'task.note.arguments=list',
      'task.note.concurrency=2',
      'task.wait.command=/bin/sleep',
      'task.wait.fixedArguments=["600"]',
      'task.wait.arguments=fixed',
      'task.wait.graceSeconds=1',
      '',
    ];
    await writeFile(join(folders.profile, 'conf/agent.conf'), conf.join('\n'));
    expect(await runNode('agent/cli.ts', [...(await node.enrollment()), ...agentFlags(folders, name)])).toMatchObject({
      code: 0,
    });
    AgentProcess.start(cleanup, folders, name);
    await node.online(name);
    await until(async () => (await node.rest('GET', `/agents/${name}/task-handlers`)).body.items.length > 0);
  }

  /** Of each task: the agent that ran it, for each time. */
  async function runs(): Promise<Map<string, string[]>> {
    const found = new Map<string, string[]>();
    for (const line of (await readFile(ran, 'utf8').catch(() => '')).split('\n').filter(Boolean)) {
      const [agent = '', task = ''] = line.split(' ');
      found.set(task, [...(found.get(task) ?? []), agent]);
    }
    return found;
  }

  async function give(node: CentralProcess, queue: string, word: string): Promise<string> {
    const { status, body } = await node.rest('POST', '/tasks', { queue, handler: 'note', arguments: [word] });
    expect([status, body.queue]).toEqual([202, queue]);
    return body.id;
  }

  async function succeeded(node: CentralProcess, ids: readonly string[]): Promise<void> {
    for (const id of ids)
      await until(async () => (await node.rest('GET', `/tasks/${id}`)).body.state === 'succeeded', 30_000);
  }

  it('start a task of a queue at the agent that serves it, whichever node it is given to, once', async () => {
    const givenAt = Date.now();
    const first = await give(a, 'only-b', 'first');
    await succeeded(a, [first]);
    // Two beats to it, one of its end back, and the start of a program.
    expect(Date.now() - givenAt).toBeLessThan(5_000);
    const ids: string[] = [];
    for (let n = 0; n < 10; n += 1) ids.push(await give(a, 'only-b', `b-${n}`));
    for (let n = 0; n < 20; n += 1) ids.push(await give(n % 2 === 0 ? a : b, 'both', `both-${n}`));
    await succeeded(b, ids);
    const found = await runs();
    expect(found.size).toBe(31);
    for (const [task, agents] of found) expect([task, agents.length]).toEqual([task, 1]);
    for (let n = 0; n < 10; n += 1) expect(found.get(`b-${n}`)).toEqual(['at-b']);
  });

  it('cancel a task that runs at the agent of the other one', async () => {
    const order = { agent: 'at-b', handler: 'wait', arguments: [] };
    const { id } = (await a.rest('POST', '/tasks', order)).body as { readonly id: string };
    const stateAtB = async (): Promise<unknown> => (await b.rest('GET', `/tasks/${id}`)).body.state;
    await until(async () => (await stateAtB()) === 'running', 30_000);
    const canceledAt = Date.now();
    expect((await a.rest('POST', `/tasks/${id}/cancel`, {})).body.state).toBe('canceling');
    await until(async () => (await stateAtB()) === 'canceled', 30_000);
    // The agent gets it with a beat, and not when cancels are repeated.
    expect(Date.now() - canceledAt).toBeLessThan(10_000);
  });

  it('show who watches one of them what the other one committed', async () => {
    const seen: string[] = [];
    const ending = new AbortController();
    cleanup.add(() => ending.abort());
    const answer = await fetch(`http://127.0.0.1:${b.ports.http}/api/v1/watch`, {
      headers: { authorization: `Bearer ${b.token}` },
      signal: ending.signal,
    });
    expect(answer.status).toBe(200);
    const read = async (): Promise<void> => {
      const decoder = new TextDecoder();
      for await (const piece of answer.body ?? []) seen.push(decoder.decode(piece, { stream: true }));
    };
    const reading = read().catch(() => undefined);
    const shown = async (pattern: RegExp): Promise<void> => {
      await until(
        () => pattern.test(seen.join('')) || undefined,
        3_000,
        () => `${String(pattern)} in ${seen.join('')}`,
      );
    };
    const { id } = (await a.agent('at-a')) ?? {};
    expect((await a.rest('PATCH', `/agents/${String(id)}`, { labels: { seen: 'there' } })).status).toBe(200);
    await shown(/event: agent\.updated\ndata: [^\n]*"seen":"there"/);
    expect((await a.rest('PATCH', '/parameters', { 'agents.heartbeatSeconds': 19 })).status).toBe(200);
    await shown(/event: parameter\.updated\ndata: [^\n]*"agents.heartbeatSeconds"[^\n]*19/);
    const task = await give(a, 'both', 'watched');
    await shown(new RegExp(`event: task\\.updated\\ndata: [^\\n]*"${task}"[^\\n]*"succeeded"`));
    expect((await a.rest('DELETE', `/agents/${String(id)}`)).status).toBe(204);
    await shown(new RegExp(`event: agent\\.deleted\\ndata: [^\\n]*"${String(id)}"`));
    const drained = await a.rest('POST', '/nodes/node-a/drain', {});
    expect(drained.status).toBe(202);
    await shown(/event: node\.updated\ndata: [^\n]*"node-a"[^\n]*"drainedAt":"/);
    ending.abort();
    await reading;
  });
});
