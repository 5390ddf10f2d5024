// What the hellos of a stranger leave in the log of a running Central.
import { afterAll, expect, it } from 'vitest';
import { CentralProcess, Cleanup } from './processes.ts';
import { newKey, RawAgent } from './raw-agent.ts';

const cleanup = new Cleanup();
afterAll(() => cleanup.run());

it('a stranger who says hello again and again makes few lines in the log of Central', async () => {
  const central = await CentralProcess.start(cleanup, await cleanup.folder());
  const key = newKey();
  for (let n = 0; n < 150; n += 1) {
    const stranger = await RawAgent.ws(cleanup, central);
    expect((await stranger.refused({ id: key.thumbprint, key, name: 'stranger' })).code).toBe('agent_unknown');
  }
  const { stdout, stderr } = await central.stop();
  expect(`${stdout}${stderr}`.split('"msg":"agent refused"').length - 1).toBeLessThan(60);
});
