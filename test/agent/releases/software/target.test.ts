// What an installed agent does with a release of its software: from the offer over the trial in the next process to the
// commit, and back. The launcher is the real one.
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { examineAgent } from '../../../../agent/doctor/doctor.ts';
import { cleanup, FalseCentral, foreignKey, requestOf, type Release } from '../central.ts';
import { launch, machine, program, runtime, serve, slotFolder, start, stateFile, type Started } from './machine.ts';

afterEach(async () => {
  for (const act of cleanup.splice(0).toReversed()) await act();
});

async function installed() {
  const central = await new FalseCentral().listen();
  const folders = await machine(central);
  return { central, folders };
}

const offered = { kind: 'software' } as const;

it('takes a program: downloads it into a slot, is started with it, and commits it a minute after the welcome', async () => {
  const { central, folders } = await installed();
  const made = program('0.2.0');
  const digest = central.add(made);
  const slots: Started['slot'][] = [];
  const served = serve(folders, central.stateOf(1, 'succeeded'), ({ slot }) => slots.push(slot));
  await central.hello(() => true);
  central.offer({ ...offered, release: digest, generation: 1 });
  const { agent } = await served;
  expect(slots.map(({ isCandidate, pair }) => [isCandidate, pair.program, pair.runtime])).toEqual([
    [false, null, null],
    [true, digest, null],
  ]);
  expect(central.hellos.map(({ releases }) => releases.program)).toEqual([null, digest]);
  expect(stateFile(folders, 'current')).toBe(`${digest} factory\n`);
  expect(['candidate', 'tries', 'verdict'].map((name) => stateFile(folders, name))).toEqual(Array(3).fill(undefined));
  const slot = slotFolder(folders, digest);
  expect(readFileSync(join(slot, 'agent/cli.js'), 'utf8')).toBe('// 0.2.0\n');
  // Every account of the machine may run it.
  const modes = ['', 'agent', 'agent/cli.js'].map((path) => (statSync(join(slot, path)).mode & 0o777).toString(8));
  expect(modes).toEqual(['755', '755', '644']);
  expect(agent.releases.status()?.software).toMatchObject({
    program: digest,
    runtime: null,
    isOnTrial: false,
    previous: { program: null, runtime: null },
    instruction: { state: 'succeeded', generation: 1, stateReason: null },
  });
  await agent.stop();
  expect(existsSync(join(folders.root, 'software/blobs'))).toBe(false);
  expect(launch(folders)).toMatchObject({ isCandidate: false, pair: { program: digest, runtime: null } });
});

it('takes a runtime beside the program that runs, and returns to the program before without a download', async () => {
  const { central, folders } = await installed();
  const [first, second, node] = [program('0.2.0'), program('0.3.0'), runtime('26.11.0')];
  for (const made of [first, second, node]) central.add(made);
  let generation = 0;
  for (const release of [first.digest, node.digest, second.digest, first.digest]) {
    generation += 1;
    if (generation === 4) central.requests.length = 0;
    central.hellos.length = 0;
    const served = serve(folders, central.stateOf(generation, 'succeeded'));
    await central.hello(() => true);
    central.offer({ ...offered, release, generation });
    await (await served).agent.stop();
  }
  expect(central.requests).toEqual([]);
  expect(stateFile(folders, 'current')).toBe(`${first.digest} ${node.digest}\n`);
  expect(central.hellos.at(-1)?.releases).toEqual({ profile: null, program: first.digest, runtime: node.digest });
  // The slots of both programs are there, the one that ran before for seven days.
  expect(readdirSync(join(folders.root, 'software/slots')).toSorted()).toEqual(
    [first.digest, second.digest, node.digest].toSorted(),
  );
});

