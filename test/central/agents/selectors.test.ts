import { describe, expect, it } from 'vitest';
import { parseLabelFilters, parseSelectors, resolveSelectors } from '../../../central/agents/selectors.ts';
import type { AgentRecord } from '../../../central/store/agent-store.ts';
import { matchesAgent, type AgentMatch } from '../../../central/store/agents/labels.ts';
import type { DetailedError } from '../../../shared/errors.ts';

const faultOf = (texts: readonly string[]): DetailedError => {
  try {
    parseSelectors(texts);
  } catch (error) {
    return error as DetailedError;
  }
  throw new Error('nothing was refused');
};

/** Agents `branch-1`, `branch-2`, ... of alternating regions; their ids are 64 digits. */
function storeOf(count: number) {
  const agents = Array.from({ length: count }, (_, i) => ({
    id: `${i}`.padStart(64, '0'),
    name: `branch-${i}`,
    labels: { region: i % 2 === 0 ? 'north' : 'south' },
    state: 'online' as const,
    offlineSince: null,
  })).toSorted((one, other) => (one.name < other.name ? -1 : 1));
  return {
    agents,
    select: async (matches: readonly AgentMatch[]) =>
      agents.filter((agent) => matches.some((match) => matchesAgent(match, agent))),
    findByReference: async (reference: string) =>
      agents
        .filter(({ id, name }) => id === reference || name === reference || id.startsWith(reference))
        .map((agent) => ({ ...agent, session: null }) as unknown as AgentRecord),
  };
}

describe('the grammar of selectors', () => {
  it('reads all, labels, names and references', () => {
    expect(parseSelectors(['all', 'ALL', 'label:region=north,tier!=test', 'name:branch-*', 'branch-7'])).toEqual([
      { kind: 'all' },
      { kind: 'all' },
      {
        kind: 'labels',
        terms: [
          { key: 'region', operator: '=', value: 'north' },
          { key: 'tier', operator: '!=', value: 'test' },
        ],
      },
      { kind: 'name', pattern: 'branch-*' },
      { kind: 'agent', reference: 'branch-7' },
    ]);
    expect(parseLabelFilters(['a/b.c_d-e=', 'x!=y'], () => ({ parameter: 'label' }))).toEqual([
      [{ key: 'a/b.c_d-e', operator: '=', value: '' }],
      [{ key: 'x', operator: '!=', value: 'y' }],
    ]);
  });

  it('takes no more than a hundred labels and patterns', () => {
    const patterns = Array.from({ length: 100 }, (_, i) => `name:branch-${i}*`);
    const agents = Array.from({ length: 800 }, (_, i) => `agent-${i}`);
    expect(parseSelectors([...patterns, ...agents])).toHaveLength(900);
    expect(faultOf([...patterns, 'label:a=b']).problem.entries).toMatchObject([{ pointer: '#/agents/100' }]);
  });

  it('names the place of each faulty selector, what was found there and what is allowed', () => {
    const fault = faultOf(['all', 'label:region', 'name:']);
    expect(fault).toMatchObject({ code: 'selector_invalid', status: 400 });
    expect(fault.message).toContain('"label:region"');
    expect(fault.problem.entries).toMatchObject([
      { pointer: '#/agents/1', found: 'label:region', allowed: ['KEY=VALUE', 'KEY!=VALUE'] },
      { pointer: '#/agents/2', found: 'name:' },
    ]);
  });

  it.each([
    '',
    'label:',
    'label:=north',
    'label:region=north,',
    'label:-a=b',
    'label:a-=b',
    'label:a=b c',
    'label:a==b',
    'label:a!b=c',
    `label:${'k'.repeat(64)}=v`,
    `label:k=${'v'.repeat(64)}`,
    `label:${Array.from({ length: 33 }, (_, i) => `k${i}=v`).join()}`,
    'name:a b',
    `name:${'*'.repeat(254)}`,
    'x'.repeat(4097),
  ])('refuses %j', (text) => {
    expect(faultOf([text])).toMatchObject({ code: 'selector_invalid' });
  });
});

describe('agents that selectors mean', () => {
  it('are the union of all, each once, in order of name', async () => {
    const store = storeOf(30);
    const found = await resolveSelectors(
      store,
      parseSelectors(['branch-9', 'branch-12', `${'0'.repeat(62)}10`, 'label:region=north']),
    );
    expect(found.map(({ name }) => name)).toEqual(
      store.agents
        .filter(({ name, labels }) => name === 'branch-9' || labels['region'] === 'north')
        .map(({ name }) => name),
    );
    expect(await resolveSelectors(store, parseSelectors(['all']))).toHaveLength(30);
  });

  it('are never none: no match is an error, and an unknown agent is named with its place', async () => {
    const store = storeOf(3);
    await expect(resolveSelectors(store, parseSelectors(['label:region=west', 'name:x*']))).rejects.toMatchObject({
      code: 'selector_empty',
      status: 422,
      message: 'No agent matches label:region=west, name:x*.',
    });
    await expect(resolveSelectors(store, [])).rejects.toMatchObject({ code: 'selector_empty' });
    await expect(resolveSelectors(store, parseSelectors(['all', 'unknown']))).rejects.toMatchObject({
      code: 'agent_unknown',
      status: 422,
      problem: { entries: [{ pointer: '#/agents/1', found: 'unknown' }] },
    });
    await expect(resolveSelectors(store, parseSelectors(['00000000']))).rejects.toMatchObject({
      code: 'agent_ambiguous',
      status: 409,
      problem: { members: { candidates: [{ name: 'branch-0' }, { name: 'branch-1' }, { name: 'branch-2' }] } },
    });
  });
});
