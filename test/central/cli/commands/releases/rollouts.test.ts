import { expect, test } from 'vitest';
import { NAME, startRollouts } from '../../../admin/releases/scene.ts';
import { RELEASE } from '../../../rollouts/samples.ts';
import { queuegateFor } from '../../over-socket.ts';

async function start() {
  const { fleet, rest } = await startRollouts();
  const rounds = async (count: number): Promise<void> => {
    for (let round = 0; round < count; round += 1) await fleet.round();
  };
  return { fleet, rounds, queuegate: await queuegateFor(rest) };
}

test('a profile is synchronized, then upgraded in waves, and its progress shown', async () => {
  const { rounds, queuegate } = await start();
  const synchronized = await queuegate(`profiles synchronize ${NAME} --agents a1 --agents a2 --rate 2MB/s`);
  expect(synchronized).toMatchObject({ status: 0, error: '' });
  expect(synchronized.out).toContain(`Rollout r-1: synchronize ${NAME}, 2 agents.`);
  await rounds(4);
  const line = `profiles upgrade ${NAME} --rollout r-1 --waves 1,100% --success 95% --error 5% --soak 0s --trial 5m`;
  expect(await queuegate(`${line} --ticket CHG-101`)).toMatchObject({ status: 0, error: '' });
  const shown = (await queuegate('rollouts show r-1')).out;
  expect(shown).toMatch(/state +running, since /);
  expect(shown).toMatch(/waves +1 \(running\), 2 \(waiting\)/);
  expect(shown).toContain(`[${'-'.repeat(30)}] 0 %`);
  expect(shown).toContain('1 synchronized, 1 offered');
  await rounds(10);
  const done = await queuegate('rollouts show r-1 --wait', { terminal: false });
  expect(done.status).toBe(0);
  expect(done.out).toContain('2 succeeded');
  expect(done.out).not.toContain('[');
  expect((await queuegate('rollouts list --state completed,halted')).out).toMatch(
    /r-1 +branch@aaaaaaaa +upgrade +completed .* 2 +2/,
  );
  const json = JSON.parse((await queuegate('rollouts show r-1 --json')).out) as object;
  expect(json).toMatchObject({ release: RELEASE, bytesPerSecond: 0, trialSeconds: 300 });
});

test.each(['synchronize', 'upgrade'])('%s --dry-run shows how it would start, and starts nothing', async (verb) => {
  const { queuegate } = await start();
  const waves = verb === 'upgrade' ? ' --waves 1,100%' : '';
  const dry = await queuegate(`profiles ${verb} ${NAME} --agents all${waves} --dry-run`);
  expect(dry).toMatchObject({ status: 0, error: '' });
  expect(dry.out).toContain(
    `A new rollout would start: ${verb} ${NAME}, 4 agents, 1 of them away for more than 7 days, disabled or revoked.`,
  );
  expect(dry.out).toContain(verb === 'upgrade' ? 'Waves: 1 (running), 3 (waiting).' : 'Waves: 3 (running).');
  expect(dry.out).toContain(verb === 'upgrade' ? '1 offered, 2 waiting, 1 skipped' : '3 offered, 1 skipped');
  expect((await queuegate('rollouts list')).out).toContain('No rollouts.');
});

test('upgrade --rollout --dry-run shows how that rollout would go on', async () => {
  const { rounds, queuegate } = await start();
  await queuegate(`profiles synchronize ${NAME} --agents a1`);
  await rounds(4);
  const dry = await queuegate(`profiles upgrade ${NAME} --rollout r-1 --dry-run`);
  expect(dry.out).toContain(`Rollout r-1 would start: upgrade ${NAME}, 1 agents.`);
  expect((await queuegate('rollouts show r-1')).out).toMatch(/stage +synchronize/);
});

test('a rollout that halts names the reason and each agent with its own, and fails who waits for it', async () => {
  const { fleet, rounds, queuegate } = await start();
  fleet.agents.get('a1')!.outcome = 'rolled-back';
  await queuegate(`profiles upgrade ${NAME} --agents a1 --agents a2 --waves 1,100%`);
  await rounds(10);
  const shown = await queuegate('rollouts show r-1 --wait');
  expect(shown.status).toBe(1);
  expect(shown.out).toMatch(/state +halted/);
  expect(shown.out).toContain('1 of 1 agents in wave 1 failed; allowed: 5 %.');
  expect((await queuegate('rollouts show r-1 --agents --state rolled-back,failed')).out).toMatch(
    /a1 +rolled-back .* No\. Look\./,
  );
  expect((await queuegate('rollouts resume r-1')).out).toContain('Resumed: r-1 is running.');
  expect((await queuegate('rollouts pause r-1')).out).toContain('Paused: r-1 is paused.');
  expect((await queuegate('rollouts cancel r-1', { typed: 'no' })).status).not.toBe(0);
  expect((await queuegate('rollouts cancel r-1 --yes')).out).toContain('Canceled: r-1 is canceled.');
  expect(await queuegate('rollouts resume r-1')).toMatchObject({ status: 7 });
});

test.each([
  [`profiles synchronize ${NAME}`, '--agents is missing'],
  [`profiles upgrade ${NAME}`, 'one of --rollout and --agents is needed'],
  [`profiles upgrade ${NAME} --agents all --waves 1,x`, '--waves has "x"'],
  [`profiles upgrade ${NAME} --agents all --rate 5`, '--rate is "5"'],
  ['rollouts show r-1 --state failed', '--state has no effect without --agents'],
])('a wrong line is refused before any request: %s', async (line, found) => {
  const { queuegate } = await start();
  const answer = await queuegate(line);
  expect(answer.status).toBe(2);
  expect(answer.error).toContain(found);
});

test('the profile of an agent shows what was changed on its host, and is repaired', async () => {
  const { fleet, rounds, queuegate } = await start();
  expect((await queuegate('agents profile show a1')).out).toMatch(/desired +none/);
  await queuegate(`profiles upgrade ${NAME} --agents a1`);
  await rounds(8);
  const drift = { code: 'profile_drift', detail: 'conf/agent.conf was changed.', hint: 'Repair it.' };
  const found = {
    release: RELEASE,
    changedFiles: ['conf/agent.conf'],
    overriddenKeys: ['log.level', 'outbox.maxBytes'],
  };
  fleet.engine.onFrame(fleet.sessions.get('a1')!, { type: 'release-measured', kind: 'profile', ...found, ...drift });
  const shown = (await queuegate('agents profile show a1')).out;
  expect(shown).toMatch(new RegExp(`desired +${NAME} \\(${RELEASE}\\)`));
  expect(shown).toMatch(/drift +conf\/agent\.conf was changed\. Repair it\./);
  expect(shown).toMatch(/overridden +log\.level, outbox\.maxBytes/);
  expect(shown).toMatch(/program +of its package/);
  expect((await queuegate('agents profile measure a1')).error).toContain('cannot measure');
  expect((await queuegate('agents profile repair a1 --dry-run')).out).toContain('A new rollout would start: upgrade');
  expect((await queuegate('agents profile repair a1')).out).toContain('Rollout r-2 repairs it');
  // A dry run asks no question.
  expect((await queuegate('rollouts cancel r-2 --dry-run')).out).toMatch(
    /^Nothing was changed\. r-2 would be canceled\.\n1 /,
  );
  await rounds(8);
  expect((await queuegate('agents profile show a1')).out).toMatch(/drift +none/);
});
