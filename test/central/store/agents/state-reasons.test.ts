import { describe, expect, it } from 'vitest';
import { keptReason, readReason, stateReason, STATE_CAUSES } from '../../../../central/store/agents/state-reasons.ts';
import { REFUSALS, refusal } from '../../../../shared/wire/refusals.ts';

const AGENT = { id: 'f3a78fd73d2f4944', name: 'branch-0042' };

describe('the reason of a state', () => {
  it('is kept as one text, and read with code, detail and hint', () => {
    const kept = stateReason('session_opened', { transport: 'wss', address: '192.0.2.7' });
    expect(kept).toBe('session_opened: Connected over wss from 192.0.2.7.');
    expect(readReason(kept, AGENT)).toEqual({
      code: 'session_opened',
      detail: 'Connected over wss from 192.0.2.7.',
      hint: STATE_CAUSES.session_opened.hint,
    });
  });

  it('may be a refusal, whose hint names the agent', () => {
    const found = readReason(keptReason(refusal('agent_name_taken', { name: 'other' })), AGENT);
    expect(found).toMatchObject({
      code: 'agent_name_taken',
      detail: refusal('agent_name_taken', { name: 'other' }).message,
    });
    expect(found.hint).toContain('recovery-code create branch-0042"');
  });

  it.each([
    'connected over wss from 192.0.2.7',
    'heartbeat_lost',
    'disabled by admin: theft',
    'closed by the agent: 1000',
    'constructor: x',
    ': x',
    '',
  ])('that an older version wrote (%j) has no code', (detail) => {
    expect(readReason(detail, AGENT)).toEqual({ code: null, detail, hint: null });
  });

  it('has a hint without placeholders that nothing fills, whatever ended the session', () => {
    for (const code of [...Object.keys(REFUSALS), ...Object.keys(STATE_CAUSES)])
      expect(readReason(`${code}: x`, AGENT).hint).not.toMatch(/[{}]/);
  });

  it('is bounded', () => {
    expect(stateReason('session_closed', { found: 'x'.repeat(5_000) }).length).toBeLessThan(1_100);
  });
});
