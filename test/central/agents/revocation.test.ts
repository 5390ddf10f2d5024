import { describe, expect, it } from 'vitest';
import { createRevocations } from '../../../central/agents/revocation.ts';
import type { AgentRecord } from '../../../central/store/agent-store.ts';
import type { AuditEntry } from '../../../central/store/audit-store.ts';
import { fault } from '../fakes.ts';

const ACTOR = { who: 'the administrator', from: '192.0.2.7' };

function setUp(unknown = false) {
  const acts: string[] = [];
  const entries: AuditEntry[] = [];
  const revocations = createRevocations({
    agents: {
      get: async () => ({ id: 'a' }) as AgentRecord,
      revoke: async (_id, _revocation, audit) => {
        if (unknown) throw fault('agent_unknown', 404);
        acts.push('store');
        entries.push(audit);
        return 7;
      },
      remove: async (_id, audit) => {
        if (unknown) throw fault('agent_unknown', 404);
        acts.push('store');
        entries.push(audit);
        return {};
      },
    },
    certificates: { find: async () => undefined },
    sessions: {
      revoke: (id, epoch, reason) => void acts.push(`session ${id} ${epoch} ${reason}`),
      remove: (id) => void acts.push(`session ${id}`),
    },
    lists: { touch: () => void acts.push('touch'), refresh: async () => void acts.push('list') },
    log: { warn() {} },
    now: () => 1_000,
  });
  return { revocations, acts, entries };
}

describe('an agent that is revoked or removed', () => {
  it('is revoked in the store, loses its session, is in the audit log with who, why and on which ticket, and on the list', async () => {
    const { revocations, acts, entries } = setUp();
    await revocations.revoke('a', 'keyCompromise', { ...ACTOR, comment: 'stolen laptop', ticket: 'T-1' });
    expect(acts).toEqual(['store', 'session a 7 keyCompromise', 'touch', 'list']);
    expect(entries).toMatchObject([
      {
        at: 1_000,
        who: 'the administrator',
        from: '192.0.2.7',
        action: 'agents.revoke',
        comment: 'stolen laptop',
        ticket: 'T-1',
      },
    ]);
    expect(JSON.parse(entries[0]?.detail ?? '')).toEqual({ id: 'a', reason: 'keyCompromise' });
  });

  it('is removed in the same way', async () => {
    const { revocations, acts, entries } = setUp();
    await revocations.remove('a', ACTOR);
    expect(acts).toEqual(['store', 'session a', 'touch', 'list']);
    expect(entries).toMatchObject([{ who: 'the administrator', action: 'agents.delete', detail: '{"id":"a"}' }]);
  });

  it('that there is not changes nothing and leaves no entry', async () => {
    const { revocations, acts, entries } = setUp(true);
    await expect(revocations.revoke('x', 'keyCompromise', ACTOR)).rejects.toMatchObject({ code: 'agent_unknown' });
    await expect(revocations.remove('x', ACTOR)).rejects.toMatchObject({ code: 'agent_unknown' });
    expect([acts, entries]).toEqual([[], []]);
  });
});
