import { describe, expect, it, onTestFinished } from 'vitest';
import { AUDIT_ACTIONS } from '../../../../central/audit.ts';
import type { AdminServices } from '../../../../central/admin/services.ts';
import { problemFault } from '../../../../central/problems.ts';
import { openSqliteStore } from '../../../../central/store/sqlite/sqlite-store.ts';
import { auditEntry, DAY } from '../../store/samples.ts';
import { startRest } from '../rest.ts';
import { temporaryFolder } from '../../../temporary-folder.ts';

const AT = Date.parse('2026-11-27T08:00:00Z');
const ENTRIES = [
  ['anna', 'agents.revoke', { id: 'branch-1' }],
  ['anna', 'agents.delete', { id: 'branch-2', name: 'Kiel [1]' }],
  ['ben', 'ca.export', { thumbprint: 'ff' }],
  ['central', 'ca.import', {}],
  ['ben', 'store.backup', {}],
] as const;

async function setUp() {
  const folder = temporaryFolder();
  const store = await openSqliteStore({ folder, deduplicationMs: DAY, onFailure: () => undefined });
  onTestFinished(async () => {
    await store.stop();
  });
  for (const [i, [who, action, detail]] of ENTRIES.entries())
    await store.audit.append(auditEntry(action, { who, detail: JSON.stringify(detail), at: AT + i * 60_000 }));
  const verify: AdminServices['auditVerification']['verify'] = async (head) => ({
    valid: head === undefined,
    entryCount: 5,
    head: 'f'.repeat(64),
    faults: head === undefined ? [] : [problemFault('audit_head_missing', { hash: head, entries: 5 })],
  });
  const rest = await startRest(async () => ({ audit: store.audit, auditVerification: { verify } }));
  const get = async (query: string) => (await (await rest.request('GET', `/audit?${query}`)).json()) as Page;
  return { rest, store, get, numbers: async (query: string) => (await get(query)).items.map(({ number }) => number) };
}

interface Page {
  readonly items: readonly { readonly number: number; readonly hash: string }[];
  readonly next: string | null;
  readonly head: string | null;
}

describe('GET /audit', () => {
  it('lists the entries newest first, page by page, with the hash of the newest', async () => {
    const { get } = await setUp();
    const first = await get('limit=2');
    expect(first.items).toMatchObject([{ number: 5 }, { number: 4, target: null }]);
    expect(first.head).toBe(first.items[0]?.hash);
    const second = await get(`limit=3&after=${first.next}`);
    expect(second.items).toMatchObject([
      { number: 3, actor: 'ben', action: 'ca.export', target: 'ff', detail: { thumbprint: 'ff' } },
      { number: 2, target: 'Kiel [1]' },
      { number: 1, createdAt: '2026-11-27T08:00:00.000Z', target: 'branch-1' },
    ]);
    expect(second).toMatchObject({ next: null, head: first.head });
  });

  it('filters by actor, action, target, number and time, with one * for any text', async () => {
    const { numbers, rest } = await setUp();
    expect(await numbers('actor=anna&actor=central')).toEqual([4, 2, 1]);
    expect(await numbers('action=ca.*&sort=number')).toEqual([3, 4]);
    expect(await numbers('target=branch-2')).toEqual([2]);
    expect(await numbers(`target=${encodeURIComponent('Kiel [1]')}`)).toEqual([2]);
    expect(await numbers('number=3')).toEqual([3]);
    expect(await numbers('createdAfter=2026-11-27T09:01:00%2B01:00&createdBefore=2026-11-27T08:03:00Z')).toEqual([
      3, 2,
    ]);
    expect(await numbers('action=nothing')).toEqual([]);
    for (const query of ['createdAfter=yesterday', 'action=*a*', 'number=0', 'sort=actor'])
      expect(await rest.request('GET', `/audit?${query}`)).toMatchObject({ status: 400 });
  });

  it('finds a text wherever an entry has it, and tells refusals from what was done', async () => {
    const { numbers, rest, store } = await setUp();
    const about = { who: 'unauthenticated', detail: '{"code":"key_conflict"}', at: AT, ticket: 'CHG-2231' };
    await store.audit.append(auditEntry('agents.refuse', about));
    await store.audit.append(auditEntry('api-tokens.forbid', { at: AT, comment: 'Grüße_100%' }));
    expect(await numbers('text=ANNA')).toEqual([2, 1]);
    expect(await numbers('text=kiel%20%5B1')).toEqual([2]);
    expect(await numbers('text=chg-22')).toEqual([6]);
    expect(await numbers('text=key_conflict')).toEqual([6]);
    expect(await numbers(`text=${encodeURIComponent('grüße_100%')}`)).toEqual([7]);
    expect(await numbers('text=%25')).toEqual([7]);
    expect(await numbers('result=refused')).toEqual([7, 6]);
    expect(await numbers('result=done&sort=number')).toEqual([1, 2, 3, 4, 5]);
    expect(await numbers('result=refused&text=anna')).toEqual([]);
    const refusals = Object.entries(AUDIT_ACTIONS).filter(([, action]) => 'by' in action && action.by === 'refusal');
    expect(refusals.map(([action]) => action)).toEqual(
      Object.keys(AUDIT_ACTIONS).filter((action) => /\.(?:refuse|forbid)$/.test(action)),
    );
    expect(await rest.request('GET', '/audit?result=any')).toMatchObject({ status: 400 });
  });

  it('gives the entries alone, one a line, to who accepts JSON lines', async () => {
    const { rest } = await setUp();
    const headers = { accept: 'application/x-ndjson' };
    const answer = await rest.request('GET', '/audit?sort=number&limit=2', { headers });
    expect(answer.headers.get('content-type')).toBe('application/x-ndjson; charset=utf-8');
    expect(answer.headers.get('link')).toContain('rel="next"');
    const lines = (await answer.text()).trim().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([{ number: 1 }, { number: 2 }]);
  });
});

it('POST /audit/verify answers with what is wrong', async () => {
  const { rest } = await setUp();
  const verify = async (body: unknown) => await (await rest.request('POST', '/audit/verify', { body })).json();
  expect(await verify({})).toEqual({ valid: true, entryCount: 5, head: 'f'.repeat(64), faults: [] });
  expect(await verify({ head: 'a'.repeat(64) })).toMatchObject({
    valid: false,
    faults: [{ code: 'audit_head_missing', detail: expect.stringContaining('aaaa'), hint: expect.any(String) }],
  });
});
