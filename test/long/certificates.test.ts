// Years of an installation in minutes: thirty agents enroll, renew, live through two rotations of the authority and one
// way back; two are revoked and come again. Messages flow both ways all the while, and no process is started a second
// time.
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterEach, expect, it } from 'vitest';
import { CentralProcess, Cleanup, ROOT, runRecover, until } from '../flow/processes.ts';
import {
  Consumer,
  onlineAgent,
  Producer,
  storedEvents,
  takenCommands,
  type OnlineAgent,
} from '../reliability/traffic.ts';

const AGENTS = 30;
/** Agents renew at half of it, again and again while the rest goes on. */
const LIFE_SECONDS = 120;
const PACE = { batch: 2, pauseMs: 400 } as const;
const PATIENCE_MS = 180_000;

const cleanup = new Cleanup();
afterEach(() => cleanup.run());

interface Member extends OnlineAgent {
  readonly up: Producer;
  down: Producer;
  readonly commands: string[];
  readonly consumer: Consumer;
}

interface Shown {
  readonly name: string;
  readonly state: string;
  readonly keyThumbprint: string;
  readonly certificate: { readonly thumbprint: string; readonly issuerThumbprint: string };
}

async function shownBy(central: CentralProcess): Promise<Map<string, Shown>> {
  const { body } = await central.rest('GET', '/agents?limit=1000');
  const agents = await Promise.all(
    (body.items as { id: string }[]).map(async ({ id }) => (await central.rest('GET', `/agents/${id}`)).body as Shown),
  );
  return new Map(agents.map((agent) => [agent.name, agent]));
}

async function queuegate(central: CentralProcess, ...line: string[]): Promise<string> {
  const { code, stdout, stderr } = await central.cli(...line);
  expect([code, stderr], line.join(' ')).toEqual([0, '']);
  return stdout;
}

/** Waits until the rotation has come so far. */
async function reaches(
  central: CentralProcess,
  test: (stand: { trust: { acknowledgedCount: number } }) => boolean,
): Promise<void> {
  let last: unknown;
  await until(
    async () => {
      const { body } = await central.rest('GET', '/ca/rotation');
      last = body;
      return test(body) || undefined;
    },
    PATIENCE_MS,
    () => JSON.stringify(last),
  );
}

const trusted = (central: CentralProcess): Promise<void> =>
  reaches(central, ({ trust }) => trust.acknowledgedCount === AGENTS);

/** All have a certificate of the authority that signs now, and stand online. */
async function renewedUnder(central: CentralProcess, issuer: string): Promise<void> {
  let others: string[] = [];
  await until(
    async () => {
      others = [...(await shownBy(central)).values()]
        .filter(({ state, certificate }) => state !== 'online' || certificate.issuerThumbprint !== issuer)
        .map(({ name, state, certificate }) => `${name} ${state} ${certificate.issuerThumbprint}`);
      return others.length === 0 || undefined;
    },
    PATIENCE_MS,
    () => others.join('\n'),
  );
}

async function signer(central: CentralProcess): Promise<string> {
  const { body } = await central.rest('GET', '/ca');
  return (
    (body.generations as { role: string; thumbprint: string }[]).find(({ role }) => role === 'current')?.thumbprint ??
    'none'
  );
}

async function allJoin(central: CentralProcess): Promise<Member[]> {
  const members: Member[] = [];
  const names = Array.from({ length: AGENTS }, (_, i) => `branch-${String(i + 1).padStart(2, '0')}`);
  // A few at a time: each is a process that starts.
  for (let i = 0; i < AGENTS; i += 3) {
    const online = await Promise.all(names.slice(i, i + 3).map((name) => onlineAgent(cleanup, central, name)));
    for (const one of online)
      members.push({
        ...one,
        up: Producer.events(one.agent, `${one.name}-up`, PACE),
        down: Producer.commands(central, one.id, `${one.name}-down`, PACE),
        commands: [],
        consumer: new Consumer(one.agent),
      });
  }
  return members;
}

/** What was accepted so far stays; a new producer may follow. */
async function pauseCommands(member: Member): Promise<void> {
  await member.down.stop();
  member.commands.push(...member.down.accepted);
}

