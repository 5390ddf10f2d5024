// Wherever REST takes an agent, one rule says which one is meant.
import { describe, expect, test } from 'vitest';
import { describedOperations, operationOf } from '../../../central/admin/openapi/document.ts';
import { agentRecord } from '../fakes.ts';
import { startRest, type Rest } from './rest.ts';
import { cursorAt } from '../../event-cursors.ts';

const FULL = 'f3a78fd73d2f494473fbe30c8a61dd3b';

async function withAgents(): Promise<Rest> {
  const made: string[] = [];
  const recoveries = {
    get: async () => ({ hash: '', createdAt: 0, createdBy: 'x', expiresAt: 0, usedBy: null }),
    remove: async () => undefined,
    make: async (id: string) => ({
      agent: agentRecord({ name: 'n', id }),
      code: `code ${made.push(id)}`,
      expiresAt: 0,
    }),
  };
  const rest = await startRest(async () => ({ recoveries }));
  rest.agents.push(
    agentRecord({ name: 'Branch.One', id: FULL }),
    agentRecord({ name: 'two', id: 'abcdef0123' }),
    agentRecord({ name: 'three', id: 'abcdef01ff' }),
    agentRecord({ name: 'odd', id: 'a/b?c%2Fd e\u{1f600}' }),
    // From before there were rules: its id is the name of another agent.
    agentRecord({ name: 'thief', id: 'branch.one' }),
  );
  return rest;
}

const ROUTES = [
  ['GET', (agent: string) => `/agents/${agent}`, undefined],
  ['POST', (agent: string) => `/agents/${agent}/revoke`, {}],
  ['POST', (agent: string) => `/agents/${agent}/recovery-code`, {}],
  ['POST', (agent: string) => `/agents/${agent}/commands`, { type: 't' }],
  ['GET', (agent: string) => `/events?agent=${agent}`, undefined],
  ['GET', (agent: string) => `/incidents?agent=${agent}`, undefined],
  ['GET', (agent: string) => `/dead-letters?agent=${agent}`, undefined],
  ['GET', (agent: string) => `/commands?agent=${agent}`, undefined],
  ['DELETE', (agent: string) => `/agents/${agent}`, undefined],
] as const;

describe.each(ROUTES.map(([method, path, body]) => [`${method} ${path('AGENT')}`, method, path, body] as const))(
  '%s',
  (_title, method, path, body) => {
    const ask = (rest: Rest, word: string) =>
      rest.request(method, path(encodeURIComponent(word)), body === undefined ? {} : { body });

    test('takes an id, a name in any case, and a beginning of an id that fits one agent', async () => {
      for (const word of [
        FULL,
        'Branch.One',
        'BRANCH.ONE',
        FULL.slice(0, 8),
        'TWO',
        'abcdef012',
        'a/b?c%2Fd e\u{1f600}',
      ]) {
        expect([word, (await ask(await withAgents(), word)).status < 300]).toEqual([word, true]);
      }
    });

    test('says 404 for a word that fits none, and 409 with the candidates for one that fits several', async () => {
      const rest = await withAgents();
      for (const word of ['no-such', FULL.slice(0, 7), `${FULL}0`, '%2e%2e', 'a%2Fb']) {
        const response = await ask(rest, word);
        expect([word, response.status, await response.json()]).toMatchObject([
          word,
          404,
          { type: 'urn:queuegate:error:agent_unknown', detail: expect.stringContaining(word) },
        ]);
      }
      const ambiguous = await ask(rest, 'abcdef01');
      expect([ambiguous.status, await ambiguous.json()]).toMatchObject([
        409,
        {
          type: 'urn:queuegate:error:agent_ambiguous',
          candidates: [
            { id: 'abcdef0123', name: 'two' },
            { id: 'abcdef01ff', name: 'three' },
          ],
        },
      ]);
      expect(rest.agents).toHaveLength(5);
      expect([rest.sent, rest.revoked]).toEqual([[], []]);
    });
  },
);

