// Two Centrals on one PostgreSQL and a real agent, as processes: its service and the output of its task are reached at the
// node that does not have its session.
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { copyFile, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { lacksPostgres } from '../postgres/binaries.ts';
import { freshDatabase } from '../postgres/cluster.ts';
import {
  agentFlags,
  agentFolders,
  AgentProcess,
  CentralProcess,
  Cleanup,
  freePorts,
  runNode,
  until,
} from './processes.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

describe.skipIf(lacksPostgres())('an agent at another node', () => {
  it('answers calls of its service and gives the output of its task at both nodes, until its node is gone', async () => {
    const database = await freshDatabase();
    cleanup.add(() => database.drop());
    const [portA = 0, portB = 0, exposed = 0] = await freePorts(3);
    const sealing = randomBytes(32).toString('base64');
    const start = async (name: string, port: number, first?: CentralProcess): Promise<CentralProcess> => {
      const folder = await cleanup.folder();
      if (first !== undefined)
        await copyFile(join(first.folder, 'administrator-token'), join(folder, 'administrator-token'));
      return await CentralProcess.start(cleanup, folder, ['--central-name', 'bank', '--node-name', name], {
        QUEUEGATE_STORE_URL: database.url,
        QUEUEGATE_KEY_ENCRYPTION_KEY: sealing,
        QUEUEGATE_NODE_ADDRESS: `https://localhost:${port}`,
      });
    };
    const a = await start('node-a', portA);
    const b = await start('node-b', portB, a);

    const seen: IncomingMessage['headers'][] = [];
    const service = createServer((request, response) => {
      seen.push(request.headers);
      request.pipe(response);
    });
    await once(service.listen(0, '127.0.0.1'), 'listening');
    cleanup.add(() => {
      service.closeAllConnections();
      service.close();
    });
    const folders = await agentFolders(cleanup);
    await writeFile(
      join(folders.profile, 'conf/agent.conf'),
      [
        'central.host=localhost',
        `central.websocket.secure.port=${b.ports.wss}`,
        `service.jobs.url=http://localhost:${(service.address() as AddressInfo).port}`,
        'service.jobs.methods=GET,POST',
        'task.print.command=/usr/bin/seq',
        'task.print.arguments=list',
        '',
      ].join('\n'),
    );
    const enrolled = await runNode('agent/cli.ts', [...(await b.enrollment()), ...agentFlags(folders, 'branch-1')]);
    expect(enrolled).toMatchObject({ code: 0 });
    AgentProcess.start(cleanup, folders, 'branch-1');
    await b.online('branch-1');

    const line = [
      'services',
      'expose',
      'branch-1',
      'jobs',
      '--listen',
      String(exposed),
      '--allow',
      '127.0.0.1:operator',
    ];
    expect(await a.cli(...line)).toMatchObject({ code: 0 });
    const ca = String((await a.rest('GET', '/ca/trust-bundle.pem')).body);
    const call = async (body: Buffer): Promise<{ status: number; body: Buffer }> => {
      const options = { host: '127.0.0.1', servername: 'localhost', port: exposed, method: 'POST', path: '/', ca };
      const request = httpsRequest({ ...options, agent: false });
      request.end(body);
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      const pieces: Buffer[] = [];
      for await (const piece of response) pieces.push(piece as Buffer);
      return { status: response.statusCode ?? 0, body: Buffer.concat(pieces) };
    };
    const sent = randomBytes(1_000_000);
    const answer = await call(sent);
    expect([answer.status, answer.body.equals(sent)]).toEqual([200, true]);
    expect(seen[0]?.['x-forwarded-for']).toBe('127.0.0.1');

    // More than Central keeps itself: it comes from the agent.
    const printed = await a.cli('tasks', 'run', 'branch-1', 'print', '--follow', '--', '3000');
    expect(printed.stdout).toContain('\n2999\n3000\n');

    b.process.child.kill('SIGKILL');
    const refused = await until(async () => {
      const { status, body } = await call(Buffer.from('x'));
      return status === 503 ? (JSON.parse(body.toString()) as { code: string }).code : undefined;
    });
    expect(['node_unreachable', 'service_agent_offline']).toContain(refused);
  });
});
