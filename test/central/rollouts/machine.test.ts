import { describe, expect, it } from 'vitest';
import { isUnderWay } from '../../../central/rollouts/agent-steps.ts';
import type { Model, RolloutAct } from '../../../central/rollouts/machine.ts';
import type { RolloutAgentState } from '../../../central/store/rollouts/rollout-store.ts';
import { isCoded } from '../../../shared/errors.ts';
import { RELEASE_STATES } from '../../../shared/wire/release-frames.ts';
import { HOUR, MINUTE, PREVIOUS, RELEASE, Scene } from './samples.ts';

const ROLLBACK: RolloutAct = { verb: 'rollback', isNewest: () => true };
const conflict = (code: string) => expect.objectContaining({ code, status: 409 });

describe('acts of administrators', () => {
  it('pause takes no further agents, and resume goes on', () => {
    const scene = new Scene({ waveTargets: [1, 2], waves: [{ count: 1 }, { share: 1 }] }, ['a1', 'a2']);
    scene.come('a1', 'a2');
    scene.act({ verb: 'pause' });
    scene.succeed('a1');
    expect(scene.rollout).toMatchObject({ state: 'paused', wave: 0 });
    expect(() => scene.act({ verb: 'pause' })).toThrow(conflict('rollout_state_conflict'));
    scene.act({ verb: 'resume' });
    expect(scene.rollout).toMatchObject({ state: 'running', wave: 1 });
    expect(scene.agent('a2').state).toBe('offered');
  });

  it('resume accepts the failures of a halted wave, and halts at further ones', () => {
    const scene = new Scene({ waveTargets: [3], errorShare: 0.2 }, ['a1', 'a2', 'a3']);
    scene.come('a1', 'a2', 'a3');
    scene.say('a1', 'failed');
    expect(scene.rollout.state).toBe('halted');
    scene.act({ verb: 'resume' });
    expect(scene.states()).toEqual(['failed', 'offered', 'offered']);
    expect(scene.agent('a2').generation).toBe(2);
    scene.succeed('a2');
    expect(scene.rollout.state).toBe('running');
    scene.say('a3', 'failed');
    expect(scene.rollout.state).toBe('halted');
    scene.act({ verb: 'resume' });
    expect(scene.rollout.state).toBe('completed');
  });

  it('cancel ends what has not begun a trial, tells those agents, and waits for trials', () => {
    const scene = new Scene({ waveTargets: [4] }, ['a1', 'a2', 'a3', 'a4']);
    scene.come('a1', 'a2', 'a3');
    scene.succeed('a1');
    scene.say('a2', 'trying');
    scene.act({ verb: 'cancel' });
    expect(scene.rollout).toMatchObject({ state: 'canceled', endedAt: scene.now });
    expect(scene.states()).toEqual(['succeeded', 'trying', 'canceled', 'canceled']);
    expect(scene.last?.acts).toEqual(
      new Map([
        ['a2', 'cancel'],
        ['a3', 'cancel'],
      ]),
    );
    expect(scene.come('a2').acts.get('a2')).toBe('cancel');
    scene.say('a2', 'canceled');
    expect(scene.agent('a2')).toMatchObject({ state: 'canceled', isBusy: false });
    scene.come('a4');
    expect(scene.agent('a4').state).toBe('canceled');
    expect(() => scene.act({ verb: 'resume' })).toThrow(conflict('rollout_state_conflict'));
  });

  it('retry repeats what failed, was reverted, timed out or was skipped, with a new generation', () => {
    const scene = new Scene({ waveTargets: [3], errorShare: 1, successShare: 0 }, ['a1', 'a2', 'a3']);
    scene.old.add('a3');
    scene.come('a1', 'a2', 'a3');
    scene.succeed('a1');
    scene.say('a2', 'failed');
    expect(scene.rollout.state).toBe('completed');
    scene.old.delete('a3');
    scene.act({ verb: 'retry' });
    expect(scene.rollout.state).toBe('running');
    expect(scene.states()).toEqual(['succeeded', 'offered', 'offered']);
    expect(scene.agent('a2')).toMatchObject({ generation: 2, code: '' });
    scene.succeed('a2', 'a3');
    expect(scene.rollout.state).toBe('completed');
    expect(() => scene.act({ verb: 'retry' })).toThrow(conflict('rollout_nothing_to_do'));
  });

  it('upgrade continues a rollout that synchronized, and takes those first that have the files', () => {
    const scene = new Scene({ stage: 'synchronize', waveTargets: [3] }, ['a1', 'a2', 'a3']);
    scene.come('a1', 'a2');
    scene.say('a1', 'synchronized');
    scene.say('a2', 'synchronizing');
    expect(() => scene.act(ROLLBACK)).toThrow(conflict('rollout_stage_conflict'));
    const { successShare, errorShare, soakSeconds, trialSeconds, bytesPerSecond } = scene.rollout;
    const plan = { successShare, errorShare, soakSeconds, trialSeconds, bytesPerSecond };
    const waves = [{ count: 1 }, { share: 1 }] as const;
    expect(() => scene.act({ verb: 'upgrade', plan: { ...plan, waves: [{ count: 1 }] } })).toThrow(
      expect.objectContaining({ code: 'rollout_plan_invalid' }),
    );
    scene.act({ verb: 'upgrade', plan: { ...plan, waves } });
    expect(scene.rollout).toMatchObject({ stage: 'upgrade', waveTargets: [1, 3], wave: 0 });
    expect(scene.states()).toEqual(['offered', 'waiting', 'waiting']);
    expect(scene.last?.acts).toEqual(
      new Map([
        ['a1', 'offer'],
        ['a2', 'cancel'],
      ]),
    );
    scene.succeed('a1', 'a2');
    expect(scene.states()).toEqual(['succeeded', 'succeeded', 'waiting']);
  });

  it('rollback leaves agents alone that a later rollout changed, or that had no previous release', () => {
    const scene = new Scene({ waveTargets: [2] }, ['a1', 'a2']);
    scene.come('a1', 'a2');
    scene.succeed('a1', 'a2');
    expect(() => scene.act({ verb: 'rollback', isNewest: () => false })).toThrow(conflict('rollout_nothing_to_do'));
    const member = scene.model.members.get('a2')!;
    const members = new Map([
      ...scene.model.members,
      ['a2', { ...member, record: { ...member.record, previous: null } }],
    ]);
    scene.model = { ...scene.model, members };
    scene.act(ROLLBACK);
    expect(scene.agent('a1')).toMatchObject({ state: 'offered', target: PREVIOUS });
    expect(scene.agent('a2')).toMatchObject({ state: 'failed', code: 'release_previous_unknown' });
    scene.succeed('a1');
    expect(scene.rollout.state).toBe('rolled-back');
  });

  it('cancel of a rollback lets agents on trial finish it', () => {
    const scene = new Scene({ waveTargets: [2] }, ['a1', 'a2']);
    scene.come('a1', 'a2');
    scene.succeed('a1', 'a2');
    scene.act(ROLLBACK);
    scene.say('a1', 'trying');
    scene.act({ verb: 'cancel' });
    scene.running.set('a1', PREVIOUS);
    scene.come('a1');
    scene.say('a1', 'succeeded');
    expect(scene.agent('a1')).toMatchObject({ state: 'rolled-back', code: 'rollback_requested' });
    expect(scene.agent('a2')).toMatchObject({ state: 'canceled' });
  });
});

