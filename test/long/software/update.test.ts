// Updates of the software of an agent as it is installed: the real launcher, the bundle that is built, real processes,
// and a service manager that starts them again. Central is one of the tests' own.
import { mkdirSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { cleanup as acts, FalseCentral } from '../../agent/releases/central.ts';
import { Cleanup, until } from '../../flow/processes.ts';
import { canMount, mountSmallDisk } from '../../small-disk.ts';
import { BranchMachine, programRelease, runtimeRelease } from './branch-machine.ts';

const cleanup = new Cleanup();
afterEach(async () => {
  await cleanup.run();
  for (const act of acts.splice(0).toReversed()) await act();
});

const MINUTES = 60_000;
const kind = 'software';
const good = programRelease({ version: '0.0.2' });

type Options = Parameters<typeof BranchMachine.make>[2];

async function online(options?: Options) {
  const central = await new FalseCentral().listen();
  // A beat would be missed by a clock that runs faster.
  central.heartbeatSeconds = 3600;
  const machine = await BranchMachine.make(cleanup, central, options);
  machine.serve();
  await central.hello(() => true);
  return { central, machine };
}

it('is downloaded, started, and committed after a minute, in real time', { timeout: 4 * MINUTES }, async () => {
  const { central, machine } = await online({ isFast: false });
  const digest = central.add(programRelease({ version: '0.0.2', isFast: false }));
  central.offer({ kind, release: digest, generation: 1 });
  await central.hello(({ releases }) => releases.program === digest);
  const since = performance.now();
  expect(await central.stateOf(1, 'succeeded')).toMatchObject({ code: '', release: digest });
  expect(performance.now() - since).toBeGreaterThan(59_000);
  expect(machine.stateFile('current')).toBe(`${digest} factory\n`);
  // It ended in order, once.
  expect(machine.ends).toEqual(['0']);
});

it(
  'is Node.js as well as the program, each on its own, and the status shows both',
  { timeout: 2 * MINUTES },
  async () => {
    const { central, machine } = await online();
    const [node, program] = [central.add(runtimeRelease()), central.add(good)];
    central.offer({ kind, release: node, generation: 1 });
    expect(await central.stateOf(1, 'succeeded')).toMatchObject({ code: '', release: node });
    central.offer({ kind, release: program, generation: 2 });
    expect(await central.stateOf(2, 'succeeded')).toMatchObject({ code: '', release: program });
    expect(machine.stateFile('current')).toBe(`${program} ${node}\n`);
    expect(central.hellos.map(({ releases }) => [releases.program, releases.runtime])).toEqual([
      [null, null],
      [null, node],
      [program, node],
    ]);
    expect(readlinkSync(`/proc/${machine.pid}/exe`)).toBe(join(machine.root, 'software/slots', node, 'node'));
    const status = await machine.print('status');
    expect(status).toMatch(
      new RegExp(`program +release ${program.slice(0, 12)}\n +runtime +release ${node.slice(0, 12)}\n`),
    );
    expect(status).toMatch(new RegExp(`release +${program.slice(0, 12)} succeeded\n`));
  },
);

describe('software that does not work leaves by itself', () => {
  it('when it throws at its start', { timeout: MINUTES }, async () => {
    const { central, machine } = await online();
    const digest = central.add(programRelease({ version: '0.0.3', cli: 'throw new Error("broken");\n' }));
    central.offer({ kind, release: digest, generation: 1 });
    expect(await central.stateOf(1, 'rolled-back')).toMatchObject({ code: 'tries_exhausted', release: digest });
    expect(machine.ends).toEqual(['0', '1', '1', '1']);
    expect(machine.stateFile('current')).toBeUndefined();
  });

  it('when it hangs', { timeout: MINUTES }, async () => {
    // The watchdog waits as often as it does, and a hundred times as fast.
    const { central, machine } = await online({ sleepSeconds: 0.05 });
    const digest = central.add(
      programRelease({ version: '0.0.3', cli: 'process.on("SIGTERM", () => 0); for (;;);\n' }),
    );
    central.offer({ kind, release: digest, generation: 1, trialSeconds: 30 });
    expect(await central.stateOf(1, 'rolled-back')).toMatchObject({ code: 'trial_expired', release: digest });
    expect(machine.ends).toEqual(['0', 'SIGKILL']);
  });

  it('when Central refuses it for good, and when it is never welcomed', { timeout: MINUTES }, async () => {
    const { central, machine } = await online();
    const digest = central.add(good);
    let refusal = { code: 'agent_unknown', close: 4401 };
    central.refuse = ({ releases }) => (releases.program === digest ? refusal : undefined);
    central.offer({ kind, release: digest, generation: 1 });
    expect(await central.stateOf(1, 'rolled-back')).toMatchObject({ code: 'refused' });
    refusal = { code: 'busy', close: 4503 };
    central.offer({ kind, release: digest, generation: 2, trialSeconds: 30 });
    // It says nothing about the software: the agent waits, and will try again.
    await until(
      () => central.states.find(({ generation, code }) => generation === 2 && code === 'trial_inconclusive'),
      30_000,
    );
    expect(central.hellos.at(-1)?.releases.program).toBeNull();
    expect(machine.stateFile('current')).toBeUndefined();
  });
});

describe.skipIf(!canMount())('a full disk', () => {
  it('fails the update, and the agent goes on', { timeout: MINUTES }, async () => {
    const central = await new FalseCentral().listen();
    central.heartbeatSeconds = 3600;
    const machine = await BranchMachine.make(cleanup, central);
    const folder = join(machine.root, 'software');
    mkdirSync(folder);
    mountSmallDisk(folder, 3, cleanup);
    machine.serve();
    await central.hello(() => true);
    const digest = central.add(programRelease({ version: '0.0.2', cli: `//${'x'.repeat(2_000_000)}\n` }));
    central.offer({ kind, release: digest, generation: 1 });
    expect(await central.stateOf(1, 'failed')).toMatchObject({ code: 'disk_full' });
    expect(machine.ends).toEqual([]);
    // What was downloaded is gone: a smaller one fits.
    central.offer({ kind, release: central.add(good), generation: 2, stage: 'synchronize' });
    expect(await central.stateOf(2, 'synchronized')).toMatchObject({ code: '' });
  });
});

describe('kill -9 at each step of an update', () => {
  /**
   * Runs an update whose process is killed before its n-th change of a file; the change, or undefined: there are fewer.
   */
  async function killedAt(nth: number, isRefused: boolean): Promise<string | undefined> {
    const { central, machine } = await online({ environment: { KILL_AT: String(nth) } });
    const digest = central.add(good);
    if (isRefused)
      central.refuse = ({ releases }) =>
        releases.program === digest ? { code: 'agent_unknown', close: 4401 } : undefined;
    const offer = (): void => central.offer({ kind, release: digest, generation: 1 });
    offer();
    const final = isRefused ? 'rolled-back' : 'succeeded';
    let isOver = false;
    const over = central.stateOf(1, final).then(() => (isOver = true));
    // What was lost before it was on the disk is offered again, as Central does.
    for (let hellos = 1; !isOver;) {
      await Promise.race([over, central.hello(() => central.hellos.length > hellos)]);
      if (central.hellos.length > hellos) offer();
      hellos = central.hellos.length;
    }
    const committed = isRefused ? undefined : `${digest} factory\n`;
    await until(() => machine.stateFile('candidate') === undefined && machine.stateFile('verdict') === undefined);
    expect(machine.stateFile('current'), machine.steps[nth - 1]).toBe(committed);
    await machine.stop();
    const wasKilled = machine.ends.includes('SIGKILL');
    return wasKilled ? machine.steps[nth - 1] : undefined;
  }

  async function walk(isRefused: boolean): Promise<string[]> {
    const steps: string[] = [];
    const next = { nth: 1, isOver: false };
    const worker = async (): Promise<void> => {
      while (!next.isOver) {
        const { nth } = next;
        next.nth += 1;
        const step = await killedAt(nth, isRefused);
        if (step === undefined) next.isOver = true;
        else steps.push(step);
      }
    };
    await Promise.all([worker(), worker(), worker()]);
    return steps;
  }

  it('ends with the new software', { timeout: 8 * MINUTES }, async () => {
    const steps = await walk(false);
    for (const wanted of [
      'rename software/state/candidate',
      'rename software/state/current',
      'rm software/state/candidate',
    ])
      expect(steps).toContain(wanted);
    expect(steps.filter((step) => step === 'rename releases/state.json').length).toBeGreaterThan(4);
  });

  it('ends with the software before where the new one is refused', { timeout: 8 * MINUTES }, async () => {
    const steps = await walk(true);
    for (const wanted of ['rename software/state/verdict', 'rm software/state/verdict'])
      expect(steps).toContain(wanted);
  });
});
