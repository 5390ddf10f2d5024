// Clocks that are wrong: that of an agent's host, and that of Central, which jumps.
import { readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { AgentProcess, CentralProcess, Cleanup, ROOT, until } from './processes.ts';
import { enrollKey, newKey, RawAgent } from './raw-agent.ts';

const [SECOND, MINUTE, HOUR, DAY] = [1_000, 60_000, 3_600_000, 86_400_000];
const cleanup = new Cleanup();
afterEach(() => cleanup.run());

/** A clock for a process; `set` shifts it by so much against that of the host, while it runs. */
async function clock(fastMs: readonly number[] = []) {
  const file = join(await cleanup.folder(), 'shift');
  const set = async (ms: number): Promise<void> => {
    await writeFile(`${file}.next`, String(ms));
    await rename(`${file}.next`, file);
  };
  await set(0);
  return {
    set,
    env: {
      NODE_OPTIONS: `--import ${join(ROOT, 'test/flow/shifted-clock.ts')}`,
      SHIFT_FILE: file,
      SHIFT_FAST_MS: fastMs.join(','),
    },
    /** Resolves when the interval of so many milliseconds has run three times from now on. */
    async ran(ms: number): Promise<void> {
      const count = async (): Promise<number> => (await readFile(`${file}.${ms}`, 'utf8').catch(() => '')).length;
      const before = await count();
      await until(async () => ((await count()) >= before + 3 ? true : undefined));
    },
  };
}

const event = (id: string, inMs?: number): object => ({
  specversion: '1.0',
  id,
  source: '/test',
  type: 'ticket.issued',
  ...(inMs === undefined ? {} : { expirytime: new Date(Date.now() + inMs).toISOString() }),
});

async function command(central: CentralProcess, agent: string, id: string, inMs?: number): Promise<void> {
  const { status } = await central.rest('POST', `/agents/${agent}/commands`, event(id, inMs));
  expect(status).toBe(202);
}

interface Letter {
  readonly messageId: string;
  readonly direction: string;
  readonly code: string;
  readonly place: string;
}

async function letters(central: CentralProcess): Promise<string[]> {
  const { body } = await central.rest('GET', '/dead-letters');
  return (body.items as Letter[])
    .map(({ messageId, direction, code, place }) => `${messageId} ${direction} ${code} ${place}`)
    .toReversed();
}

async function waiting(agent: AgentProcess): Promise<string[]> {
  const { body } = await agent.local('GET', '/api/v1/commands');
  return (body.items as { readonly command: { readonly id: string } }[]).map((item) => item.command.id);
}

describe('an agent whose clock is wrong', () => {
  it.each([
    ['an hour ahead', HOUR],
    ['an hour behind', -HOUR],
  ])(
    'by %s keeps a command while it is good, and reports one that expired, over kills of both sides',
    async (_, ms) => {
      const folder = await cleanup.folder();
      let central = await CentralProcess.start(cleanup, folder);
      const wrong = await clock();
      await wrong.set(ms);
      let agent = await AgentProcess.enrolled(cleanup, central, 'branch-1', [], wrong.env);
      await central.online('branch-1');
      const direction = ms > 0 ? 'ahead of' : 'behind';
      await agent.process.printed(new RegExp(`The clock of this host is 3600 s ${direction} that of Central`));
      await command(central, 'branch-1', 'good', 10 * MINUTE);
      await command(central, 'branch-1', 'short', 6 * SECOND);
      // Long enough for a busy machine: what expires on its way expires at Central.
      await until(async () => ((await waiting(agent)).includes('short') ? true : undefined));
      // A look at them makes the agent give up what has expired; else it looks every half minute.
      await until(async () => ((await waiting(agent)).includes('short') ? undefined : true));
      await until(async () => ((await letters(central)).length > 0 ? true : undefined));
      expect(await letters(central)).toEqual(['short down message_expired agent']);
      expect(await waiting(agent)).toEqual(['good']);
      const figures = await fetch(`http://127.0.0.1:${central.ports.http}/metrics`, {
        headers: { authorization: `Bearer ${central.token}` },
      });
      expect(await figures.text()).toContain('queuegate_messages_expired_total{place="agent"} 1');

      // It expires while no Central can hear of it; then the agent is killed. It does not forget it, and knows the time
      // without a line.
      await command(central, 'branch-1', 'offline', 6 * SECOND);
      await until(async () => ((await waiting(agent)).includes('offline') ? true : undefined));
      await central.process.stop('SIGKILL');
      await until(async () => ((await waiting(agent)).includes('offline') ? undefined : true));
      await agent.stop('SIGKILL');
      agent = AgentProcess.start(cleanup, agent.folders, 'branch-1', [], wrong.env);
      // The file of the killed one still names where it listened.
      await agent.process.printed(/queue agent started/);
      expect(await waiting(agent)).toEqual(['good']);
      const { ports } = central;
      central = await CentralProcess.start(cleanup, folder, ['--websocket-secure-port', String(ports.wss)]);
      // Central may have expired it too, when it was killed before the acknowledgement was on its disk.
      const offline = 'offline down message_expired agent';
      await until(async () => ((await letters(central)).includes(offline) ? true : undefined));
      expect(await waiting(agent)).toEqual(['good']);
    },
  );
});

describe('a Central whose clock jumps', () => {
  /** Those of central/maintenance.ts: pruning, expiry, recording the clock. */
  const [PRUNE_MS, EXPIRE_MS, RECORD_MS] = [600_000, 10_000, 60_000];

  it('60 days ahead deletes nothing and says so, goes on when it is right again, or when an administrator accepts it', async () => {
    const folder = await cleanup.folder();
    const jumping = await clock([PRUNE_MS, EXPIRE_MS, RECORD_MS]);
    const start = (): Promise<CentralProcess> => CentralProcess.start(cleanup, folder, [], jumping.env);
    let central = await start();
    expect((await central.change({ 'events.retentionDays': 30 })).status).toBe(200);
    const key = newKey();
    const id = await enrollKey(central, key, 'raw-1');
    const raw = await RawAgent.ws(cleanup, central);
    await raw.welcomed({ id, key, name: 'raw-1' });
    raw.send({ type: 'begin', incarnation: 'A', next: 1, missing: null });
    // What comes together is deleted together.
    for (let number = 1; number <= 5; number += 1) {
      raw.send({ type: 'messages', first: number, items: [event(`e${number}`)] });
      await until(async () => ((await central.events()).length === number ? true : undefined));
    }
    const first = (await central.events())[0]?.cursor;
    raw.webSocket.terminate();
    await command(central, 'raw-1', 'c1', 10 * MINUTE);
    const problems = async (): Promise<string[]> => {
      const { body } = await central.rest('GET', '/status');
      return (body.problems as { readonly code: string }[])
        .map(({ code }) => code)
        .filter((code) => code === 'clock_stepped');
    };
    const kept = async (): Promise<number> => (await central.events()).length;

    await jumping.set(60 * DAY);
    await jumping.ran(PRUNE_MS);
    await jumping.ran(EXPIRE_MS);
    expect([await kept(), await letters(central), await problems()]).toEqual([5, [], ['clock_stepped']]);

    await jumping.set(0);
    await jumping.ran(PRUNE_MS);
    expect([await kept(), await letters(central), await problems()]).toEqual([5, [], []]);

    // While Central is off.
    await jumping.ran(RECORD_MS);
    await central.process.stop('SIGKILL');
    await jumping.set(60 * DAY);
    central = await start();
    await jumping.ran(PRUNE_MS);
    await jumping.ran(EXPIRE_MS);
    expect([await kept(), await letters(central), await problems()]).toEqual([5, [], ['clock_stepped']]);

    const accepted = await central.cli('maintenance', 'accept-clock', '--comment', 'the battery was replaced', '--yes');
    expect([accepted.code, accepted.stderr]).toEqual([0, '']);
    // The newest event is kept: its cursor is where the next ones continue.
    await until(async () => ((await kept()) === 1 ? true : undefined));
    await until(async () => ((await letters(central)).length > 0 ? true : undefined));
    expect([await letters(central), await problems()]).toEqual([['c1 down message_expired central'], []]);
    const gap = await central.rest('GET', `/events?after=${first}`);
    expect([gap.status, gap.body.code]).toEqual([410, 'cursor_expired']);
    const audit = await central.rest('GET', '/audit?action=maintenance.accept-clock');
    expect(audit.body.items).toMatchObject([{ comment: 'the battery was replaced' }]);
  });
});

it('a Central whose clock jumps by years refuses no agent for its certificate', async () => {
  const [folder, jumping] = [await cleanup.folder(), await clock()];
  const central = await CentralProcess.start(cleanup, folder, [], jumping.env);
  const key = newKey();
  const id = await enrollKey(central, key, 'raw-1');
  await jumping.set(3000 * DAY);
  const raw = await RawAgent.ws(cleanup, central);
  // Refused, an agent would stop dialing.
  await raw.welcomed({ id, key, name: 'raw-1' });
  expect(await central.online('raw-1')).toMatchObject({ certificate: { thumbprint: expect.any(String) } });
});

it('a first start with the clock ahead leaves a root that is not valid yet: it is reissued when the clock is right, and agents enroll', async () => {
  const folder = await cleanup.folder();
  const early = await clock();
  await early.set(60 * DAY);
  let central = await CentralProcess.start(cleanup, folder, [], early.env);
  const made = await central.rest('GET', '/ca');
  await central.stop();
  central = await CentralProcess.start(cleanup, folder);
  const now = await central.rest('GET', '/ca');
  expect(now.body.pin).toBe(made.body.pin);
  const audit = await central.rest('GET', '/audit?action=ca.reissue');
  expect(audit.body.items).toHaveLength(1);
  await AgentProcess.enrolled(cleanup, central, 'branch-1');
  await central.online('branch-1');
});

it('a root that is reissued reaches open sessions; a certificate of an agent that is not valid yet is accepted, and renewed', async () => {
  // The interval of central/maintenance.ts in which certificates are looked at.
  const [folder, wrong] = [await cleanup.folder(), await clock([60_000])];
  const central = await CentralProcess.start(cleanup, folder, [], wrong.env);
  let agent = await AgentProcess.enrolled(cleanup, central, 'branch-1');
  await central.online('branch-1');
  expect((await central.change({ 'websocket.secure.clientAuth': 'required' })).status).toBe(200);
  await wrong.set(-2 * DAY);
  await agent.process.printed(/the agent trusts what Central names/);
  expect((await central.agent('branch-1'))?.['state']).toBe('online');
  await agent.stop();

  agent = AgentProcess.start(cleanup, agent.folders, 'branch-1');
  await agent.process.printed(/certificate renewed/);
  await central.online('branch-1');
  const { body } = await central.rest('GET', '/status');
  expect((body.problems as { readonly code: string }[]).map(({ code }) => code)).toEqual(['clock_stepped']);
});
