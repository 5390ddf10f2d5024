// An agent that dies at any step of a release: one of the two releases is whole and runs, and the next process finishes
// what was begun and says so.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { loadAgentConf } from '../../../agent/conf.ts';
import { loadReleaseRecord } from '../../../agent/release-record.ts';
import type { ReleaseState } from '../../../shared/wire/release-frames.ts';
import { branch, cleanup, copyOf, FalseCentral, release, requestOf, run, type Branch } from './central.ts';

type Final = ReleaseState['state'];

afterEach(async () => {
  for (const act of cleanup.splice(0).toReversed()) await act();
});

/** More than a release has steps. */
const MOST_STEPS = 60;

/** Throws from its n-th call on, as a process that is dead does nothing more; `died` resolves then. */
function dyingAt(nth: number) {
  const { promise: died, resolve } = Promise.withResolvers<string>();
  let calls = 0;
  const onStep = (step: string): void => {
    calls += 1;
    if (calls <= nth) return;
    resolve(step);
    throw new Error(`died at ${step}`);
  };
  return { died, onStep };
}

interface Walk {
  readonly central: FalseCentral;
  readonly folders: Branch;
  readonly old: string | null;
  readonly next: string;
}

/** A daemon that is online; what was said before it is forgotten. */
async function start(central: FalseCentral, folders: Branch, onStep?: (step: string) => void) {
  central.hellos.length = 0;
  central.states.length = 0;
  const agent = await run(folders, onStep === undefined ? {} : { onStep });
  return { agent, hello: await central.hello(() => true) };
}

/** Offers a release, with a death at step n; the step, or undefined when it was finished before. */
async function dieAt(nth: number, { central, next }: Walk, folders: Branch, generation: number, final: Final) {
  const { died, onStep } = dyingAt(nth);
  const { agent } = await start(central, folders, onStep);
  central.offer({ release: next, generation });
  const step = await Promise.race([died, central.stateOf(generation, final).then(() => undefined)]);
  await agent.stop();
  return step;
}

/** Dies at each step, each time in copies of the folders; the steps. */
async function walk(given: Walk, generation: number, final: Final): Promise<string[]> {
  const { central, folders: from, old, next } = given;
  const steps: string[] = [];
  for (let nth = 0; nth < MOST_STEPS; nth += 1) {
    const folders = await copyOf(from);
    const step = await dieAt(nth, given, folders, generation, final);
    if (step === undefined) return steps;
    steps.push(step);
    const { agent, hello } = await start(central, folders);
    const { profile } = await loadAgentConf(requestOf(folders));
    expect([old, next], step).toContain(profile.release);
    // The first hello says what ran then.
    expect([old, next], step).toContain(hello.releases.profile);
    // An instruction that was not on the disk yet is offered again.
    if ((await loadReleaseRecord(folders.data))?.profile?.instruction.generation !== generation)
      central.offer({ release: next, generation });
    await central.stateOf(generation, final);
    const { profile: last } = await loadAgentConf(requestOf(folders));
    expect(last.release, step).toBe(final === 'succeeded' ? next : old);
    await agent.stop();
    const left = await readdir(join(folders.data, 'releases', 'profiles'));
    expect(left.filter((name) => name.length !== 64)).toEqual([]);
  }
  throw new Error('it never came to an end');
}

const conf = ({ port }: FalseCentral, more = ''): string =>
  `central.host=127.0.0.1\ncentral.websocket.secure=false\ncentral.websocket.port=${port}\n${more}`;

async function placedByHand(): Promise<Walk> {
  const central = await new FalseCentral().listen();
  const folders = await branch({ 'conf/agent.conf': conf(central) });
  const next = central.add(release({ 'conf/agent.conf': conf(central, 'log.level=warn\n'), 'lib/a.bin': 'a' }));
  return { central, folders, old: null, next };
}

async function upgrade({ central, folders, next: old }: Walk, generation: number, next: string): Promise<Walk> {
  const { agent } = await start(central, folders);
  central.offer({ release: old, generation });
  await central.stateOf(generation, 'succeeded');
  await agent.stop();
  return { central, folders, old, next };
}

/** It runs with a release already. */
async function released(): Promise<Walk> {
  const given = await placedByHand();
  const files = { 'conf/agent.conf': conf(given.central), 'lib/a.bin': 'a', 'lib/b.bin': 'b' };
  return await upgrade(given, 1, given.central.add(release(files)));
}

it('ends with the new release after a death at any step', async () => {
  const steps = await walk(await placedByHand(), 1, 'succeeded');
  expect(steps).toEqual(
    expect.arrayContaining(['before offered', 'manifest', 'assembled', 'named', 'dial', 'before succeeded']),
  );
  expect(steps).toContain('after succeeded');
});

it('ends with the previous release after a death at any step, where the new one is refused', async () => {
  const given = await released();
  given.central.refuse = ({ releases }) =>
    releases.profile === given.next ? { code: 'agent_unknown', close: 4401 } : undefined;
  expect(await walk(given, 2, 'rolled-back')).toContain('after rolled-back');
});

it('ends with the previous release after a rollback to it that died at any step', async () => {
  const first = await released();
  const upgraded = await upgrade(first, 2, first.old ?? '');
  expect(await walk(upgraded, 3, 'succeeded')).toContain('before succeeded');
});
