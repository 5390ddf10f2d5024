// A real agent that is killed while it downloads, tries and has committed a release of its profile, and while it goes
// back to the previous one: it goes on where it was.
import { afterEach, expect, it } from 'vitest';
import { branch, cleanup as acts, FalseCentral, release } from '../agent/releases/central.ts';
import { AgentProcess, Cleanup, runNode, until } from './processes.ts';

const cleanup = new Cleanup();
afterEach(async () => {
  await cleanup.run();
  for (const act of acts.splice(0).toReversed()) await act();
});

it('goes on after each kill, and runs with the release that is on its disk', async () => {
  const central = await new FalseCentral().listen();
  const conf = `central.host=127.0.0.1\ncentral.websocket.secure=false\ncentral.websocket.port=${central.port}\n`;
  const folders = await branch({ 'conf/agent.conf': conf });
  const digest = central.add(
    release({ 'conf/agent.conf': `${conf}log.level=debug\n`, 'big.bin': 'b'.repeat(400_000) }),
  );
  const start = (): AgentProcess => AgentProcess.start(cleanup, folders, 'branch');
  const kill = async (agent: AgentProcess): Promise<void> => {
    await agent.process.stop('SIGKILL');
    central.hellos.length = 0;
    central.states.length = 0;
  };
  const profile = async (): Promise<string | null> => (await central.hello(() => true)).releases.profile;
  // In the middle of a file.
  let agent = start();
  await profile();
  const { promise: half, resolve } = Promise.withResolvers<void>();
  central.onDownload = ({ url = '' }, response) => {
    if (!url.startsWith('/blobs/')) return false;
    response.writeHead(200).write('b'.repeat(100_000), () => resolve());
    return true;
  };
  central.offer({ release: digest, generation: 1 });
  await half;
  await kill(agent);
  // On trial: the release is welcomed, and not committed.
  central.onDownload = () => false;
  agent = start();
  expect(await profile()).toBeNull();
  await central.hello(({ releases }) => releases.profile === digest);
  await kill(agent);
  agent = start();
  expect(await profile()).toBeNull();
  expect(await central.stateOf(1, 'trying')).toMatchObject({ release: digest });
  // Committed.
  central.offer({ release: digest, generation: 2 });
  await central.stateOf(2, 'succeeded');
  await kill(agent);
  agent = start();
  expect(await profile()).toBe(digest);
  await central.stateOf(2, 'succeeded');
  // Rolled back: on trial with the previous release, and when it has that again.
  const newer = central.add(release({ 'conf/agent.conf': `${conf}log.level=warn\n` }));
  central.offer({ release: newer, generation: 3 });
  await central.stateOf(3, 'succeeded');
  central.hellos.length = 0;
  central.offer({ release: digest, generation: 4 });
  await central.hello(({ releases }) => releases.profile === digest);
  await kill(agent);
  agent = start();
  expect(await profile()).toBe(newer);
  // The trial that was cut off is repeated after a while, another instruction at once.
  central.offer({ release: digest, generation: 5 });
  await central.stateOf(5, 'succeeded');
  await kill(agent);
  agent = start();
  expect(await profile()).toBe(digest);
  await central.stateOf(5, 'succeeded');
  const status = ['status', '--profile', folders.profile, '--data-folder', folders.data];
  const shown = await until(async () => {
    const { code, stdout } = await runNode('agent/cli.ts', status);
    return code === 0 ? stdout : undefined;
  });
  expect(shown).toMatch(new RegExp(`profile +release ${digest.slice(0, 12)}\n.* succeeded\n`));
});
