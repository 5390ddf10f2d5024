import { describe, expect, it } from 'vitest';
import {
  AWAY_MS,
  IDLE_MS,
  LIMIT_MS,
  MAX_OFFERS,
  OFFER_MS,
  TRIAL_GRACE_MS,
} from '../../../central/rollouts/agent-steps.ts';
import { frameOf, HOUR, memberOf, MINUTE, NOW, PREVIOUS, RELEASE, Scene } from './samples.ts';

const scene = (changes = {}) => new Scene(changes, ['a1']);
const sentTo = ({ last }: Scene, agentId = 'a1') => last?.acts.get(agentId);

describe('an agent in an upgrade', () => {
  it('goes from waiting to succeeded, and commits its release', () => {
    const one = scene();
    expect(one.wait(HOUR).acts.size).toBe(0);
    expect(one.agent('a1').state).toBe('waiting');
    one.come('a1');
    expect(sentTo(one)).toBe('offer');
    expect(one.agent('a1')).toMatchObject({
      state: 'offered',
      generation: 1,
      target: RELEASE,
      previous: PREVIOUS,
      wave: 0,
    });
    one.say('a1', 'offered');
    expect(one.agent('a1').state).toBe('synchronizing');
    one.say('a1', 'synchronizing', { receivedBytes: 10, totalBytes: 20 });
    expect(one.agent('a1')).toMatchObject({ receivedBytes: 10, totalBytes: 20 });
    expect(one.last?.saved.size).toBe(0);
    one.say('a1', 'synchronized');
    one.say('a1', 'trying');
    expect(one.agent('a1')).toMatchObject({ state: 'trying', isBusy: true, isInconclusive: false });
    one.running.set('a1', RELEASE);
    one.come('a1');
    expect(one.agent('a1').state).toBe('trying');
    one.say('a1', 'succeeded');
    expect(one.agent('a1')).toMatchObject({ state: 'succeeded', isBusy: false, deadlineAt: null });
    expect(one.last?.committed).toEqual(new Set(['a1']));
    expect(one.rollout).toMatchObject({ state: 'completed', endedAt: one.now });
  });

  it('has not succeeded before its hello reports the release, nor without its word that it is committed', () => {
    const one = scene();
    one.come('a1');
    one.say('a1', 'trying');
    one.say('a1', 'succeeded');
    expect(one.agent('a1').state).toBe('trying');
    one.running.set('a1', RELEASE);
    one.come('a1');
    expect(one.agent('a1').state).toBe('trying');
    one.say('a1', 'succeeded');
    expect(one.agent('a1').state).toBe('succeeded');
  });

  it.each(['failed', 'rolled-back', 'canceled'] as const)('ends with the cause that it reports: %s', (state) => {
    const one = scene();
    one.come('a1');
    one.say('a1', 'trying');
    one.say('a1', state, { code: 'tls_failed', detail: 'It does not trust Central.', hint: 'Look.' });
    expect(one.agent('a1')).toMatchObject({ state, code: 'tls_failed', hint: 'Look.', isBusy: false });
    one.say('a1', 'trying');
    one.say('a1', 'succeeded');
    expect(one.agent('a1').state).toBe(state);
  });

  it('is skipped, with what to do, when its version cannot take releases', () => {
    const one = scene();
    one.old.add('a1');
    one.come('a1');
    expect(one.agent('a1')).toMatchObject({ state: 'skipped', code: 'agent_without_releases', generation: null });
    expect(one.last?.acts.size).toBe(0);
  });

  it('gets the same offer again while it does not answer, and fails after the last one', () => {
    const one = scene();
    one.come('a1');
    for (let offers = 1; offers < MAX_OFFERS; offers += 1) {
      expect(one.wait(OFFER_MS - 1).acts.size).toBe(0);
      expect(one.wait(1).acts.get('a1')).toBe('offer');
      expect(one.agent('a1')).toMatchObject({ state: 'offered', generation: 1 });
    }
    one.wait(OFFER_MS);
    expect(one.agent('a1')).toMatchObject({ state: 'failed', code: 'no_answer' });
    expect(sentTo(one)).toBe('cancel');
  });

  it('gets the offer again at each hello until it has answered', () => {
    const one = scene();
    one.come('a1');
    one.leave('a1');
    one.come('a1');
    expect(sentTo(one)).toBe('offer');
    expect(one.agent('a1').generation).toBe(1);
    one.say('a1', 'synchronizing');
    one.leave('a1');
    one.come('a1');
    expect(sentTo(one)).toBeUndefined();
  });

  it('keeps its place in the wave for some minutes when it leaves, then waits again, and gets a new offer', () => {
    for (const state of ['offered', 'synchronizing', 'synchronized'] as const) {
      const one = scene();
      one.come('a1');
      if (state !== 'offered') one.say('a1', state);
      one.leave('a1');
      one.wait(AWAY_MS - 1);
      expect(one.agent('a1')).toMatchObject({ state, wave: 0 });
      one.wait(1);
      expect(one.agent('a1')).toMatchObject({ state: 'waiting', wave: null, isBusy: true });
      one.come('a1');
      expect(one.agent('a1')).toMatchObject({ state: 'offered', generation: 2 });
      expect(sentTo(one)).toBe('offer');
    }
  });

  it('gets the offer again without another byte, less and less often, and is timed out after a day', () => {
    const one = scene();
    one.come('a1');
    one.say('a1', 'synchronizing', { receivedBytes: 1 });
    one.wait(IDLE_MS - 1);
    one.say('a1', 'synchronizing', { receivedBytes: 2 });
    expect(one.wait(IDLE_MS - 1).acts.size).toBe(0);
    expect(one.wait(1).acts.get('a1')).toBe('offer');
    one.say('a1', 'synchronizing', { receivedBytes: 2, code: 'unreachable', detail: 'No line.', hint: 'Wait.' });
    expect(one.agent('a1').code).toBe('unreachable');
    expect(one.wait(2 * IDLE_MS - 1).acts.size).toBe(0);
    expect(one.wait(1).acts.get('a1')).toBe('offer');
    expect(one.wait(4 * IDLE_MS).acts.get('a1')).toBe('offer');
    one.now = NOW + LIMIT_MS - 1;
    one.wait(0);
    expect(one.agent('a1').state).toBe('synchronizing');
    one.wait(1);
    expect(one.agent('a1')).toMatchObject({ state: 'timed-out', code: 'download_timed_out' });
    expect(sentTo(one)).toBe('cancel');
  });

  it('has an hour at least when it returns near the end of that day', () => {
    const one = scene();
    one.come('a1');
    one.say('a1', 'synchronizing');
    one.now = NOW + LIMIT_MS - MINUTE;
    one.come('a1');
    one.wait(HOUR - 1);
    expect(one.agent('a1').state).toBe('synchronizing');
  });

  it('is not inconclusive as long as an answer may come', () => {
    const one = scene();
    one.come('a1');
    one.say('a1', 'trying');
    one.leave('a1');
    one.wait(300_000 + TRIAL_GRACE_MS - 1);
    expect(one.agent('a1').isInconclusive).toBe(false);
  });

  it('is inconclusive when it says why, or says nothing, and is timed out after a day, also when it is away', () => {
    for (const says of [true, false]) {
      const one = scene();
      one.come('a1');
      one.say('a1', 'trying');
      if (says) one.say('a1', 'trying', { code: 'trial_inconclusive', detail: 'Both are unreachable.' });
      else {
        one.leave('a1');
        one.wait(300_000 + TRIAL_GRACE_MS);
      }
      expect(one.agent('a1')).toMatchObject({
        state: 'trying',
        isInconclusive: true,
        code: says ? 'trial_inconclusive' : 'trial_unreported',
      });
      one.now = NOW + LIMIT_MS - 1;
      one.wait(0);
      expect(one.agent('a1').state).toBe('trying');
      one.wait(1);
      expect(one.agent('a1')).toMatchObject({ state: 'timed-out', code: 'trial_timed_out' });
    }
  });

  it('succeeds after an inconclusive trial', () => {
    const one = scene();
    one.come('a1');
    one.say('a1', 'trying', { code: 'trial_inconclusive' });
    expect(one.agent('a1').isInconclusive).toBe(true);
    one.running.set('a1', RELEASE);
    one.come('a1');
    one.say('a1', 'succeeded');
    expect(one.agent('a1')).toMatchObject({ state: 'succeeded', isInconclusive: false, code: '' });
  });

  it('gets a larger generation when it knows a newer one than Central, and its offer again', () => {
    const one = new Scene({}, [memberOf('a1', {}, 4)]);
    one.come('a1');
    expect(one.agent('a1').generation).toBe(5);
    one.run({ kind: 'state', agentId: 'a1', frame: frameOf(9, 'succeeded', { release: PREVIOUS }) });
    expect(one.agent('a1')).toMatchObject({ state: 'offered', generation: 10 });
    expect(one.last?.generations).toEqual(new Set(['a1']));
    expect(sentTo(one)).toBe('offer');
    one.say('a1', 'failed', { generation: 5, code: 'instruction_refused' });
    expect(one.agent('a1').state).toBe('offered');
  });

  it('gets its instruction again when it has lost it, and not because of an older refusal', () => {
    const one = new Scene({}, [memberOf('a1', {}, 4)]);
    one.come('a1');
    one.say('a1', 'synchronizing');
    one.say('a1', 'failed', { generation: 3 });
    expect(one.agent('a1').state).toBe('synchronizing');
    one.say('a1', 'succeeded', { generation: 3 });
    expect(one.agent('a1')).toMatchObject({ state: 'offered', generation: 5 });
    expect(sentTo(one)).toBe('offer');
  });

  it('does not take a report about the release that it runs for one about its instruction', () => {
    const one = scene();
    one.come('a1');
    one.running.set('a1', RELEASE);
    one.say('a1', 'succeeded', { release: PREVIOUS, code: 'profile_drift' });
    expect(one.agent('a1').state).toBe('offered');
  });

  it('turns succeeded into rolled-back, and nothing else, when it has left the release', () => {
    const cause = { code: 'release_reverted', detail: 'x', hint: 'y' };
    const one = scene();
    one.come('a1');
    one.run({ kind: 'reverted', agentId: 'a1', cause });
    expect(one.agent('a1').state).toBe('offered');
    one.succeed('a1');
    one.run({ kind: 'reverted', agentId: 'a1', cause });
    expect(one.agent('a1')).toMatchObject({ state: 'rolled-back', ...cause });
  });
});

describe('an agent that synchronizes', () => {
  it('ends when it has all files, and changes to nothing', () => {
    const one = scene({ stage: 'synchronize' });
    one.come('a1');
    one.say('a1', 'trying');
    one.say('a1', 'succeeded');
    expect(one.agent('a1').state).toBe('offered');
    one.say('a1', 'synchronizing');
    one.say('a1', 'synchronized', { receivedBytes: 20, totalBytes: 20 });
    expect(one.agent('a1')).toMatchObject({ state: 'synchronized', isBusy: false, receivedBytes: 20 });
    expect(one.rollout.state).toBe('completed');
    expect(one.say('a1', 'synchronized').acts.size).toBe(0);
  });
});
