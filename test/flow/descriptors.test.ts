// Central at a low limit of open files: agents beyond it are asked to retry later, and the administration answers.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { AgentProcess, CentralProcess, Cleanup, until } from './processes.ts';

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

it('a Central at its limit of open files says so, keeps REST and the store working, and takes agents when there is room', async () => {
  const central = await CentralProcess.start(cleanup, await cleanup.folder(), [], {}, [
    '/bin/sh',
    '-c',
    'ulimit -n 72; exec "$0" "$@"',
  ]);
  // How many agents the limit allows depends on what the process inherited: CI leaves other files open than a shell.
  const room = Number((await central.process.printed(/"descriptors_few".*"maxSessions":(\d+)/))[1]);
  expect(room).toBeGreaterThan(1);
  const strangers: Socket[] = [];
  for (let i = 0; i < 200; i += 1) {
    const socket = connect(i % 2 === 0 ? central.ports.ws : central.ports.wss, '127.0.0.1');
    socket.on('error', () => undefined);
    cleanup.add(() => socket.destroy());
    strangers.push(socket);
    await once(socket, 'connect');
  }
  for (let i = 0; i < 10; i += 1) expect((await central.rest('GET', '/status')).status).toBe(200);
  for (const socket of strangers) socket.destroy();

  const agents: AgentProcess[] = [];
  // Handshakes have few places here: one may still be taken by a stranger, or by the agent before.
  for (let i = 0; i <= room; i += 1)
    agents.push(await until(() => AgentProcess.enrolled(cleanup, central, `branch-${i}`).catch(() => undefined)));
  await central.process.printed(/"code":"descriptors_full"/);
  const online = async (): Promise<string[]> => {
    const { body } = await central.rest('GET', '/agents?state=online');
    return (body.items as { name: string }[]).map(({ name }) => name);
  };
  const first = await until(async () => ((await online()).length > 0 ? await online() : undefined));
  expect(first.length).toBeLessThan(agents.length);
  const refused = await until(
    () => agents.find(({ process }) => /\(busy\)/.test(process.stdout)),
    20_000,
    () => agents.map(({ process }) => process.stdout).join('\n'),
  );
  for (const { process } of agents) if (process !== refused.process) await process.stop();
  await until(async () => (await online()).length === 1 || undefined);
}, 90_000);
