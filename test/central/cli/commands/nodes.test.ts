import { expect, test } from 'vitest';
import { startNodes } from '../../admin/nodes/several-nodes.ts';
import { nodeRecord } from '../../forwarding/two-nodes.ts';
import { queuegateFor } from '../over-socket.ts';

test('nodes are listed, shown, drained and back, and deleted after a question', async () => {
  const leader = nodeRecord({ name: 'c1', leads: true, sessions: 12, appliedParameters: 7 });
  const rest = await startNodes(leader, nodeRecord({ name: 'c2' }), nodeRecord({ name: 'c3', state: 'dead' }));
  const queuegate = await queuegateFor(rest);
  const { out } = await queuegate('nodes list');
  expect(out).toMatch(/^c1 +alive +yes +0 +12 +7 +0 s +1970-01-01T00:00:00.001Z +no$/m);
  expect(out).toMatch(/^c3 +dead +no /m);
  expect((await queuegate('nodes show c1')).out).toMatch(/^sessions +12$/m);
  expect((await queuegate('nodes drain c1')).out).toMatch(/^drained +1970-01-01T00:01:00.000Z$/m);
  expect(await queuegate('nodes drain c2')).toMatchObject({ error: expect.stringContaining('node_alone') });
  expect((await queuegate('nodes drain c1 --cancel')).out).toMatch(/^drained +no$/m);
  expect(await queuegate('nodes delete c3')).toMatchObject({ status: 2 });
  expect(await queuegate('nodes delete c3', { typed: 'y\n' })).toMatchObject({ status: 0, out: 'Deleted.' });
  expect(await queuegate('nodes show c3')).toMatchObject({ error: expect.stringContaining('node_unknown') });
});