it('keeps the software that ran before for seven days', async () => {
  const { central, folders } = await installed();
  const digests = [central.add(program('0.2.0')), central.add(program('0.3.0'))];
  for (const [index, release] of digests.entries()) {
    central.hellos.length = 0;
    const served = serve(folders, central.stateOf(index + 1, 'succeeded'));
    await central.hello(() => true);
    central.offer({ ...offered, release, generation: index + 1 });
    await (await served).agent.stop();
  }
  /** The slots after the agent has looked what to remove, so many days later. */
  const slotsAfter = async (days: number): Promise<string[]> => {
    central.time += days * 86_400_000;
    central.states.length = 0;
    central.hellos.length = 0;
    const { promise: later, resolve } = Promise.withResolvers<() => void>();
    const { promise: again, resolve: looked } = Promise.withResolvers<void>();
    let looks = 0;
    const onLater = (ms: number, act: () => void): void => {
      if (ms !== 6 * 3_600_000) return;
      looks += 1;
      if (looks === 1) resolve(act);
      else looked();
    };
    const { agent } = await start(folders, { onLater });
    await central.hello(() => true);
    await central.stateOf(2, 'succeeded');
    (await later)();
    await again;
    await agent.stop();
    return readdirSync(join(folders.root, 'software/slots')).toSorted();
  };
  expect(await slotsAfter(6)).toEqual(digests.toSorted());
  expect(await slotsAfter(2)).toEqual([digests[1]]);
});

it('refuses what the build key did not sign, what is for another platform, and what is not software', async () => {
  const { central, folders } = await installed();
  const { agent } = await start(folders);
  await central.hello(() => true);
  const foreign = generateKeyPairSync('ed25519').privateKey;
  const good = program('0.4.0');
  const other = program('0.4.1');
  const { signature: _, ...unsigned } = program('0.2.0');
  const refused: [Release, string][] = [
    [unsigned, 'release_unsigned'],
    [program('0.3.0', foreign), 'release_signer_unknown'],
    [{ ...good, signature: other.signature ?? '' }, 'build_signature_invalid'],
    [{ ...other, signature: '{}' }, 'build_signature_invalid'],
    [runtime('26.11.0', 'linux-arm64'), 'runtime_foreign'],
  ];
  let generation = 0;
  for (const [made, code] of refused) {
    generation += 1;
    central.requests.length = 0;
    central.offer({ ...offered, release: central.add(made), generation });
    expect(await central.stateOf(generation, 'failed'), code).toMatchObject({ code, kind: 'software' });
    // Nothing of it was downloaded.
    expect(central.requests.filter(({ path }) => path.startsWith('/blobs/'))).toEqual([]);
  }
  expect(readdirSync(join(folders.root, 'software/slots'))).toEqual([]);
  await agent.stop();
});

it('refuses software without usable signers, and says what to do', async () => {
  const { central, folders } = await installed();
  const digest = central.add(program('0.2.0'));
  writeFileSync(join(folders.profile, 'conf/agent.local.conf'), '');
  const { agent } = await start(folders);
  await central.hello(() => true);
  central.offer({ ...offered, release: digest, generation: 1 });
  expect(await central.stateOf(1, 'failed')).toMatchObject({ code: 'software_signers_missing' });
  writeFileSync(join(folders.profile, 'conf/agent.local.conf'), 'software.signers=conf/agent.conf\n');
  central.offer({ ...offered, release: digest, generation: 2 });
  const unusable = await central.stateOf(2, 'failed');
  expect(unusable).toMatchObject({ code: 'software_signer_unusable' });
  expect(unusable.hint.length).toBeGreaterThan(0);
  await agent.stop();
});

it('refuses instructions for another agent, of an old generation and expired ones, as for profiles', async () => {
  const { central, folders } = await installed();
  const digest = central.add(program('0.2.0'));
  const { agent } = await start(folders);
  await central.hello(() => true);
  central.offer({ ...offered, stage: 'synchronize', release: digest, generation: 5 });
  await central.stateOf(5, 'synchronized');
  for (const change of [
    { generation: 4 },
    { generation: 6, agent: 'a2' },
    { generation: 7, expires: 1_780_000_000_000 },
  ]) {
    central.offer({ ...offered, release: digest, ...change });
    expect(await central.stateOf(change.generation, 'failed')).toMatchObject({ code: 'instruction_refused' });
  }
  central.offer({ ...offered, release: digest, generation: 8 }, foreignKey);
  expect(await central.stateOf(8, 'failed')).toMatchObject({ code: 'instruction_invalid' });
  // The generations of profiles are others.
  expect(agent.releases.status()).toMatchObject({ profile: null, software: { instruction: { generation: 5 } } });
  expect(stateFile(folders, 'candidate')).toBeUndefined();
  await agent.stop();
});

