import { describe, expect, it } from 'vitest';
import { pino } from 'pino';
import { Incidents } from '../../../central/agents/incidents.ts';
import { INCIDENT_INTERVAL_MS } from '../../../central/store/space/bounds.ts';
import type { NewIncident } from '../../../central/store/agent-store.ts';

function start() {
  const written: NewIncident[] = [];
  const lines: string[] = [];
  const log = pino({}, { write: (line: string) => void lines.push(line) });
  const incidents = new Incidents({ recordIncident: async (incident) => void written.push(incident) }, log);
  return { incidents, written, lines };
}

const report = (kind: string, agentId: string | null, address: string, at = 0) => ({
  kind,
  agentId,
  address,
  at,
  detail: {},
});

describe('Incidents', () => {
  it('writes what strangers of one block cause once per interval with a count, whatever ids they name', async () => {
    const { incidents, written, lines } = start();
    for (let i = 0; i < 3_000; i += 1)
      incidents.record(report('bad_signature', `made up ${i}`, `2001:db8::${(i % 9_000).toString(16)}`, i));
    expect(written).toMatchObject([
      { kind: 'bad_signature', agentId: 'made up 0', by: 'stranger', block: '2001:db8:0:0::/64' },
    ]);
    await incidents.flush(3_000);
    expect(written.slice(1)).toMatchObject([
      { kind: 'bad_signature', block: '2001:db8:0:0::/64', at: 2_999, count: 2_999 },
    ]);
    await incidents.flush(4_000);
    expect(written).toHaveLength(2);
    // Its interval goes on over the writing of counts.
    incidents.record(report('bad_signature', 'y', '2001:db8::2', 4_500));
    expect([written.length, lines.length]).toEqual([2, 1]);
    await incidents.flush(5_000);
    expect(written.splice(2)).toMatchObject([{ at: 4_500, count: 1 }]);
    expect(lines).toHaveLength(1);
    await incidents.flush(INCIDENT_INTERVAL_MS);
    incidents.record(report('bad_signature', 'x', '2001:db8::1', INCIDENT_INTERVAL_MS));
    expect(written).toHaveLength(3);
  });

  it('gives a flood from many blocks a bounded number of rows and log lines, and forgets nothing by it', async () => {
    const { incidents, written, lines } = start();
    for (let i = 0; i < 50_000; i += 1)
      incidents.record(report('agent_key_mismatch', 'a1', `10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`));
    expect(written).toHaveLength(101);
    expect(lines).toHaveLength(101);
    expect(written.at(-1)).toMatchObject({ kind: 'agent_key_mismatch', agentId: null, address: null, by: 'stranger' });
    incidents.record(report('agent_key_mismatch', 'a1', '10.0.0.0'));
    expect(written).toHaveLength(101);
    await incidents.flush(1);
    expect(written.slice(101).reduce((sum, { count = 1 }) => sum + count, 101)).toBe(50_001);
  });

  it('shows each agent whose recovery code a stranger guesses, one after the other from one address', async () => {
    const { incidents, written } = start();
    for (const id of ['a1', 'a2', 'a1']) incidents.record(report('wrong_recovery_codes', id, '10.1.0.1'));
    expect(written).toMatchObject([
      { agentId: 'a1', address: '10.1.0.1' },
      { agentId: 'a2', address: '10.1.0.1' },
    ]);
    expect(written[0]?.block).not.toBe(written[1]?.block);
    await incidents.flush(1);
    expect(written.slice(2)).toMatchObject([{ agentId: 'a1', count: 1 }]);
  });

  it('counts what an agent with a proven key causes for that agent, apart from what strangers cause under its id', () => {
    const { incidents, written } = start();
    for (let i = 0; i < 1_000; i += 1)
      incidents.record(report('agent_key_mismatch', 'a1', `10.0.${i >> 8}.${i & 255}`));
    for (let i = 0; i < 5; i += 1) incidents.record(report('clone', 'a1', `10.1.0.${i}`));
    incidents.record(report('clone', 'a2', '10.1.0.1'));
    expect(written.filter(({ by }) => by === 'agent').map(({ kind, agentId }) => [kind, agentId])).toEqual([
      ['clone', 'a1'],
      ['clone', 'a2'],
    ]);
  });
});