it(
  'thirty agents enroll, renew, are rotated twice and back once, revoked and recovered: none lost, no message lost, no restart',
  { timeout: 20 * 60_000 },
  async () => {
    const env = {
      NODE_OPTIONS: `--import=${pathToFileURL(join(ROOT, 'test/flow/short-lives.ts')).href}`,
      TEST_AGENT_LIFE_SECONDS: String(LIFE_SECONDS),
    };
    const central = await CentralProcess.start(cleanup, await cleanup.folder(), [], env);
    const members = await allJoin(central);
    const enrolled = await shownBy(central);
    const first = await signer(central);
    expect(new Set([...enrolled.values()].map(({ certificate }) => certificate.issuerThumbprint))).toEqual(
      new Set([first]),
    );

    // Renewal at half-life, each with a fresh key.
    await until(async () => {
      const now = await shownBy(central);
      return (
        members.every(
          ({ name }) =>
            now.get(name)?.state === 'online' && now.get(name)?.keyThumbprint !== enrolled.get(name)?.keyThumbprint,
        ) || undefined
      );
    }, PATIENCE_MS);

    // The first rotation, all the way.
    await queuegate(central, 'ca', 'rotation', 'prepare');
    await queuegate(central, 'ca', 'rotation', 'publish');
    await trusted(central);
    await queuegate(central, 'ca', 'rotation', 'switch');
    const second = await signer(central);
    expect(second).not.toBe(first);
    await renewedUnder(central, second);
    await queuegate(central, 'ca', 'rotation', 'retire');
    await trusted(central);

    // The second: switched, back, and switched again.
    await queuegate(central, 'ca', 'rotation', 'prepare');
    await queuegate(central, 'ca', 'rotation', 'publish');
    await trusted(central);
    await queuegate(central, 'ca', 'rotation', 'switch');
    const third = await signer(central);
    await renewedUnder(central, third);
    await queuegate(central, 'ca', 'rotation', 'rollback');
    expect(await signer(central)).toBe(second);
    await renewedUnder(central, second);
    await queuegate(central, 'ca', 'rotation', 'switch');
    await renewedUnder(central, third);

    // In the middle of it two are revoked, and enroll again with a recovery code; what their programs post meanwhile
    // waits.
    const cut = members.slice(0, 2);
    for (const member of cut) {
      await pauseCommands(member);
      await queuegate(central, 'agents', 'revoke', member.name, '--reason', 'keyCompromise', '--yes');
      await until(async () =>
        (await member.agent.local('GET', '/api/v1/status')).body.connection.state === 'stopped-by-refusal'
          ? true
          : undefined,
      );
    }
    const waiting = cut.map(({ up }) => up.accepted.length);
    for (const { up } of cut) await up.further(10);
    for (const [i, member] of cut.entries()) {
      const recovered = await runRecover(member.agent.folders, member.name, await central.recoveryCode(member.name));
      expect([recovered.code, recovered.stderr]).toEqual([0, '']);
      await central.online(member.name);
      expect(member.up.accepted.length).toBeGreaterThan(waiting[i] ?? 0);
      member.down = Producer.commands(central, member.id, `${member.name}-again`, PACE);
    }
    // And one more comes by the line that Central prints.
    await onlineAgent(cleanup, central, 'late');
    await queuegate(central, 'ca', 'rotation', 'retire');
    await reaches(central, ({ trust }) => trust.acknowledgedCount === AGENTS + 1);
    for (const { up, down } of members) await Promise.all([up.further(4), down.further(4)]);

    // Everybody is there, as the same processes; what was accepted is there, once and in order; and nothing was
    // recorded but the revoked agents' knocking.
    expect([...(await shownBy(central)).values()].filter(({ state }) => state !== 'online')).toEqual([]);
    expect([central, ...members.map(({ agent }) => agent)].filter(({ process }) => !process.running)).toEqual([]);
    for (const member of members) {
      await Promise.all([member.up.stop(), pauseCommands(member)]);
      expect(await storedEvents(central, member.id, member.up.accepted.length)).toEqual(member.up.accepted);
      expect(await takenCommands(member.consumer, member.commands.length)).toEqual(member.commands);
      await member.consumer.stop();
    }
    const incidents = (await central.rest('GET', '/incidents?limit=1000')).body.items as {
      code: string;
      agentId: string;
    }[];
    expect(
      incidents.filter(({ code, agentId }) => code !== 'agent_revoked' || !cut.some(({ id }) => id === agentId)),
    ).toEqual([]);
  },
);
