import { describe, expect, it } from 'vitest';
import { AgentAmbiguous, findAgent, findAgentId } from '../../../central/agents/lookup.ts';
import type { AgentRecord } from '../../../central/store/agent-store.ts';

const agent = (id: string, name: string): AgentRecord => ({ id, name }) as AgentRecord;

function store(found: readonly AgentRecord[], left: readonly string[] = []) {
  const limits: number[] = [];
  return {
    limits,
    findByReference: async (_reference: string, limit: number) => {
      limits.push(limit);
      return found.slice(0, limit);
    },
    hasLeftRecords: async (id: string) => left.includes(id),
  };
}

describe('a reference to an agent', () => {
  it('is the one agent that fits it', async () => {
    const [one] = [agent('aa11', 'branch-1')];
    expect(await findAgent(store([one]), 'branch-1')).toBe(one);
    expect(await findAgentId(store([one]), 'branch-1')).toBe('aa11');
  });

  it('is refused when no agent fits', async () => {
    await expect(findAgent(store([]), 'x')).rejects.toMatchObject({ code: 'agent_unknown' });
    await expect(findAgentId(store([]), 'x')).rejects.toMatchObject({ code: 'agent_unknown' });
  });

  it('is refused when several fit, with ten candidates at most, by id and name only', async () => {
    const many = Array.from({ length: 20 }, (_, i) => agent(`aa${i}`, `n${i}`));
    const port = store(many);
    const refused = await findAgent(port, 'aa').catch((error: unknown) => error);
    expect(refused).toBeInstanceOf(AgentAmbiguous);
    expect((refused as AgentAmbiguous).candidates).toEqual(many.slice(0, 10).map(({ id, name }) => ({ id, name })));
    await expect(findAgentId(store(many), 'aa')).rejects.toMatchObject({ code: 'agent_ambiguous' });
    expect(port.limits).toEqual([10]);
  });
});

describe('a filter by an agent', () => {
  it('finds an agent that was removed by its whole id as long as it has left records', async () => {
    expect(await findAgentId(store([], ['gone']), 'gone')).toBe('gone');
  });

  it('means the removed one when its id is only the beginning of the id of another', async () => {
    expect(await findAgentId(store([agent('gone2', 'b')], ['gone']), 'gone')).toBe('gone');
  });

  it('may mean both when its id is the name of another, in whatever case', async () => {
    const refused = await findAgentId(store([agent('aa11', 'GONE')], ['gone']), 'gone').catch(
      (error: unknown) => error,
    );
    expect((refused as AgentAmbiguous).candidates).toEqual([
      { id: 'aa11', name: 'GONE' },
      { id: 'gone', name: '(removed)' },
    ]);
  });

  it('means the agent whose whole id it is, whatever a removed one has left', async () => {
    expect(await findAgentId(store([agent('gone', 'b'), agent('gone2', 'c')], ['gone']), 'gone')).toBe('gone');
  });
});