// Those above show what is found; every other route that names an agent has to follow the same rule. Rollouts, which
// are absent here, find it by the same service.
test.each(describedOperations().filter((key) => key.includes('{agent}') && !key.includes('/profile')))(
  '%s names its agent by the same rule',
  async (key) => {
    const [method = '', path = ''] = key.split(' ');
    const { example = {} } = operationOf(key) ?? {};
    const rest = await withAgents();
    const query = new URLSearchParams(example.query).toString();
    for (const [word, status, code] of [
      ['no-such', 404, 'agent_unknown'],
      ['abcdef01', 409, 'agent_ambiguous'],
    ] as const) {
      const target = `${path.replace('{agent}', word)}${query === '' ? '' : `?${query}`}`;
      const response = await rest.request(method, target, example.body === undefined ? {} : { body: example.body });
      expect([target, response.status, await response.json()]).toMatchObject([target, status, { code }]);
    }
  },
);

test('an exact id is meant before a name: an old record is reached by its full id', async () => {
  const rest = await withAgents();
  expect(await (await rest.request('GET', '/agents/branch.one')).json()).toMatchObject({
    id: 'branch.one',
    name: 'thief',
  });
  expect(await (await rest.request('GET', '/agents/Branch.One')).json()).toMatchObject({ id: FULL });
});

test('at most ten candidates are named', async () => {
  const rest = await startRest();
  for (let i = 0; i < 30; i += 1) rest.agents.push(agentRecord({ name: `n${i}`, id: `0123456789-${i}` }));
  const { candidates } = (await (await rest.request('GET', '/agents/01234567')).json()) as { candidates: unknown[] };
  expect(candidates).toHaveLength(10);
});

test('what a removed agent has left is found by its full id', async () => {
  const rest = await withAgents();
  rest.events.push('removed-agent', { id: '1', source: '/s', type: 't' });
  expect(await (await rest.request('GET', '/events?agent=removed-agent')).json()).toMatchObject({
    items: [{ cursor: cursorAt(1) }],
  });
  expect((await rest.request('GET', '/events?agent=removed-')).status).toBe(404);
  expect((await rest.request('GET', '/agents/removed-agent')).status).toBe(404);
});

test('what a removed agent has left is not taken for that of an agent whose id begins so, and whose name it is now is ambiguous', async () => {
  const rest = await withAgents();
  rest.agents.push(agentRecord({ name: 'other', id: 'removed-agent-2' }));
  rest.events.push('removed-agent-2', { id: '1', source: '/s', type: 't' });
  rest.events.push('removed-agent', { id: '2', source: '/s', type: 't' });
  expect(await (await rest.request('GET', '/events?agent=removed-agent')).json()).toMatchObject({
    items: [{ cursor: cursorAt(2), agentId: 'removed-agent' }],
  });
  rest.agents.push(agentRecord({ name: 'removed-agent', id: 'its-successor' }));
  const ambiguous = await rest.request('GET', '/events?agent=removed-agent');
  expect([ambiguous.status, await ambiguous.json()]).toMatchObject([
    409,
    { candidates: [{ id: 'its-successor' }, { id: 'removed-agent' }] },
  ]);
  // The agent that there is now.
  expect(await (await rest.request('GET', '/agents/removed-agent')).json()).toMatchObject({ id: 'its-successor' });
});

test('advice is among the problems of the status, and Central is healthy with it', async () => {
  const rest = await startRest();
  const subject = { kind: 'agent', id: 'a1', name: 'branch-1' } as const;
  const [about, whole] = [
    { code: 'a', detail: 'b', hint: 'c', startedAt: 1_000, subject },
    { code: 'd', detail: 'e', hint: 'f', startedAt: 1_000 },
  ];
  rest.status.report = { ...rest.status.report, advice: [about, whole] };
  const startedAt = '1970-01-01T00:00:01.000Z';
  expect(await (await rest.request('GET', '/status')).json()).toMatchObject({
    problems: [
      { ...about, startedAt },
      { ...whole, startedAt, subject: null },
    ],
  });
  expect((await rest.request('GET', '/health/ready', { as: null })).status).toBe(200);
});
