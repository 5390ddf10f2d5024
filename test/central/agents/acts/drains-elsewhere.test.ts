// Two nodes: a drain of one is seen at the other, and canceled there.
import { expect, it } from 'vitest';
import type { Drain } from '../../../../central/agents/acts/drain.ts';
import { DrainsElsewhere } from '../../../../central/agents/acts/drains-elsewhere.ts';
import type { NodeNote, NodeRecord } from '../../../../central/store/nodes/node-store.ts';

const DRAIN: Drain = {
  id: 'd1',
  state: 'draining',
  stateChangedAt: 1,
  createdAt: 1,
  createdBy: 'root',
  selectors: ['all'],
  scope: null,
  withinSeconds: 10,
  retryAfterSeconds: 0,
  agentCount: 3,
  offlineCount: 0,
  waitingCount: 3,
  awayCount: 0,
  reconnectedCount: 0,
};

function setUp() {
  const notes: NodeNote[] = [];
  const state = { now: 0, generation: 1, drain: DRAIN, canceled: [] as string[] };
  const list = (): NodeRecord[] => [
    { name: 'a', state: 'alive', generation: state.generation } as NodeRecord,
    { name: 'b', state: 'alive', generation: 1 } as NodeRecord,
  ];
  const timers: (() => void)[] = [];
  const [a, b] = ['a', 'b'].map(
    (self) =>
      new DrainsElsewhere({
        nodes: { self, list },
        notes: {
          isOpen: true,
          add: (subject, id, told) => void notes.push({ subject, id, body: JSON.stringify(told) }),
        },
        now: () => state.now,
        after: (_, run) => {
          timers.push(run);
          return () => undefined;
        },
      }),
  ) as [DrainsElsewhere, DrainsElsewhere];
  const ownOfA = { own: () => [state.drain], onCanceled: (id: string) => void state.canceled.push(id) };
  const deliver = async (to: DrainsElsewhere): Promise<void> => {
    const changes = notes.splice(0).map((note) => ({ ...note, isDeleted: false, labelsBefore: null }));
    await to.follow(changes, to === a ? ownOfA : { own: () => [], onCanceled: () => undefined });
  };
  return { a, b, notes, state, timers, deliver };
}

it('tells what changed, its counts once a second, its state and its end at once', async () => {
  const { a, b, notes, state, deliver } = setUp();
  a.show(DRAIN, false);
  a.show(DRAIN, false);
  a.show({ ...DRAIN, waitingCount: 2 }, false);
  expect(notes).toHaveLength(1);
  state.now = 1_000;
  a.show({ ...DRAIN, waitingCount: 1 }, false);
  a.show({ ...DRAIN, waitingCount: 0, state: 'drained' }, false);
  a.show({ ...DRAIN, waitingCount: 0, state: 'drained', reconnectedCount: 3 }, true);
  expect(notes).toHaveLength(4);
  await deliver(b);
  expect(b.list()).toMatchObject([{ id: 'd1', state: 'drained', reconnectedCount: 3 }]);
  expect([b.get('d1')?.createdBy, b.get('d2')]).toEqual(['root', undefined]);
});

it('is canceled at the node that runs it, for which the other one waits, for a time', async () => {
  const { a, b, state, timers, deliver } = setUp();
  a.show(DRAIN, false);
  await deliver(b);
  const canceling = b.cancel('d1');
  await deliver(a);
  expect(state.canceled).toEqual(['d1']);
  a.show({ ...DRAIN, state: 'canceled' }, false);
  await deliver(b);
  await canceling;
  expect(b.get('d1')?.state).toBe('canceled');
  const lost = b.cancel('d1');
  timers.at(-1)?.();
  await lost;
});

it('is repeated for a node that started, and for one that missed something', async () => {
  const { a, b, notes, deliver } = setUp();
  b.start();
  await deliver(a);
  await deliver(b);
  expect(b.list()).toHaveLength(1);
  await a.follow([], { own: () => [DRAIN], onCanceled: () => undefined });
  expect(notes.map(({ id }) => id)).toEqual(['', 'd1']);
});

it('ends with the process that runs it, and the newest are kept', async () => {
  const { a, b, state, deliver } = setUp();
  a.show(DRAIN, false);
  await deliver(b);
  state.generation = 2;
  expect(b.get('d1')?.state).toBe('canceled');
  for (let n = 0; n < 101; n += 1) a.show({ ...DRAIN, id: `n${n}` }, true);
  await deliver(b);
  expect([b.list().length, b.get('d1'), b.get('n0')]).toEqual([100, undefined, undefined]);
});
