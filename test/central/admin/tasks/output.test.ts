// The output of tasks by REST, from an agent of the test: whom it is cut off from, and what an error says. Outputs of real
// programs: test/flow/task-output.test.ts.
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import { PassThrough, Readable } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { rolloutFault } from '../../../../central/rollouts/errors.ts';
import type { TaskRecord } from '../../../../central/store/tasks/task-store.ts';
import { startRest } from '../rest.ts';
import { RUNNING_TASK } from '../../tasks/running-task.ts';

const LOOK_MS = 15_000;
const HOUR_MS = 3_600_000;
const SHA = 'a'.repeat(64);
const ENDED = {
  ...RUNNING_TASK,
  state: 'succeeded',
  stdout: { keptBytes: 100_000, sha256: SHA, tail: '' },
} as unknown as TaskRecord;

beforeEach(() => void vi.useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'Date'] }));
afterEach(() => void vi.useRealTimers());

/** `content`: what comes of the agent, or why nothing does. */
async function scene(content: Readable | Error, task: TaskRecord = RUNNING_TASK) {
  const rest = await startRest(async () => ({
    tasks: { find: async () => task } as never,
    taskOutputs: {
      open: async () => {
        if (content instanceof Error) throw content;
        return { keptBytes: 100_000, hasEnded: false, content: content as never };
      },
    },
  }));
  const made = await rest.request('POST', '/api-tokens', {
    body: { name: 'reader', role: 'viewer', lifetimeSeconds: 2 * 3600 },
  });
  const { id, token } = (await made.json()) as { id: string; token: string };
  /** The head of the answer; its body waits to be read. */
  const follow = async (): Promise<IncomingMessage> => {
    const call = request(`${rest.url}/api/v1/tasks/t-1/output/stdout?follow=true`, {
      agent: false,
      headers: { authorization: `Bearer ${token}` },
    });
    call.end();
    const [answer] = (await once(call, 'response')) as [IncomingMessage];
    answer.on('error', () => undefined);
    return answer;
  };
  return { rest, id, follow };
}

/** Ends as a cut, not as the end of the output. */
async function expectCut(answer: IncomingMessage, content: Readable): Promise<void> {
  answer.resume();
  await vi.waitFor(() => expect(answer.closed).toBe(true), { interval: 5, timeout: 5_000 });
  expect([answer.complete, content.destroyed]).toEqual([false, true]);
}

/** The next look, and what it does. */
async function look(): Promise<void> {
  vi.advanceTimersByTime(LOOK_MS);
  for (let turns = 0; turns < 5; turns += 1) await new Promise(setImmediate);
}

describe('who reads the output of a task', () => {
  it('and stops is cut after 30 s in which nothing was taken; one who reads slowly is not', async () => {
    let sent = 0;
    const content = new Readable({
      read() {
        sent += 65_536;
        this.push(Buffer.alloc(65_536));
      },
    });
    const { follow } = await scene(content);
    const answer = await follow();
    /** Until nothing more fits between the two. */
    const full = async (): Promise<void> => {
      for (let before = -1; before !== sent; await new Promise((resolve) => setTimeout(resolve, 10))) before = sent;
    };
    await full();
    for (let slow = 0; slow < 3; slow += 1) {
      await look();
      const before = sent;
      answer.resume();
      await vi.waitFor(() => expect(sent).toBeGreaterThan(before), { interval: 1 });
      answer.pause();
      await full();
    }
    await look();
    await look();
    expect(content.destroyed).toBe(false);
    await look();
    await expectCut(answer, content);
  });

  it('and hears nothing is cut after 10 minutes, and not before', async () => {
    const content = new PassThrough();
    const { follow } = await scene(content);
    const answer = await follow();
    for (let looks = 1; looks < 40; looks += 1) await look();
    expect([answer.destroyed, content.destroyed]).toEqual([false, false]);
    await look();
    await expectCut(answer, content);
  });

  it('is cut at once when the token is deleted, in mid-answer', async () => {
    const content = new PassThrough();
    const { rest, id, follow } = await scene(content);
    const answer = await follow();
    content.write('first');
    expect(String((await once(answer, 'data'))[0])).toBe('first');
    await look();
    expect(content.destroyed).toBe(false);
    expect((await rest.request('DELETE', `/api-tokens/${id}`)).status).toBe(204);
    await expectCut(answer, content);
  });

  it('is cut within 15 s after the token has expired, in mid-answer', async () => {
    const content = new PassThrough();
    const { follow } = await scene(content);
    const answer = await follow();
    content.write('first');
    expect(String((await once(answer, 'data'))[0])).toBe('first');
    vi.setSystemTime(Date.now() + HOUR_MS);
    await look();
    expect(content.destroyed).toBe(false);
    vi.setSystemTime(Date.now() + HOUR_MS);
    await look();
    await expectCut(answer, content);
  });
});

describe('an error in place of the output', () => {
  const failing = (): Readable => new Readable({ read: () => undefined });
  const described = (answer: Response) =>
    ['etag', 'accept-ranges', 'content-range'].map((name) => answer.headers.get(name));

  it('has nothing that describes the output: without its agent, and where it fails before its first byte', async () => {
    const offline = await scene(rolloutFault('agent_offline', { agent: 'branch-1' }), ENDED);
    for (const headers of [{}, { range: 'bytes=5-9' }]) {
      const answer = await offline.rest.request('GET', '/tasks/t-1/output/stdout', { headers });
      expect([answer.status, ...described(answer)]).toEqual([503, null, null, null]);
    }
    const content = failing();
    const { rest } = await scene(content, ENDED);
    setTimeout(() => content.destroy(new Error('cut')), 100);
    const failed = await rest.request('GET', '/tasks/t-1/output/stdout');
    expect([failed.status, ...described(failed)]).toEqual([503, null, null, null]);
    expect(await failed.json()).toMatchObject({ code: 'task_output_failed' });
  });

  it('says of a part that is not there how long the output is', async () => {
    const { rest } = await scene(failing(), ENDED);
    const answer = await rest.request('GET', '/tasks/t-1/output/stdout', { headers: { range: 'bytes=100000-' } });
    expect([answer.status, ...described(answer)]).toEqual([416, null, null, 'bytes */100000']);
    const whole = await rest.request('HEAD', '/tasks/t-1/output/stdout');
    expect([whole.status, ...described(whole)]).toEqual([200, `"${SHA}"`, 'bytes', null]);
  });
});
