// Incidents on a running Central: what strangers cause under ids that they make up is one incident with a count, and is
// written in one log line.
import { afterEach, beforeEach, expect, it } from 'vitest';
import { CentralProcess, Cleanup, until } from './processes.ts';
import { newKey, RawAgent } from './raw-agent.ts';

const cleanup = new Cleanup();
let central: CentralProcess;

// For each attempt: names and counts of a first one would fail the second.
beforeEach(async () => {
  central = await CentralProcess.start(cleanup, await cleanup.folder());
}, 60_000);
afterEach(() => cleanup.run());

it('strangers of one address that name ever new ids make one incident with a count, and one log line', async () => {
  const [key, other] = [newKey(), newKey()];
  for (let i = 0; i < 20; i += 1) {
    const raw = await RawAgent.wss(cleanup, central);
    // Signed with another key than the one it carries.
    const { signature } = raw.hello({ id: `made-up-${i}`, key: other, name: 'x' });
    raw.send(raw.hello({ id: `made-up-${i}`, key, name: 'x', tamper: { signature } }));
    expect((await raw.frame('refuse'))['code']).toBe('bad_signature');
  }
  const incidents = await until(async () => {
    const { body } = await central.rest('GET', '/incidents');
    const found = body.items as { code: string; agentId: string; count: number }[];
    return found[0]?.count === 20 ? found : undefined;
  });
  expect(incidents).toMatchObject([{ code: 'bad_signature', agentId: 'made-up-0', address: '127.0.0.1' }]);
  expect(central.process.stdout.split('"msg":"incident"').length - 1).toBe(1);
}, 60_000);
