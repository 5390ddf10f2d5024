// What other nodes did to agents ends their sessions here.
import { describe, expect, it } from 'vitest';
import { Followers } from '../../../central/nodes/followers.ts';
import type { AgentRecord } from '../../../central/store/agent-store.ts';
import type { SharedChange } from '../../../central/store/nodes/node-store.ts';

const NOW = 1_000_000;

/** A node with an open session of the agent `a`, of epoch 5. */
function setUp(agent: Partial<AgentRecord> | undefined) {
  const acts: string[] = [];
  const session = {
    facts: { agentId: 'a', epoch: 5, sessionId: 's1' },
    end: ({ code }: { readonly code: string }) => void acts.push(code),
  };
  const record = { id: 'a', name: 'one', state: 'online', epoch: 5, quarantinedUntil: null, ...agent } as AgentRecord;
  const state = { agent: agent === undefined ? undefined : record, isOpen: true };
  const say =
    (act: string) =>
    (...given: unknown[]): void =>
      void acts.push([act, ...given].join(' '));
  const followers = new Followers({
    agents: { get: async () => state.agent },
    sessions: {
      of: (id: string) => (id === 'a' && state.isOpen ? session : undefined),
      each: (act: (one: unknown) => void) => act(session),
      notify: say('notify'),
      remove: say('remove'),
      rename: say('rename'),
      revoke: say('revoke'),
      disable: say('disable'),
      identityReplaced: say('replaced'),
    } as never,
    resourceChanges: { note: (...[collection, id]) => say('note')(collection, id) },
    revocationLists: { touch: say('touch') },
    parts: { keys: async () => say('keys')(), tokens: async () => say('tokens')() },
    now: () => NOW,
  });
  return { acts, state, followers };
}

const change = (subject: SharedChange['subject'], id: string, isDeleted = false): SharedChange => ({
  subject,
  id,
  isDeleted,
  labelsBefore: null,
});

describe('what another node did', () => {
  const ofAgents = async (agent: Partial<AgentRecord> | undefined, isDeleted = false): Promise<string[]> => {
    const { acts, followers } = setUp(agent);
    await followers.apply([change('agents', 'a', isDeleted)]);
    return acts;
  };

  it.each([
    [
      'revoked',
      { state: 'revoked', epoch: 6, revocation: { reason: 'keyCompromise' } },
      'touch,revoke a 6 keyCompromise',
    ],
    ['disabled', { state: 'disabled', epoch: 6 }, 'disable a 6'],
    ['given another key', { epoch: 6, session: { session: 's1' } }, 'replaced a'],
    ['connected there', { epoch: 6, session: { session: 's2' } }, 'superseded'],
    ['quarantined', { quarantinedUntil: NOW + 9_000 }, 'rename a one,quarantined'],
    ['renamed', { name: 'other' }, 'rename a other'],
    ['connected here again meanwhile', { epoch: 4 }, ''],
    ['deleted', undefined, 'remove a,touch'],
  ])('to an agent that was %s', async (_, agent, acts) => {
    expect((await ofAgents(agent as Partial<AgentRecord>)).join()).toBe([acts, 'note agents a'].filter(Boolean).join());
  });

  it('deletes an agent at once', async () => {
    expect(await ofAgents({}, true)).toEqual(['remove a', 'touch', 'note agents a']);
  });

  it('is looked at again when a session opens while it arrives', async () => {
    const { acts, state, followers } = setUp({ state: 'disabled', epoch: 6 });
    state.isOpen = false;
    await followers.apply([change('agents', 'a')]);
    expect(acts).toEqual(['note agents a']);
    state.isOpen = true;
    followers.onOpened({ facts: { agentId: 'a' } });
    await Promise.resolve();
    await Promise.resolve();
    expect(acts).toEqual(['note agents a', 'disable a 6']);
  });

  it('is applied in each part once, and behind the sessions', async () => {
    const { acts, followers } = setUp({});
    await followers.apply([
      change('keys', 'server'),
      change('commands', 'a'),
      change('keys', 'authority'),
      change('tasks', 't-1'),
    ]);
    expect(acts).toEqual(['notify a', 'keys', 'note tasks t-1']);
  });

  it('is read again as a whole where changes were missed', async () => {
    const { acts, followers } = setUp({ epoch: 6, session: { session: 's2' } as never });
    await followers.applyAll();
    expect(acts).toEqual(['superseded', 'notify a', 'keys', 'tokens']);
  });
});