/** Numbers that look random, the same in every run. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    // Numerical Recipes, section 7.1.4.
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

const AGENTS = ['a1', 'a2', 'a3', 'a4', 'a5', 'a6', 'a7', 'a8'];
const FINAL: ReadonlySet<RolloutAgentState> = new Set([
  'succeeded',
  'rolled-back',
  'failed',
  'skipped',
  'canceled',
  'timed-out',
]);

/** Something happens: mostly to an agent, sometimes an act. Says whether an act may let final states go. */
function happen(scene: Scene, random: (below: number) => number): boolean {
  const agentId = AGENTS[random(AGENTS.length)]!;
  switch (random(12)) {
    case 0:
      scene.leave(agentId);
      return false;
    case 1:
    case 2:
      scene.come(agentId);
      return false;
    case 3:
      scene.wait([1000, MINUTE, 11 * MINUTE, 20 * HOUR][random(4)]!);
      return false;
    case 4:
      scene.running.set(agentId, random(2) === 0 ? RELEASE : PREVIOUS);
      scene.come(agentId);
      return false;
    case 5: {
      const acts: RolloutAct[] = [{ verb: 'pause' }, { verb: 'resume' }, { verb: 'resume' }, { verb: 'retry' }];
      const wanted = random(40) === 0 ? ({ verb: 'cancel' } as const) : acts[random(acts.length)]!;
      try {
        scene.act(wanted);
      } catch (error) {
        if (!isCoded(error)) throw error;
      }
      return wanted.verb === 'retry';
    }
    default:
      if (scene.online.has(agentId))
        scene.say(agentId, RELEASE_STATES[random(RELEASE_STATES.length)]!, {
          generation: Math.max(1, (scene.agent(agentId).generation ?? 1) - (random(8) === 0 ? 1 : 0)),
          receivedBytes: random(100),
          code: random(4) === 0 ? 'trial_inconclusive' : '',
        });
      return false;
  }
}

