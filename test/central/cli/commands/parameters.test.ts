// Changes of parameters with several nodes, as the command line shows them.
import { expect, test } from 'vitest';
import type { AdminServices } from '../../../../central/admin/services.ts';
import type { ChangeReport } from '../../../../central/parameters/types.ts';
import { startRest } from '../../admin/rest.ts';
import { queuegateFor } from '../over-socket.ts';

const REPORT: ChangeReport = {
  version: 1,
  dryRun: true,
  changed: [{ name: 'services.port', from: 0, to: 9443, overriddenBy: null }],
  needsForce: false,
  cutOff: [],
  notices: [],
  listens: ['The port of services listens on all addresses, port 9443: encrypted (TLS 1.2 and 1.3).'],
  nodes: [
    { name: 'n1', answer: 'ready', detail: null },
    { name: 'n2', answer: 'refused', detail: 'Port 9443 is taken.' },
    { name: 'n3', answer: 'silent', detail: null },
  ],
  change: null,
};

test('a dry run says what each node answers, and by its exit status that the change would be refused', async () => {
  const reports = [REPORT, { ...REPORT, nodes: REPORT.nodes.slice(0, 1) }];
  const parameters = { version: 1, describe: () => [], change: async () => reports.shift() };
  const rest = await startRest(async () => ({ parameters: parameters as unknown as AdminServices['parameters'] }));
  const queuegate = await queuegateFor(rest);
  const refused = await queuegate('parameters set services.port=9443 --dry-run');
  expect(refused).toMatchObject({ status: 6, error: '' });
  expect(refused.out).toMatch(/^Nodes:\n {2}n1: ready\n {2}n2: refused: Port 9443 is taken\.\n {2}n3: silent$/m);
  const alone = await queuegate('parameters set services.port=9443 --dry-run');
  expect(alone).toMatchObject({ status: 0, error: '' });
  expect(alone.out).not.toContain('Nodes:');
});
