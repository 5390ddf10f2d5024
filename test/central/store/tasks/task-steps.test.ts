// How a task becomes another one: each event in each state.
import { describe, expect, it } from 'vitest';
import { NO_CAUSE, stepOf } from '../../../../central/store/tasks/task-steps.ts';
import type { TaskRecord } from '../../../../central/store/tasks/task-store.ts';
import { FINAL_TASK_STATES, TASK_STATES, type TaskReport } from '../../../../shared/wire/tasks/frames.ts';
import { taskReport } from '../samples.ts';

const NOW = 1_000_000;
const TIMES = { now: NOW, lostAfterMs: 50_000 };

function task(change: Partial<TaskRecord> = {}): TaskRecord {
  return {
    number: 981,
    key: 'a'.repeat(32),
    agent: { id: 'a1', name: 'branch-1' },
    queue: null,
    scope: null,
    refusedBy: [],
    handler: 'backup',
    arguments: [],
    state: 'sent',
    stateChangedAt: 1,
    stateReason: NO_CAUSE,
    stateDeadlineAt: 2,
    deadlineAt: NOW + 10_000,
    createdAt: 1,
    createdBy: 'admin',
    comment: null,
    ticket: null,
    startedAt: null,
    endedAt: null,
    exitCode: null,
    stdout: null,
    stderr: null,
    lateResult: null,
    ...change,
  };
}

const at = (ms: number): string => new Date(ms).toISOString();

function report(state: TaskReport['state'], change: Partial<TaskReport> = {}): { kind: 'report'; report: TaskReport } {
  return { kind: 'report', report: taskReport(state, { key: 'a'.repeat(32), changedAt: at(5), ...change }) };
}

describe('a task', () => {
  it('is accepted, runs and ends as its agent reports, also when reports between are left out', () => {
    const accepted = stepOf(task(), report('accepted'), TIMES);
    expect(accepted).toMatchObject({ state: 'accepted', stateDeadlineAt: NOW + 10_000 + 50_000 });
    const running = stepOf(accepted ?? task(), report('running', { startedAt: at(4), endsWithinSeconds: 60 }), TIMES);
    expect(running).toMatchObject({ state: 'running', startedAt: 4, stateDeadlineAt: NOW + 60_000 + 50_000 });
    for (const before of [task(), accepted ?? task(), running ?? task()])
      expect(stepOf(before, report('failed', { exitCode: 3, startedAt: at(4) }), TIMES)).toMatchObject({
        state: 'failed',
        exitCode: 3,
        startedAt: 4,
        endedAt: 5,
        stateDeadlineAt: null,
      });
  });

  it('never goes back: a report that comes late or twice changes nothing', () => {
    expect(stepOf(task({ state: 'running', startedAt: 4 }), report('accepted'), TIMES)).toBeUndefined();
    expect(stepOf(task({ state: 'running' }), report('running'), TIMES)).toBeUndefined();
    for (const state of FINAL_TASK_STATES)
      for (const next of ['accepted', 'running', 'succeeded', 'lost'] as const)
        expect(stepOf(task({ state, stateDeadlineAt: null }), report(next), TIMES)).toBeUndefined();
  });

  it('that is being canceled stays so until its end, whichever it is', () => {
    const canceling = stepOf(task({ state: 'accepted' }), { kind: 'cancel' }, TIMES) ?? task();
    expect(canceling).toMatchObject({ state: 'canceling', stateDeadlineAt: NOW + 50_000 });
    expect(stepOf(canceling, { kind: 'cancel' }, TIMES)).toBeUndefined();
    expect(stepOf(canceling, report('accepted'), TIMES)).toBeUndefined();
    expect(stepOf(canceling, report('running', { startedAt: at(4) }), TIMES)).toMatchObject({
      state: 'canceling',
      startedAt: 4,
      stateChangedAt: NOW,
    });
    for (const state of ['canceled', 'succeeded', 'failed'] as const)
      expect(stepOf(canceling, report(state), TIMES)?.state).toBe(state);
    expect(stepOf(task(), { kind: 'withdrawn' }, TIMES)).toMatchObject({ state: 'canceled', stateDeadlineAt: null });
  });

  it('is given up when it is overdue: expired where no agent has it, lost otherwise; a later result is kept beside it', () => {
    const isFinal = (state: string): boolean => (FINAL_TASK_STATES as readonly string[]).includes(state);
    for (const state of FINAL_TASK_STATES) expect(stepOf(task({ state }), { kind: 'overdue' }, TIMES)).toBeUndefined();
    for (const state of TASK_STATES.filter((one) => !isFinal(one))) {
      const given = stepOf(task({ state }), { kind: 'overdue' }, TIMES);
      expect(given?.state).toBe(state === 'sent' || state === 'queued' ? 'expired' : 'lost');
      expect(given?.stateReason.detail).toContain(state === 'queued' ? 'of the queue' : 'branch-1');
      expect(stepOf(given ?? task(), report('running'), TIMES)).toBeUndefined();
      if (state === 'queued') continue;
      const late = stepOf(given ?? task(), report('succeeded', { exitCode: 0 }), TIMES);
      expect(late).toMatchObject({
        state: given?.state,
        lateResult: { state: 'succeeded', receivedAt: NOW, exitCode: 0 },
      });
      expect(stepOf(late ?? task(), report('failed'), TIMES)).toBeUndefined();
    }
  });

  it('of a queue goes back to it when its agent refuses it unstarted, three times at most', () => {
    const refusal = report('failed', { code: 'task_program_missing', detail: 'It is missing.' });
    const queued = task({ queue: 'printing' });
    for (const before of [queued, task({ queue: 'printing', state: 'accepted', refusedBy: ['a0'] })])
      expect(stepOf(before, refusal, TIMES)).toMatchObject({
        agent: null,
        state: 'queued',
        stateDeadlineAt: before.deadlineAt,
        refusedBy: [...before.refusedBy, 'a1'],
        stateReason: { code: 'task_program_missing', detail: 'branch-1 refused it: It is missing.' },
      });
    const final = [
      stepOf(task(), refusal, TIMES),
      stepOf(task({ queue: 'printing', refusedBy: ['a2', 'a3'] }), refusal, TIMES),
      stepOf(task({ queue: 'printing', state: 'running', startedAt: 4 }), refusal, TIMES),
      stepOf(task({ queue: 'printing', state: 'canceling' }), refusal, TIMES),
      stepOf(queued, report('failed', { code: 'task_program_missing', startedAt: at(4) }), TIMES),
      stepOf(queued, report('failed', { code: 'another_code' }), TIMES),
    ];
    for (const one of final) expect(one).toMatchObject({ state: 'failed', agent: { id: 'a1' } });
  });

  it('that its agent calls lost is not late', () => {
    const lost = stepOf(task({ state: 'running' }), report('lost', { code: 'task_result_unknown' }), TIMES);
    expect(lost?.stateReason.code).toBe('task_result_unknown');
    expect(stepOf(lost ?? task(), report('succeeded'), TIMES)).toBeUndefined();
  });
});