it('returns by itself to the software before when Central refuses the candidate for good, and names the cause', async () => {
  const { central, folders } = await installed();
  const digest = central.add(program('0.2.0'));
  central.refuse = ({ releases }) => (releases.program === digest ? { code: 'agent_unknown', close: 4401 } : undefined);
  const served = serve(folders, central.stateOf(1, 'rolled-back'));
  await central.hello(() => true);
  central.offer({ ...offered, release: digest, generation: 1 });
  const { slot, agent } = await served;
  expect(slot).toMatchObject({ isCandidate: false, pair: { program: null } });
  const state = await central.stateOf(1, 'rolled-back');
  expect(state).toMatchObject({ code: 'refused', release: digest });
  expect(state.detail).toContain('agent_unknown');
  await agent.stop();
  expect(['candidate', 'tries', 'verdict'].map((name) => stateFile(folders, name))).toEqual(Array(3).fill(undefined));
});

it('does not fail a candidate that a busy Central throttles: it tries again, four times in all', async () => {
  const { central, folders } = await installed();
  const digest = central.add(program('0.2.0'));
  let isBusy = true;
  central.refuse = ({ releases }) =>
    isBusy && releases.program === digest ? { code: 'busy', close: 4503, after: 4000 } : undefined;
  const trials: boolean[] = [];
  const served = serve(folders, central.stateOf(1, 'failed'), ({ slot }) => trials.push(slot.isCandidate));
  await central.hello(() => true);
  central.offer({ ...offered, release: digest, generation: 1, trialSeconds: 30 });
  await (await served).agent.stop();
  expect(await central.stateOf(1, 'failed')).toMatchObject({ code: 'trial_inconclusive' });
  expect(trials.filter((isCandidate) => isCandidate)).toHaveLength(4);
  // The next instruction tries the same slot.
  isBusy = false;
  central.requests.length = 0;
  central.hellos.length = 0;
  const again = serve(folders, central.stateOf(2, 'succeeded'));
  await central.hello(() => true);
  central.offer({ ...offered, release: digest, generation: 2 });
  await (await again).agent.stop();
  expect(central.requests).toEqual([]);
});

it('reports what the launcher found: a program that ends at its start, and a slot that is not whole', async () => {
  const { central, folders } = await installed();
  const digest = central.add(program('0.2.0'));
  const started = await start(folders);
  await central.hello(() => true);
  central.offer({ ...offered, release: digest, generation: 1 });
  await started.restarted;
  await started.agent.stop();
  // It ends three times before it does anything.
  for (let tries = 0; tries < 3; tries += 1) expect(launch(folders).isCandidate).toBe(true);
  const { agent } = await start(folders);
  expect(await central.stateOf(1, 'rolled-back')).toMatchObject({ code: 'tries_exhausted' });
  // Altered on the disk after it was written: the candidate finds it itself.
  central.hellos.length = 0;
  await agent.stop();
  const served = start(folders);
  const next = await served;
  await central.hello(() => true);
  central.offer({ ...offered, release: digest, generation: 2 });
  await next.restarted;
  await next.agent.stop();
  writeFileSync(join(slotFolder(folders, digest), 'agent/main.js'), '// main of 0.2.1\n');
  const last = await serve(folders, central.stateOf(2, 'rolled-back'));
  expect(await central.stateOf(2, 'rolled-back')).toMatchObject({ code: 'release_incomplete' });
  await last.agent.stop();
});

