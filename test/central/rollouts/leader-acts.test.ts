// Acts on rollouts that come to a node which does not lead: carried out by the one that does, answered and refused as
// there; and what an administrator learns where the lead moves in the middle.
import { expect, test } from 'vitest';
import { RolloutEngine } from '../../../central/rollouts/engine.ts';
import { LeaderActs, type RequestedAct } from '../../../central/rollouts/leader-acts.ts';
import { createOffers } from '../../../central/rollouts/offers.ts';
import type { NodeNote, NodeRecord } from '../../../central/store/nodes/node-store.ts';
import { ENTRY, KEYS, sqlStore } from './fleet.ts';
import { NOW, rolloutOf } from './samples.ts';

type Name = 'a' | 'b';

/** Two nodes, `a` leads. What they tell is heard by the other one, unless the test keeps it. */
class Nodes {
  now = NOW;
  leader: Name | undefined = 'a';
  offsets = { a: 0, b: 0 };
  isKept = false;
  readonly kept: NodeNote[] = [];
  readonly timers: (() => void)[] = [];
  readonly store = sqlStore(() => undefined);
  readonly engines = { a: this.#engine(), b: this.#engine() };
  readonly acts = { a: this.#acts('a'), b: this.#acts('b') };

  constructor() {
    for (const id of ['x', 'y']) this.store.addAgent(id);
  }

  #engine(): RolloutEngine {
    return new RolloutEngine({
      store: this.store,
      log: { info: () => undefined, warn: () => undefined, error: () => undefined },
      now: () => this.now,
      offers: createOffers({
        signingKey: { key: KEYS.privateKey, fingerprint: 'sha256:test' },
        tickets: { issue: () => 'ticket' },
        steady: () => this.now,
      }),
      relay: {
        onOpened: () => undefined,
        onClosed: () => undefined,
        onFrame: () => false,
        onReverted: () => undefined,
        forget: () => undefined,
      },
      sessionOf: () => undefined,
    });
  }

  #acts(name: Name): LeaderActs {
    return new LeaderActs({
      engine: this.engines[name],
      store: this.store,
      nodes: { self: name, leads: () => this.leader === name, list: () => this.#records() },
      tell: async (notes) => {
        this.kept.push(...notes);
        if (!this.isKept) this.hear(name === 'a' ? 'b' : 'a', notes);
      },
      log: { warn: () => undefined },
      now: () => this.now + this.offsets[name],
      after: (_ms, run) => {
        this.timers.push(run);
        return () => undefined;
      },
    });
  }

  hear(name: Name, notes: readonly NodeNote[]): void {
    // As it comes out of the store.
    const changes = (JSON.parse(JSON.stringify(notes)) as NodeNote[]).map((note) => ({
      ...note,
      isDeleted: false,
      labelsBefore: null,
    }));
    this.acts[name].follow(changes);
  }

  #records(): NodeRecord[] {
    return (['a', 'b'] as const).map((name) => ({
      ...({} as NodeRecord),
      name,
      state: 'alive',
      leads: name === this.leader,
      clockOffsetMs: this.offsets[name],
    }));
  }
}

async function started(): Promise<Nodes> {
  const nodes = new Nodes();
  await nodes.engines.a.start();
  return nodes;
}

const begin = (audit: typeof ENTRY | null = ENTRY): RequestedAct => {
  const { number: _, ...rollout } = rolloutOf({ waveTargets: [2] });
  return { kind: 'begin', rollout, agents: ['x', 'y'].map((agentId) => ({ agentId, isEligible: true })), audit };
};
const act = (verb: 'cancel' | 'pause' | 'resume', audit: typeof ENTRY | null = ENTRY): RequestedAct => ({
  kind: 'act',
  number: 1,
  wanted: { verb },
  audit,
});

test('an act at a node that does not lead does what it does at the one that leads, and answers the same', async () => {
  const nodes = await started();
  const begun = await nodes.acts.b.perform(begin());
  expect(begun).toMatchObject({ rollout: { number: 1, state: 'running' }, counts: { total: 2 } });
  expect(nodes.engines.a.modelOf(1)?.rollout.state).toBe('running');
  expect(await nodes.acts.b.perform(act('pause', null))).toMatchObject({ rollout: { state: 'paused' } });
  expect(await nodes.store.get(1)).toMatchObject({ state: 'running' });
  expect(await nodes.acts.b.perform(act('pause'))).toMatchObject({ rollout: { state: 'paused' } });
  expect(await nodes.acts.a.perform(act('resume'))).toMatchObject({ rollout: { state: 'running' } });
  expect(await nodes.store.get(1)).toMatchObject({ state: 'running' });
  expect(await nodes.acts.b.perform(begin(null)).catch((error: unknown) => error)).toMatchObject({
    code: 'rollout_conflict',
    status: 409,
    parameters: { rollout: 'r-1' },
  });
  await nodes.acts.b.perform(act('cancel'));
  await expect(nodes.acts.b.perform(act('pause'))).rejects.toMatchObject({
    code: 'rollout_state_conflict',
    message: 'The rollout r-1 is canceled; allowed: running.',
    hint: expect.stringContaining('rollouts show r-1'),
  });
});

test('an act that no node answers may have been carried out: that is said, and it is not repeated', async () => {
  const nodes = await started();
  await nodes.acts.b.perform(begin());
  nodes.isKept = true;
  nodes.kept.length = 0;
  const paused = nodes.acts.b.perform(act('pause'));
  for (const run of nodes.timers.splice(0)) run();
  await expect(paused).rejects.toMatchObject({
    code: 'rollout_leader_silent',
    status: 503,
    parameters: { leader: 'a' },
  });
  expect(nodes.kept).toHaveLength(1);
  // It arrives when no one waits for it any more.
  nodes.now += 10_000;
  nodes.hear('a', nodes.kept);
  await nodes.engines.a.settled();
  expect(await nodes.store.get(1)).toMatchObject({ state: 'running' });
});

test('an act for a node that has lost the lead is refused by it, and one without a leader at once', async () => {
  const nodes = await started();
  await nodes.acts.b.perform(begin());
  nodes.isKept = true;
  nodes.kept.length = 0;
  const paused = nodes.acts.b.perform(act('pause'));
  const [asked] = nodes.kept.splice(0);
  nodes.isKept = false;
  await nodes.engines.a.stop();
  if (asked !== undefined) nodes.hear('a', [asked]);
  await expect(paused).rejects.toMatchObject({ code: 'rollout_lead_moves', status: 503 });
  nodes.leader = undefined;
  await expect(nodes.acts.b.perform(act('pause'))).rejects.toMatchObject({ code: 'rollout_lead_moves' });
  await nodes.engines.b.start();
  nodes.leader = 'b';
  expect(await nodes.acts.b.perform(act('pause'))).toMatchObject({ rollout: { state: 'paused' } });
});

test('clocks that differ do not make an act too old', async () => {
  const nodes = await started();
  nodes.offsets = { a: 60_000, b: -60_000 };
  expect(await nodes.acts.b.perform(begin())).toMatchObject({ rollout: { number: 1 } });
});
