import { expect, it, vi } from 'vitest';
import { ServiceReports } from '../../../central/services/service-reports.ts';
import type { Session } from '../../../central/sessions/session.ts';
import type { ReportedServices } from '../../../central/store/services/exposure-store.ts';

const session = { facts: { agentId: 'a1', epoch: 3 } } as Pick<Session, 'facts'>;
const services = (name: string) => [{ name, upgrade: false }] as never;

function scene(record: () => Promise<void> = async () => undefined) {
  const recorded: [string, number, ReportedServices][] = [];
  const logged: string[] = [];
  const reports = new ServiceReports({
    store: {
      async recordServices(agentId, epoch, report) {
        recorded.push([agentId, epoch, report]);
        await record();
      },
      servicesOf: async () => recorded.at(-1)?.[2],
    },
    log: { debug: (facts: unknown) => void logged.push(JSON.stringify(facts)) },
    now: () => 5,
  });
  return { reports, recorded, logged };
}

it('a flood of reports of an agent is two writes, and the newest report is kept', async () => {
  const { reports, recorded } = scene();
  for (let number = 1; number <= 500; number += 1)
    reports.onFrame(session, { type: 'services', services: services(`service-${number}`) });
  await vi.waitFor(() => expect(recorded).toHaveLength(2));
  expect(await reports.of('a1')).toEqual({ services: services('service-500'), devicePort: null, reportedAt: 5 });
  expect(recorded.map(([agentId, epoch]) => [agentId, epoch])).toEqual([
    ['a1', 3],
    ['a1', 3],
  ]);
});

it('a report that cannot be written is logged, and the next one is written', async () => {
  let failures = 0;
  const { reports, recorded, logged } = scene(async () => {
    if ((failures += 1) === 1) throw new Error('the disk is full');
  });
  reports.onFrame(session, { type: 'services', services: services('one') });
  await vi.waitFor(() => expect(logged).toEqual([expect.stringContaining('the disk is full')]));
  reports.onFrame(session, { type: 'services', services: services('two') });
  await vi.waitFor(() => expect(recorded).toHaveLength(2));
});
