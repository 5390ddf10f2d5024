import { describe, expect, it } from 'vitest';
import { assertConfirmable, confirmTerms, readTerms } from '../../../central/change/confirm.ts';
import { isCoded } from '../../../shared/errors.ts';
import { agentsText, namesOf, type OnlineAgent } from '../../../central/change/agents.ts';

const agents = (count: number): OnlineAgent[] =>
  Array.from({ length: count }, (_, i) => ({
    agentId: `a-${i}`,
    name: `branch-${i}`,
    listener: 'wss',
    transport: 'wss',
    address: `192.0.2.${i}`,
    loopback: false,
    byKeyAlone: false,
    since: 0,
  }));
const actor = { who: 'an administrator', from: '192.0.2.1' };

/** May a change be confirmed that so many of these agents came back from? */
async function confirmable(share: number, total: number, back: number, force = false): Promise<boolean> {
  const terms = await confirmTerms({ share }, null, { online: async () => agents(total) });
  try {
    await assertConfirmable(terms, 0, { online: async () => agents(back) }, actor, force);
    return true;
  } catch (error) {
    if (!isCoded(error, 'share_not_met')) throw error;
    return false;
  }
}

describe('a change that has to be confirmed', () => {
  it.each([
    [0.9, 3, 3],
    [0.9, 10, 9],
    [0.7, 10, 7],
    [0.5, 3, 2],
    [0.1, 1, 1],
    [0.34, 3, 2],
    [1, 7, 7],
    [0.01, 5, 1],
  ])('needs its share rounded up: %d of %d agents are %d', async (share, total, needed) => {
    expect(await confirmable(share, total, needed)).toBe(true);
    expect(await confirmable(share, total, needed - 1)).toBe(false);
  });

  it('may be confirmed by force without its share, never over a connection from before', async () => {
    expect(await confirmable(1, 3, 0, true)).toBe(true);
    const terms = await confirmTerms({ share: 0 }, 'https', { online: async () => [] });
    const confirm = (listener: 'http' | 'https', connectedAt: number) =>
      assertConfirmable(terms, 100, { online: async () => [] }, { ...actor, via: { listener, connectedAt } }, true);
    await expect(confirm('https', 100)).rejects.toMatchObject({ code: 'confirm_over_new_connection' });
    await expect(confirm('http', 101)).rejects.toMatchObject({ code: 'confirm_over_new_connection' });
    await confirm('https', 101);
    await expect(
      assertConfirmable(terms, 100, { online: async () => [] }, actor, true),
      'without a connection',
    ).rejects.toMatchObject({ code: 'confirm_over_new_connection', parameters: { listener: 'HTTPS' } });
  });

  it('over the socket of this host counts as one over HTTP, which serves this host only', async () => {
    const none = { online: async () => [] };
    const via = { ...actor, via: { listener: 'local', connectedAt: 101 } } as const;
    await assertConfirmable(await confirmTerms({ share: 0 }, 'http', none), 100, none, via, false);
    await expect(
      assertConfirmable(await confirmTerms({ share: 0 }, 'https', none), 100, none, via, false),
    ).rejects.toMatchObject({ code: 'confirm_over_new_connection' });
  });

  it('names how many are back, how many are needed, and who is missing', async () => {
    const terms = await confirmTerms({ share: 1 }, null, { online: async () => agents(13) });
    await expect(assertConfirmable(terms, 0, { online: async () => agents(1) }, actor, false)).rejects.toMatchObject({
      parameters: {
        total: '13 agents',
        back: 1,
        needed: 13,
        names: `${Array.from({ length: 10 }, (_, i) => `branch-${i + 1}`).join(', ')} and 2 more`,
      },
    });
    expect([agentsText(1), agentsText(0), namesOf(agents(10)), namesOf(agents(2), 1)]).toEqual([
      '1 agent',
      '0 agents',
      agents(10)
        .map(({ name }) => name)
        .join(', '),
      'branch-0 and 1 more',
    ]);
  });

  it('counts no agent of this host, and asks for everything when its terms cannot be read', async () => {
    const [one, ...others] = agents(3);
    const terms = await confirmTerms({ share: 1 }, null, {
      online: async () => [{ ...one!, loopback: true }, ...others],
    });
    expect(terms.agents.map(({ id }) => id)).toEqual(['a-1', 'a-2']);
    expect(readTerms(JSON.stringify(terms))).toEqual(terms);
    for (const text of [
      '{"agents":1,"share":0}',
      '{"agents":[]}',
      '{"agents":[],"share":"0"}',
      '{"share":0}',
      '[]',
      '7',
    ])
      expect(readTerms(text), text).toEqual({ share: 1, agents: [], listener: 'https' });
  });
});
