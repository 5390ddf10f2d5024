import { describe, expect, it } from 'vitest';
import { waveTargets } from '../../../central/rollouts/waves.ts';
import { PREVIOUS, RELEASE, Scene } from './samples.ts';

const names = (count: number): string[] =>
  Array.from({ length: count }, (_, n) => `a${String(n + 1).padStart(2, '0')}`);
const THREE = { waves: [{ count: 1 }, { share: 0.1 }, { share: 1 }], waveTargets: [1, 2, 20] };

describe('the sizes of waves', () => {
  it('are counts and shares of the eligible agents, each with those before it', () => {
    expect(waveTargets(THREE.waves, 20)).toEqual([1, 2, 20]);
    expect(waveTargets(THREE.waves, 5)).toEqual([1, 1, 5]);
    expect(waveTargets(THREE.waves, 1)).toEqual([1, 1, 1]);
    expect(waveTargets([{ count: 50 }, { share: 1 }], 20)).toEqual([20, 20]);
    expect(waveTargets([{ share: 1 }], 0)).toEqual([0]);
  });

  it.each([
    ['none', []],
    ['not all agents in the last one', [{ count: 1 }, { share: 0.5 }]],
    ['a count as the last one', [{ count: 20 }]],
    ['a smaller share behind a larger one', [{ share: 0.5 }, { share: 0.1 }, { share: 1 }]],
    ['a smaller count behind a larger one', [{ count: 5 }, { count: 5 }, { share: 1 }]],
    ['a share of fewer agents than the count before', [{ count: 10 }, { share: 0.1 }, { share: 1 }]],
  ])('are refused with %s', (_what, waves) => {
    expect(() => waveTargets(waves, 20)).toThrow(
      expect.objectContaining({ code: 'rollout_plan_invalid', status: 422 }),
    );
  });
});