/** What must hold in whatever order things happen; empty when it does. */
function brokenPromises(before: Model, scene: Scene, mayLetGo: boolean): string[] {
  const { rollout, members } = scene.model;
  const broken: string[] = [];
  const assert = (holds: boolean, promise: string): void => void (holds || broken.push(promise));
  let underWay = 0;
  for (const [agentId, { record, lastGeneration }] of members) {
    const was = before.members.get(agentId)!;
    const isNew = record.generation !== was.record.generation;
    assert(lastGeneration >= was.lastGeneration, 'the largest generation only grows');
    assert((record.generation ?? 0) >= (was.record.generation ?? 0), 'a generation only grows');
    assert(isNew || record.target === was.record.target, 'a generation names one release');
    assert(mayLetGo || !FINAL.has(was.record.state) || record.state === was.record.state, 'final states stay');
    assert(!FINAL.has(record.state) || !record.isBusy, 'a final state frees the agent');
    assert(!isNew || scene.last?.saved.has(agentId) === true, 'a generation is written before it is sent');
    if (!isUnderWay(record)) continue;
    underWay += 1;
    assert(record.wave !== null, 'an agent that is under way is in a wave');
    assert(record.deadlineAt !== null, 'an agent that is under way has a deadline');
  }
  const isLast = rollout.wave === rollout.waveTargets.length - 1;
  assert(isLast || underWay <= (rollout.waveTargets[rollout.wave] ?? 0), 'no more agents than the wave allows');
  assert(rollout.wave >= before.rollout.wave, 'waves go forward');
  return broken;
}

describe('whatever happens in whatever order', () => {
  it.each(Array.from({ length: 16 }, (_, seed) => seed))('holds its promises (seed %i)', (seed) => {
    const random = randomOf(seed);
    const scene = new Scene(
      { waves: [{ count: 1 }, { count: 3 }, { share: 1 }], waveTargets: [1, 3, 8], errorShare: 0.4, successShare: 0.5 },
      AGENTS,
    );
    for (let steps = 0; steps < 200; steps += 1) {
      const before = scene.model;
      const mayLetGo = happen(scene, random);
      expect(brokenPromises(before, scene, mayLetGo)).toEqual([]);
    }
    // Left alone with all agents there, it ends.
    for (let hours = 0; hours < 200 && scene.rollout.endedAt === null; hours += 1) {
      if (scene.rollout.state !== 'running') scene.act({ verb: 'resume' });
      scene.come(...AGENTS);
      scene.succeed(...AGENTS.filter((agentId) => isUnderWay(scene.agent(agentId))));
      scene.wait(HOUR);
    }
    expect(scene.rollout.endedAt).not.toBeNull();
  });
});
