// An agent that dies at any step of an update of its software: the launcher always starts something that is whole, and
// the next processes finish what was begun and say so.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { loadReleaseRecord } from '../../../../agent/release-record.ts';
import type { ReleaseState } from '../../../../shared/wire/release-frames.ts';
import { cleanup, FalseCentral } from '../central.ts';
import {
  copyOfMachine,
  launch,
  machine,
  program,
  serve,
  slotFolder,
  start,
  stateFile,
  type Machine,
} from './machine.ts';

type Final = ReleaseState['state'];

afterEach(async () => {
  for (const act of cleanup.splice(0).toReversed()) await act();
});

/** More than an update has steps. */
const MOST_STEPS = 80;

interface Walk {
  readonly central: FalseCentral;
  readonly from: Machine;
  readonly old: string | null;
  readonly next: string;
  readonly generation: number;
  readonly final: Final;
}

/** Throws from its n-th call on, over all processes, as a process that is dead does nothing more. */
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

/** Runs the update until it dies at its n-th step; the step, or undefined when it was finished before. */
async function dieAt(nth: number, { central, next, generation, final }: Walk, of: Machine) {
  const { died, onStep } = dyingAt(nth);
  const ended = central.stateOf(generation, final).then(() => 'done' as const);
  const dead = died.then((step) => ({ step }));
  for (let isOffered = false; ;) {
    const { agent, restarted } = await start(of, { onStep });
    if (!isOffered) {
      await central.hello(() => true);
      central.offer({ kind: 'software', release: next, generation });
      isOffered = true;
    }
    const how = await Promise.race([dead, ended, restarted]);
    await agent.stop();
    // What it does after it has said how it ended is over now.
    if (how === 'done') return await Promise.race([died, Promise.resolve(undefined)]);
    if (how !== 'restart') return how.step;
  }
}

/** Dies at each step, each time on copies of the machine; the steps. */
async function walk(given: Walk): Promise<string[]> {
  const { central, from, old, next, generation, final } = given;
  const steps: string[] = [];
  for (let nth = 0; nth < MOST_STEPS; nth += 1) {
    const of = await copyOfMachine(from);
    central.hellos.length = 0;
    central.states.length = 0;
    const step = await dieAt(nth, given, of);
    if (step === undefined) return steps;
    steps.push(step);
    central.hellos.length = 0;
    central.states.length = 0;
    const served = serve(of, central.stateOf(generation, final), ({ slot }) => {
      const { program: digest } = slot.pair;
      expect([old, next], step).toContain(digest);
      const folder = digest === null ? join(of.root, 'lib/factory/program') : slotFolder(of, digest);
      expect(existsSync(join(folder, 'agent/cli.js')), step).toBe(true);
    });
    await central.hello(() => true);
    // An instruction that was not on the disk yet is offered again.
    if ((await loadReleaseRecord(of.data))?.software?.instruction.generation !== generation)
      central.offer({ kind: 'software', release: next, generation });
    await (await served).agent.stop();
    expect(launch(of), step).toMatchObject({
      isCandidate: false,
      pair: { program: final === 'succeeded' ? next : old },
    });
    expect(['candidate', 'tries', 'verdict'].map((name) => stateFile(of, name))).toEqual(Array(3).fill(undefined));
    expect(readdirSync(join(of.root, 'software/slots')).filter((name) => name.length !== 64)).toEqual([]);
    expect(readdirSync(join(of.root, 'software/state')).filter((name) => name !== 'current')).toEqual([]);
  }
  throw new Error('it never came to an end');
}

async function update(central: FalseCentral, of: Machine, release: string, generation: number): Promise<void> {
  central.hellos.length = 0;
  const served = serve(of, central.stateOf(generation, 'succeeded'));
  await central.hello(() => true);
  central.offer({ kind: 'software', release, generation });
  await (await served).agent.stop();
}

async function fromPackage(): Promise<Walk> {
  const central = await new FalseCentral().listen();
  const from = await machine(central);
  return { central, from, old: null, next: central.add(program('0.2.0')), generation: 1, final: 'succeeded' };
}

/** It runs the first program, and gets a second one. */
async function updated(): Promise<Walk> {
  const { central, from, next: old } = await fromPackage();
  await update(central, from, old, 1);
  return { central, from, old, next: central.add(program('0.3.0')), generation: 2, final: 'succeeded' };
}

it('ends with the new software after a death at any step', async () => {
  const steps = await walk(await fromPackage());
  expect(steps).toEqual(
    expect.arrayContaining([
      'before offered',
      'manifest',
      'assembled',
      'named',
      'before trying',
      'before candidate',
      'after candidate',
      'restart',
      'before current',
      'after current',
      'before removal of candidate',
      'before succeeded',
    ]),
  );
});

it('ends with the software before after a death at any step, where the new one is refused', async () => {
  const given = await updated();
  given.central.refuse = ({ releases }) =>
    releases.program === given.next ? { code: 'agent_unknown', close: 4401 } : undefined;
  const steps = await walk({ ...given, final: 'rolled-back' });
  expect(steps).toEqual(
    expect.arrayContaining(['before verdict', 'after verdict', 'before rolled-back', 'before removal of verdict']),
  );
});

it('ends with the software before after a rollback to it that died at any step', async () => {
  const { central, from, old, next } = await updated();
  await update(central, from, next, 2);
  const steps = await walk({ central, from, old: next, next: old ?? '', generation: 3, final: 'succeeded' });
  expect(steps).toContain('after current');
  expect(steps.filter((step) => step.startsWith('placed'))).toEqual([]);
});
