import { describe, expect, it } from 'vitest';
import { QuotaReport } from '../../../central/agents/quota-report.ts';
import type { AgentRecord, Incident, Keyed } from '../../../central/store/agent-store.ts';

const NOON = Date.UTC(2026, 4, 5, 12);
const incident = (kind: string, agentId: string, at: number): Keyed<Incident> =>
  ({ key: at, kind, agentId, at }) as unknown as Keyed<Incident>;

/** What a store with these incidents answers; the agent "deleted" is not there any more. */
const agentsWith = (incidents: Keyed<Incident>[]) => ({
  incidents: async () => incidents,
  get: async (id: string) => (id === 'deleted' ? undefined : ({ name: `branch-${id}` } as AgentRecord)),
});

describe('agents at their quota of events', () => {
  it('are one problem since the first of them, with the time at which it ends, and none the day after', async () => {
    let now = NOON;
    const incidents = [
      incident('events_per_day', 'b', NOON - 1_000),
      incident('log_restarted', 'c', NOON - 2_000),
      incident('events_per_day', 'a', NOON - 3_000),
      incident('events_per_day', 'old', NOON - 13 * 3_600_000),
    ];
    const report = new QuotaReport({ agents: agentsWith(incidents), now: () => now });
    await report.measure();
    expect(report.problems()).toEqual([
      {
        code: 'agent_quotas_reached',
        detail: '2 agents have reached their quota of events for today: branch-b, branch-a.',
        hint: expect.stringContaining('after 2026-05-06T00:00:00.000Z'),
        startedAt: NOON - 3_000,
      },
    ]);
    now = NOON + 86_400_000;
    await report.measure();
    expect(report.problems()).toEqual([]);
  });

  it('are the subject of the problem if there is one of them', async () => {
    for (const [id, name] of [
      ['a', 'branch-a'],
      ['deleted', 'deleted'],
    ]) {
      const incidents = [
        incident('events_per_day', String(id), NOON),
        incident('events_per_day', String(id), NOON - 1),
      ];
      const report = new QuotaReport({ agents: agentsWith(incidents), now: () => NOON });
      await report.measure();
      expect(report.problems()).toMatchObject([{ startedAt: NOON - 1, subject: { kind: 'agent', id, name } }]);
    }
  });
});
