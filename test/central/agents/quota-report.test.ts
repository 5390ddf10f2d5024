import { describe, expect, it } from 'vitest';
import { QuotaReport } from '../../../central/agents/quota-report.ts';
import type { Incident, Keyed } from '../../../central/store/agent-store.ts';

const NOON = Date.UTC(2026, 4, 5, 12);

describe('agents at their quota of events', () => {
  it('are one problem since the first of them, with the time at which it ends, and none the day after', async () => {
    let now = NOON;
    const incident = (kind: string, agentId: string, at: number): Keyed<Incident> =>
      ({ key: at, kind, agentId, at }) as unknown as Keyed<Incident>;
    const incidents = [
      incident('events_per_day', 'b', NOON - 1_000),
      incident('log_restarted', 'c', NOON - 2_000),
      incident('events_per_day', 'a', NOON - 3_000),
      incident('events_per_day', 'old', NOON - 13 * 3_600_000),
    ];
    const report = new QuotaReport({ agents: { incidents: async () => incidents }, now: () => now });
    await report.measure();
    expect(report.problems()).toEqual([
      {
        code: 'agent_quotas_reached',
        detail: '2 agents have reached their quota of events for today: b, a.',
        hint: expect.stringContaining('after 2026-05-06T00:00:00.000Z'),
        startedAt: NOON - 3_000,
      },
    ]);
    now = NOON + 86_400_000;
    await report.measure();
    expect(report.problems()).toEqual([]);
  });
});
