import { describe, expect, it } from 'vitest';
import { ResourceChanges, WATCHED } from '../../../central/watching/resource-changes.ts';

const ALL = new Set(WATCHED);
const never = new AbortController().signal;

describe('the changes behind a position', () => {
  it('come together, and each resource once, at its last change', () => {
    const changes = new ResourceChanges();
    const before = changes.newest();
    changes.note('agents', 'a', { labelsBefore: {} });
    changes.note('agents', 'b');
    changes.note('rollouts', 'r-1');
    changes.note('agents', 'a', { isDeleted: true, labelsBefore: { region: 'north' } });
    const found = changes.read(before, ALL, 100);
    expect(found).toEqual({
      changes: [
        { collection: 'agents', id: 'b', isDeleted: false, labelsBefore: [] },
        { collection: 'rollouts', id: 'r-1', isDeleted: false, labelsBefore: [] },
        { collection: 'agents', id: 'a', isDeleted: true, labelsBefore: [{}, { region: 'north' }] },
      ],
      next: changes.newest(),
    });
    expect(changes.read(changes.newest(), ALL, 100)).toEqual({ changes: [], next: changes.newest() });
  });

  it('are those of the collections that are wanted, in parts of any size', () => {
    const changes = new ResourceChanges();
    const ids: string[] = [];
    let at = changes.newest();
    for (let i = 0; i < 10; i += 1) {
      changes.note('agents', `a${i}`);
      changes.note('parameters', 'agents.max');
    }
    for (;;) {
      const part = changes.read(at, new Set(['agents'] as const), 3);
      ids.push(...(part?.changes ?? []).map(({ id }) => id));
      at = part?.next ?? '';
      if (part?.changes.length !== 3) break;
    }
    expect(ids).toEqual(Array.from({ length: 10 }, (_, i) => `a${i}`));
    expect(at).toBe(changes.newest());
  });

  it('keeps so many of the last changes, and says that it knows no more', () => {
    const changes = new ResourceChanges({ kept: 10 });
    const start = changes.newest();
    for (let i = 0; i < 19; i += 1) changes.note('agents', `a${i}`);
    expect(changes.read(start, ALL, 100)?.changes).toHaveLength(19);
    const later = changes.newest();
    changes.note('agents', 'last');
    expect(changes.read(start, ALL, 100)).toBeUndefined();
    expect(changes.read(later, ALL, 100)?.changes).toMatchObject([
      { collection: 'agents', id: 'last', isDeleted: false },
    ]);
    for (let i = 0; i < 1000; i += 1) changes.note('agents', `b${i}`);
    const [run, number] = changes.newest().split('-');
    expect(changes.read(`${run}-${Number(number) - 10}`, ALL, 100)?.changes).toHaveLength(10);
    expect(changes.read(`${run}-${Number(number) - 20}`, ALL, 100)).toBeUndefined();
  });

  it('keeps so many labels that agents had before', () => {
    const changes = new ResourceChanges();
    const labelsBefore = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`l${i}`, '']));
    const start = changes.newest();
    for (let i = 0; i < 4_999; i += 1) changes.note('agents', `a${i}`, { labelsBefore });
    expect(changes.read(start, ALL, 10_000)?.changes).toHaveLength(4_999);
    changes.note('agents', 'last', { labelsBefore });
    expect(changes.read(start, ALL, 10_000)).toBeUndefined();
    const [run, number] = changes.newest().split('-');
    expect(changes.read(`${run}-${Number(number) - 2_500}`, ALL, 10_000)?.changes).toHaveLength(2_500);
    for (let i = 0; i < 2_499; i += 1) changes.note('agents', `a${i}`, { labelsBefore });
    expect(changes.read(`${run}-${Number(number) - 2_500}`, ALL, 10_000)?.changes).toHaveLength(4_999);
  });

  it('are not known of another run, nor behind a position that does not exist', () => {
    const changes = new ResourceChanges();
    changes.note('agents', 'a');
    expect(changes.read(new ResourceChanges().newest(), ALL, 100)).toBeUndefined();
    expect(changes.read(`${changes.newest()}0`, ALL, 100)).toBeUndefined();
    expect(changes.read('x', ALL, 100)).toBeUndefined();
  });
});

describe('who waits for changes', () => {
  it('is woken once for those that happen close together, and at once when there is one already', async () => {
    const changes = new ResourceChanges({ gatherMs: 20 });
    const before = changes.newest();
    let woken = 0;
    const waiting = changes.wait(before, never).then(() => (woken += 1));
    changes.note('agents', 'a');
    changes.note('agents', 'b');
    await Promise.resolve();
    expect(woken).toBe(0);
    await waiting;
    expect(changes.read(before, ALL, 100)?.changes).toHaveLength(2);
    await changes.wait(before, never);
  });

  it('is woken when it leaves', async () => {
    const changes = new ResourceChanges();
    const leaving = new AbortController();
    const waiting = changes.wait(changes.newest(), leaving.signal);
    leaving.abort();
    await expect(waiting).resolves.toBeUndefined();
    await expect(changes.wait(changes.newest(), leaving.signal)).resolves.toBeUndefined();
  });
});