describe('waves', () => {
  it('start one behind the other, each after the one before has succeeded and soaked', () => {
    const scene = new Scene({ ...THREE, soakSeconds: 60 }, names(20));
    scene.come(...names(20));
    const taken = () => scene.states().filter((state) => state !== 'waiting').length;
    expect(taken()).toBe(1);
    scene.succeed('a01');
    expect(scene.rollout).toMatchObject({ wave: 0, soakUntil: scene.now + 60_000 });
    scene.wait(59_999);
    expect(taken()).toBe(1);
    scene.wait(1);
    expect(scene.rollout).toMatchObject({ wave: 1, soakUntil: null });
    expect(taken()).toBe(2);
    scene.succeed('a02');
    scene.wait(60_000);
    expect(taken()).toBe(20);
    scene.succeed(...names(20).slice(2));
    expect(scene.rollout.state).toBe('completed');
  });

  it('that are full already are passed over', () => {
    const scene = new Scene({ ...THREE, waveTargets: [1, 1, 3] }, names(3));
    scene.come(...names(3));
    scene.succeed('a01');
    expect(scene.rollout.wave).toBe(2);
    expect(scene.states()).toEqual(['succeeded', 'offered', 'offered']);
  });

  it('are not held by agents that are away, which join when they come', () => {
    const scene = new Scene(THREE, names(20));
    scene.come('a05', 'a06');
    expect(scene.agent('a05').state).toBe('offered');
    scene.succeed('a05');
    expect(scene.rollout.wave).toBe(1);
    scene.succeed('a06');
    expect(scene.rollout).toMatchObject({ wave: 2, state: 'running' });
    scene.come('a01');
    expect(scene.agent('a01')).toMatchObject({ state: 'offered', wave: 2 });
    scene.succeed('a01');
    expect(scene.rollout.state).toBe('running');
  });

  it('give the place of an agent that leaves to another one', () => {
    const scene = new Scene(THREE, names(20));
    scene.come('a01', 'a02');
    scene.leave('a01');
    expect(scene.agent('a02').state).toBe('waiting');
    scene.wait(600_000);
    expect(scene.agent('a02').state).toBe('offered');
    scene.come('a01');
    expect(scene.agent('a01').state).toBe('waiting');
    expect(scene.last?.acts).toEqual(new Map([['a01', 'cancel']]));
  });

  it('take another agent for one that is skipped', () => {
    const scene = new Scene(THREE, names(20));
    scene.old.add('a01');
    scene.come('a01', 'a02');
    expect(scene.states().slice(0, 2)).toEqual(['skipped', 'offered']);
  });

  it('halt at more failures than allowed: trials end by themselves, and all others do not begin theirs', () => {
    const scene = new Scene({ waveTargets: [20], errorShare: 0.05 }, names(20));
    scene.come(...names(20));
    scene.say('a02', 'trying');
    scene.say('a03', 'synchronizing');
    scene.say('a04', 'synchronized');
    scene.say('a01', 'failed');
    expect(scene.rollout.state).toBe('running');
    scene.say('a05', 'rolled-back');
    expect(scene.rollout).toMatchObject({ state: 'halted', stateReason: { code: 'rollout_errors' } });
    expect(scene.rollout.stateReason.detail).toContain('2 of 20 agents in wave 1');
    expect(scene.states().slice(0, 6)).toEqual(['failed', 'trying', 'waiting', 'waiting', 'rolled-back', 'waiting']);
    expect(scene.last?.acts.get('a03')).toBe('cancel');
    expect(scene.last?.acts.has('a02')).toBe(false);
    scene.running.set('a02', RELEASE);
    scene.come('a02');
    scene.say('a02', 'succeeded');
    expect(scene.agent('a02').state).toBe('succeeded');
    expect(scene.come('a07').acts.get('a07')).toBe('cancel');
  });

  it('halt when too few succeed, and wait while the outcome of some is open', () => {
    const scene = new Scene({ waveTargets: [4], errorShare: 0.5, successShare: 0.9 }, names(4));
    scene.come(...names(4));
    scene.succeed('a01', 'a02');
    scene.say('a03', 'failed');
    scene.say('a04', 'trying', { code: 'trial_inconclusive' });
    scene.leave('a04');
    expect(scene.rollout.state).toBe('running');
    scene.come('a04');
    scene.say('a04', 'failed');
    expect(scene.rollout).toMatchObject({ state: 'halted', stateReason: { code: 'rollout_few_successes' } });
  });

  it('count an agent that joins late under the same thresholds', () => {
    const scene = new Scene({ waveTargets: [2], errorShare: 0.4 }, names(3));
    scene.come('a01');
    scene.succeed('a01');
    scene.come('a02', 'a03');
    scene.say('a02', 'failed');
    expect(scene.rollout.state).toBe('running');
    scene.say('a03', 'failed');
    expect(scene.rollout.state).toBe('halted');
  });

  it('halt while they soak, when a success is reverted', () => {
    const scene = new Scene({ ...THREE, soakSeconds: 60 }, names(20));
    scene.come(...names(20));
    scene.succeed('a01');
    scene.run({ kind: 'reverted', agentId: 'a01', cause: { code: 'release_reverted', detail: '', hint: '' } });
    expect(scene.rollout).toMatchObject({ state: 'halted', soakUntil: null });
  });

  it('of a rollback are one: every agent returns to what it ran before, at once', () => {
    const scene = new Scene({ waveTargets: [3], errorShare: 1 }, names(4));
    scene.come('a01', 'a02', 'a03');
    scene.succeed('a01');
    scene.say('a02', 'trying');
    scene.say('a03', 'failed');
    scene.act({ verb: 'rollback', isNewest: () => true });
    expect(scene.rollout.state).toBe('rolling-back');
    expect(scene.states()).toEqual(['offered', 'offered', 'failed', 'canceled']);
    expect(scene.agent('a01')).toMatchObject({ target: PREVIOUS, generation: 2 });
    scene.succeed('a01', 'a02');
    expect(scene.agent('a01')).toMatchObject({ state: 'rolled-back', code: 'rollback_requested' });
    expect(scene.rollout).toMatchObject({ state: 'rolled-back', endedAt: scene.now });
  });
});
