import { expect, it } from 'vitest';
import { cutOffJson, notice } from '../../../central/change/report.ts';

it('counts all agents that a change would cut off, and lists a thousand', () => {
  const agents = Array.from({ length: 1_200 }, (_, i) => {
    return { id: `id-${i}`, name: `n-${i}`, reason: 'offline', detail: 'It is offline.' } as const;
  });
  const { count, items } = cutOffJson(agents);
  expect([count, items.length]).toEqual([1_200, 1_000]);
  const [address, hint] = [null, null];
  expect(items[7]).toEqual({
    agent: { id: 'id-7', name: 'n-7' },
    address,
    reason: 'offline',
    detail: 'It is offline.',
    hint,
  });
});

it('says a notice by its code, with its placeholders filled', () => {
  expect(notice('agents_above_maximum', { count: '3 agents' })).toEqual({
    code: 'agents_above_maximum',
    detail: '3 agents are online, more than agents.max would be; no session ends, but they reconnect more slowly.',
  });
});
