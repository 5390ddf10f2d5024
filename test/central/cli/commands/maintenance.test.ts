import { expect, test } from 'vitest';
import { startRest } from '../../admin/rest.ts';
import { queuegateFor } from '../over-socket.ts';

test('maintenance is enabled after a question, shown, and disabled', async () => {
  const queuegate = await queuegateFor(await startRest());
  expect((await queuegate('maintenance show')).out).toMatch(/^maintenance mode +disabled$/m);
  expect(await queuegate('maintenance enable')).toMatchObject({ status: 2 });
  expect(await queuegate('maintenance enable', { typed: 'no\n' })).toMatchObject({ status: 1 });
  expect(await queuegate('maintenance enable --dry-run')).toMatchObject({
    status: 0,
    out: 'No agent would be cut off.',
  });
  const enabled = await queuegate('maintenance enable --retry-after 5m', { typed: 'y\n' });
  expect(enabled.out).toMatch(/^maintenance mode +enabled since 1970-01-01T00:01:00.000Z: no agent is admitted$/m);
  expect(enabled.out).toMatch(/^agents try again +after 300 s$/m);
  expect(JSON.parse((await queuegate('maintenance show -o json')).out)).toEqual({
    enabled: true,
    retryAfterSeconds: 300,
    enabledAt: '1970-01-01T00:01:00.000Z',
  });
  expect((await queuegate('maintenance disable')).out).toMatch(/^maintenance mode +disabled$/m);
});
