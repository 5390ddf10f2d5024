import { describe, expect, it } from 'vitest';
import { DetailedError } from '../../../../shared/errors.ts';
import { CHANGE, FORCE, NO_TERMS, REASON, SWAP, termsFrom } from '../../../../central/admin/changes/terms.ts';
import { startRest } from '../rest.ts';

function entriesOf(act: () => unknown): unknown {
  try {
    act();
    return [];
  } catch (error) {
    return error instanceof DetailedError ? error.problem.entries : error;
  }
}

describe('the terms of an act', () => {
  it('are read from the query, a confirmation with nine agents in ten unless it says otherwise', () => {
    expect(termsFrom(CHANGE({ dryRun: 'true', force: '0', confirmWithinSeconds: '60', ticket: 'T-1' }))).toEqual({
      dryRun: true,
      force: false,
      ticket: 'T-1',
      comment: undefined,
      confirm: { withinSeconds: 60, share: 0.9 },
    });
    expect(termsFrom(SWAP({ stage: 'true', confirmWithinSeconds: '5', confirmShare: '0' }))).toMatchObject({
      stage: true,
      confirm: { withinSeconds: 5, share: 0 },
    });
    expect(termsFrom(REASON({}))).toEqual({});
  });

  it('are refused where an act does not have them', () => {
    expect(entriesOf(() => FORCE({ dryRun: 'true' }))).toEqual([
      {
        parameter: 'dryRun',
        detail: 'dryRun is unknown; allowed: force, comment, ticket.',
        allowed: ['force', 'comment', 'ticket'],
        found: 'true',
      },
    ]);
    expect(entriesOf(() => NO_TERMS({ comment: 'x' }))).toMatchObject([{ parameter: 'comment', allowed: [] }]);
  });

  it('have bounds: in bytes for texts, and no share without a time', () => {
    expect(
      entriesOf(() => termsFrom({ comment: 'é'.repeat(513), ticket: 'x'.repeat(129), confirmShare: 0.5 })),
    ).toMatchObject([
      { parameter: 'comment', detail: 'comment has 1026 bytes; allowed: 1024.' },
      { parameter: 'ticket' },
      { parameter: 'confirmShare', detail: 'confirmShare has no effect without confirmWithinSeconds.' },
    ]);
    expect(entriesOf(() => termsFrom({ comment: 'é'.repeat(512), ticket: 'x'.repeat(128) }))).toEqual([]);
  });

  it('leave the reason of every act in the audit log', async () => {
    const rest = await startRest();
    const created = await rest.request('POST', '/api-tokens?comment=for+the+shop&ticket=T-7', {
      body: { name: 'shop', role: 'viewer' },
    });
    expect(created.status).toBe(201);
    expect(rest.store.audit.entries.at(-1)).toMatchObject({
      action: 'api-tokens.create',
      comment: 'for the shop',
      ticket: 'T-7',
    });
    const { id } = (await created.json()) as { id: string };
    await rest.request('DELETE', `/api-tokens/${id}?comment=closed`);
    expect(rest.store.audit.entries.at(-1)).toMatchObject({ action: 'api-tokens.delete', comment: 'closed' });
  });
});
