// What a token with a scope is answered where a service knows no scopes: sessions, and the problems of Central.
import { expect, test } from 'vitest';
import type { AdminServices } from '../../../../central/admin/services.ts';
import { agentRecord } from '../../fakes.ts';
import { startRest, type Rest } from '../rest.ts';

async function scopedHeaders(rest: Rest): Promise<Record<string, string>> {
  const body = { name: 'n', role: 'administrator', scope: 'label:region=north' };
  const made = (await (await rest.request('POST', '/api-tokens', { body })).json()) as { readonly token: string };
  return { authorization: `Bearer ${made.token}` };
}

test('a session of an agent outside of the scope does not lead to it', async () => {
  const sent: string[] = [];
  const messages = {
    online: (id: string) => ({ id, key: 1 }),
    async append(id: string) {
      sent.push(id);
      return [{ outcome: 'stored', number: 1 }];
    },
  } as unknown as AdminServices['messages'];
  const rest = await startRest(async () => ({ messages }));
  for (const region of ['north', 'south'])
    rest.agents.push({ ...agentRecord({ id: region, name: region }), labels: { region } });
  const headers = await scopedHeaders(rest);
  const send = async (id: string) =>
    (await rest.request('POST', `/agents/${id}/commands`, { as: null, headers, body: { type: 't' } })).status;
  expect([await send('north'), await send('south'), sent]).toEqual([202, 404, ['north']]);
});

test('the status has the codes of problems, and no details of them', async () => {
  const rest = await startRest(async () => ({
    approvals: {
      counts: async () => ({ pending: 2, most: 1000, blocks: [{ block: '192.0.2.0/24', pending: 2 }] }),
    } as unknown as AdminServices['approvals'],
  }));
  const subject = { kind: 'agent', id: 's1', name: 'south-1' } as const;
  const problem = { code: 'agent_inboxes_full', detail: 'of south-1', hint: 'see south-1', startedAt: 1, subject };
  rest.status.report = { ...rest.status.report, problems: [problem], advice: [problem] };
  const headers = await scopedHeaders(rest);
  const scoped = await rest.request('GET', '/status', { as: null, headers });
  const text = await scoped.text();
  expect(text).not.toMatch(/south|192\.0\.2/);
  expect(JSON.parse(text)).toMatchObject({
    problems: [{ code: 'agent_inboxes_full' }, { code: 'agent_inboxes_full' }],
    enrollmentRequests: { pendingCount: 0, blocks: [] },
  });
  const whole = await (await rest.request('GET', '/status')).json();
  expect(whole).toMatchObject({ problems: [{ detail: 'of south-1' }, {}], enrollmentRequests: { pendingCount: 2 } });
});
