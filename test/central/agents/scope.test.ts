// Scopes of API tokens: what their grammar is, which contains which, and the registry within one.
import { describe, expect, it } from 'vitest';
import { AgentDirectory } from '../../../central/agents/directory.ts';
import { isInScope, isVisible, isWithin, keepsScope, parseScope } from '../../../central/agents/scope.ts';
import type { AgentCounts, AgentRecord } from '../../../central/store/agent-store.ts';
import { matchesAgent, type AgentMatch, type LabelTerm } from '../../../central/store/agents/labels.ts';
import { agentRecord } from '../fakes.ts';

const NORTH = parseScope('label:region=north,tier!=test');

describe('a scope', () => {
  it('is a selector of labels, and nothing else', () => {
    expect(NORTH.terms).toHaveLength(2);
    for (const text of ['all', 'region=north', 'name:branch-*', 'branch-1', 'label:', 'label:region'])
      expect(() => parseScope(text)).toThrow(expect.objectContaining({ code: 'selector_invalid', status: 400 }));
  });

  it('has the agents for which all of its terms hold; one without labels is in none that names a value', () => {
    expect(isInScope(NORTH, { labels: { region: 'north' } })).toBe(true);
    expect(isInScope(NORTH, { labels: { region: 'north', tier: 'test' } })).toBe(false);
    expect(isInScope(NORTH, { labels: { region: 'south' } })).toBe(false);
    expect(isInScope(NORTH, { labels: {} })).toBe(false);
  });

  it.each([
    ['label:region=north,tier!=test', true],
    ['label:region=north,tier!=test,floor=1', true],
    // Equal to another value: it is not that one.
    ['label:region=north,tier=gold', true],
    ['label:region=north', false],
    ['label:region=north,tier=test', false],
    ['label:region!=south,tier!=test', false],
    ['label:region=south,tier!=test', false],
  ])('contains %s: %s', (text, expected) => {
    expect(isWithin(parseScope(text), NORTH)).toBe(expected);
    expect(isVisible(NORTH, { scope: text })).toBe(expected);
  });

  it('contains no token for all agents, which contains every scope', () => {
    expect([isWithin(null, NORTH), isWithin(NORTH, null), isWithin(null, null)]).toEqual([false, true, true]);
    expect([isVisible(NORTH, { scope: null }), isVisible(null, { scope: null })]).toEqual([false, true]);
  });

  it('is kept by a change of labels that leaves its terms true', () => {
    for (const change of [{}, { floor: '2' }, { region: 'north' }, { tier: null }, { tier: 'gold' }])
      expect([change, keepsScope(NORTH, change)]).toEqual([change, true]);
    for (const change of [{ region: 'south' }, { region: null }, { tier: 'test' }, null])
      expect([change, keepsScope(NORTH, change)]).toEqual([change, false]);
  });
});

/** `north` and `south` in turn; ids that begin alike. */
function directoryOf() {
  const agents = ['north', 'south', 'north', 'south'].map((region, i): AgentRecord => ({
    ...agentRecord({ id: `abcdef0${i}${'0'.repeat(56)}`, name: `${region}-${i}` }),
    labels: { region },
  }));
  const picked = (matches: readonly AgentMatch[]) =>
    agents.filter((agent) => matches.some((match) => matchesAgent(match, agent)));
  const store = {
    findByReference: async (reference: string, limit: number) => {
      const exact = agents.filter(({ id, name }) => id === reference || name === reference.toLowerCase());
      return exact.length > 0 ? exact : agents.filter(({ id }) => id.startsWith(reference)).slice(0, limit);
    },
    count: async () => ({
      agents: 0,
      states: {} as AgentCounts['states'],
      transports: { ws: 0, wss: 0 },
      versions: [],
      releases: [],
    }),
    hasLeftRecords: async () => true,
    labelsOf: async (ids: readonly string[]) =>
      agents.filter(({ id }) => ids.includes(id)).map(({ id, labels }) => [id, labels] as const),
    list: async ({ labels = [[]] }: Parameters<AgentDirectory['list']>[0]) =>
      picked(labels.map((terms) => ({ kind: 'labels', terms }))),
    select: async (matches: readonly AgentMatch[], within: readonly LabelTerm[] = []) =>
      picked(matches)
        .filter((agent) => matchesAgent({ kind: 'labels', terms: within }, agent))
        .map((agent) => ({ ...agent, offlineSince: null })),
    selectIds: async (matches: readonly AgentMatch[]) => picked(matches).map(({ id }) => id),
    consumersOf: async () => undefined,
    history: async () => [],
    incidents: async () => [],
  };
  return { agents, directory: new AgentDirectory(store).within(parseScope('label:region=north')) };
}

describe('the registry within a scope', () => {
  it('finds an agent by id, name and the beginning of its id, as if there were no other agents', async () => {
    const { agents, directory } = directoryOf();
    const [first, other, third] = agents;
    for (const reference of [first?.id ?? '', 'NORTH-0', `abcdef00`])
      expect((await directory.find(reference)).id).toBe(first?.id);
    for (const reference of [other?.id ?? '', 'south-1', 'abcdef01', 'nothing'])
      await expect(directory.find(reference)).rejects.toMatchObject({ code: 'agent_unknown', status: 404 });
    await expect(directory.find('abcdef0')).rejects.toMatchObject({ code: 'agent_unknown' });
    // A deleted agent with records has no labels.
    await expect(directory.findId('f'.repeat(64))).rejects.toMatchObject({ code: 'agent_unknown' });
    expect(await directory.findId(third?.id ?? '')).toBe(third?.id);
  });

  it('lists and selects its agents only, whatever labels are asked for', async () => {
    const { directory } = directoryOf();
    const names = (found: readonly { readonly name: string }[]) => found.map(({ name }) => name);
    expect(names(await directory.list({ limit: 9 }))).toEqual(['north-0', 'north-2']);
    const south = [{ key: 'region', operator: '=', value: 'south' }] as const;
    expect(names(await directory.list({ limit: 9, labels: [south, []] }))).toEqual(['north-0', 'north-2']);
    expect(names(await directory.select(['all']))).toEqual(['north-0', 'north-2']);
    expect(names(await directory.select(['name:*-0', 'label:region=south']))).toEqual(['north-0']);
    await expect(directory.select(['label:region=south'])).rejects.toMatchObject({ code: 'selector_empty' });
    await expect(directory.select(['all', 'south-1'])).rejects.toMatchObject({ code: 'agent_unknown', status: 422 });
    expect(await directory.idsWith([south])).toEqual(new Set());
  });

  it('passes records of its agents, and none of deleted agents or without an agent', async () => {
    const { agents, directory } = directoryOf();
    const records = [...agents.map(({ id }) => id), 'deleted', null];
    expect(await directory.fitting(records, (id) => id)).toEqual([agents[0]?.id, agents[2]?.id]);
    expect(await directory.within(null).fitting(records, (id) => id)).toEqual(records);
  });
});