it('names files of its slots that changed on the disk, of program and runtime, and repairs them with the next instruction', async () => {
  const { central, folders } = await installed();
  const [made, node] = [program('0.2.0'), runtime('26.11.0')];
  for (const [index, release] of [central.add(made), central.add(node)].entries()) {
    central.hellos.length = 0;
    const served = serve(folders, central.stateOf(index + 1, 'succeeded'));
    await central.hello(() => true);
    central.offer({ ...offered, release, generation: index + 1 });
    await (await served).agent.stop();
  }
  const changed = { [made.digest]: 'agent/main.js', [node.digest]: 'README' };
  for (const [digest, name] of Object.entries(changed))
    writeFileSync(join(slotFolder(folders, digest), name), '// another one\n');
  central.hellos.length = 0;
  central.states.length = 0;
  const { agent } = await start(folders);
  for (const [digest, name] of Object.entries(changed)) {
    const found = await central.measurement(digest);
    expect(found).toMatchObject({ kind: 'software', code: 'software_drift', changedFiles: [name], overriddenKeys: [] });
    expect(found.detail).toContain(name);
  }
  expect(agent.releases.status()?.software?.changedFiles).toEqual(Object.values(changed));
  central.requests.length = 0;
  central.offer({ ...offered, release: made.digest, generation: 3 });
  await central.stateOf(3, 'succeeded');
  expect(agent.releases.status()?.software?.changedFiles).toEqual(['README']);
  expect(readFileSync(join(slotFolder(folders, made.digest), 'agent/main.js'), 'utf8')).toBe('// main of 0.2.0\n');
  // Only what had changed came again, and nothing was started again.
  expect(central.requests.filter(({ path }) => path.startsWith('/blobs/'))).toHaveLength(1);
  central.offer({ ...offered, stage: 'synchronize', release: node.digest, generation: 4 });
  await central.stateOf(4, 'synchronized');
  expect(agent.releases.status()?.software?.changedFiles).toEqual([]);
  expect(readdirSync(slotFolder(folders, node.digest))).toEqual(['node']);
  expect(central.hellos).toHaveLength(1);
  await agent.stop();
});

it('ends the trial that Central cancels, and the agent runs what it ran before', async () => {
  const { central, folders } = await installed();
  const digest = central.add(program('0.2.0'));
  const first = await start(folders);
  await central.hello(() => true);
  central.offer({ ...offered, release: digest, generation: 1 });
  await first.restarted;
  await first.agent.stop();
  const candidate = await start(folders, { isTimeStopped: true });
  expect(candidate.slot.isCandidate).toBe(true);
  await central.hello(({ releases }) => releases.program === digest);
  central.send({ type: 'release-cancel', kind: 'software', generation: 1 });
  await candidate.restarted;
  await candidate.agent.stop();
  const last = await start(folders);
  expect(last.slot).toMatchObject({ isCandidate: false, pair: { program: null } });
  await central.stateOf(1, 'canceled');
  await last.agent.stop();
  expect(stateFile(folders, 'candidate')).toBeUndefined();
});

it('begins the next instruction after the trial that it replaces', async () => {
  const { central, folders } = await installed();
  const [first, second] = [central.add(program('0.2.0')), central.add(program('0.3.0'))];
  const started = await start(folders);
  await central.hello(() => true);
  central.offer({ ...offered, release: first, generation: 1 });
  await started.restarted;
  await started.agent.stop();
  const candidate = await start(folders, { isTimeStopped: true });
  await central.hello(({ releases }) => releases.program === first);
  central.offer({ ...offered, release: second, generation: 2 });
  await candidate.restarted;
  await candidate.agent.stop();
  const served = await serve(folders, central.stateOf(2, 'succeeded'));
  await served.agent.stop();
  expect(stateFile(folders, 'current')).toBe(`${second} factory\n`);
  expect(central.states.some(({ generation, state }) => generation === 1 && state === 'succeeded')).toBe(false);
});

it('is what the doctor says too, so that Central does not take it for a rollback', async () => {
  const { central, folders } = await installed();
  const environment = {
    QUEUE_AGENT_SLOT: `current ${'a'.repeat(64)} factory`,
    QUEUE_AGENT_SOFTWARE_FOLDER: folders.root,
  };
  const request = { ...requestOf(folders), environment };
  for await (const { fault } of examineAgent(request, { timeoutMs: 5000, now: () => new Date() }))
    expect(fault).toBeNull();
  expect(central.hellos.map(({ releases }) => releases)).toEqual([
    { profile: null, program: 'a'.repeat(64), runtime: null },
  ]);
});

it('commits nothing that it has no instruction for', async () => {
  const { central, folders } = await installed();
  const digest = central.add(program('0.2.0'));
  const first = await start(folders);
  await central.hello(() => true);
  central.offer({ ...offered, stage: 'synchronize', release: digest, generation: 1 });
  await central.stateOf(1, 'synchronized');
  await first.agent.stop();
  writeFileSync(join(folders.root, 'software/state/candidate'), `${digest} factory 300\n`);
  const candidate = await start(folders);
  expect(candidate.slot.isCandidate).toBe(true);
  await candidate.restarted;
  await candidate.agent.stop();
  expect(stateFile(folders, 'verdict')).toBe(`${digest} factory trial_unknown\n`);
  expect(launch(folders).isCandidate).toBe(false);
});
