// The agents that a rotation waits for, as a list with pages, and the counts beside it.
import { expect, test } from 'vitest';
import type { AdminServices } from '../../../../central/admin/services.ts';
import type { NamedAgent } from '../../../../central/pki/rotation/progress.ts';
import { startRest } from '../rest.ts';

type Page = { readonly items: readonly { readonly agent: { readonly name: string } }[]; readonly next: string | null };

async function start() {
  const agent = (name: string, why: NamedAgent['why']): NamedAgent => ({
    id: `id-${name}`,
    name,
    why,
    text: `${name} is ${why}.`,
    since: why === 'offline' ? 0 : null,
  });
  const missing = [agent('c', 'offline'), agent('a', 'refused'), agent('b', 'awaiting-ack')];
  const rest = await startRest(
    async () =>
      ({
        rotation: {
          status: async () => ({
            phase: 'published',
            since: 0,
            next: 'Wait.',
            change: null,
            trust: { registered: 9, acknowledged: 5, unencrypted: 1, missing },
            issued: { renewed: 7, others: [agent('a', 'certificate-missing')] },
          }),
        },
      }) as unknown as Partial<AdminServices>,
  );
  const list = async (query: string): Promise<Page> =>
    (await (await rest.request('GET', `/ca/rotation/agents?${query}`)).json()) as Page;
  return { rest, list, missing };
}

const names = ({ items }: Page): string[] => items.map(({ agent: { name } }) => name);

test('the rotation has its phase, the next step and counts; the agents are a list of their own', async () => {
  const { rest, list } = await start();
  expect(await (await rest.request('GET', '/ca/rotation')).json()).toEqual({
    phase: 'published',
    phaseChangedAt: '1970-01-01T00:00:00.000Z',
    next: 'Wait.',
    change: null,
    trust: { registeredCount: 9, acknowledgedCount: 5, unencryptedCount: 1, missingCount: 3 },
    certificates: { renewedCount: 7, missingCount: 1 },
    profiles: [],
  });
  const all = await list('');
  expect(names(all)).toEqual(['a', 'a', 'b', 'c']);
  expect(all).toMatchObject({
    items: [
      { agent: { id: 'id-a', name: 'a' }, reason: 'certificate-missing', detail: 'a is certificate-missing.' },
      { reason: 'refused', startedAt: null },
      {},
      { reason: 'offline', startedAt: '1970-01-01T00:00:00.000Z' },
    ],
    next: null,
  });
  expect(names(await list('reason=offline'))).toEqual(['c']);
});

test('a page goes on after its last agent, also when that one is ready by then; a wrong reason names the right ones', async () => {
  const { rest, list, missing } = await start();
  const first = await list('limit=3');
  expect(names(first)).toEqual(['a', 'a', 'b']);
  missing.pop();
  expect(names(await list(`limit=3&after=${first.next}`))).toEqual(['c']);
  const refused = await rest.request('GET', '/ca/rotation/agents?reason=other');
  expect(refused.status).toBe(400);
  expect(await refused.json()).toMatchObject({
    errors: [
      { parameter: 'reason', allowed: ['offline', 'refused', 'awaiting-ack', 'unsupported', 'certificate-missing'] },
    ],
  });
});
