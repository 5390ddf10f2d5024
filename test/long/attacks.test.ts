// Every attack that needs no more than an address and one enrolled agent, all at once for a minute, beside twenty
// honest agents: they go on as if nothing happened, and Central stays as large as it was. The attacks are in
// attacks/attacker.ts, the agents in attacks/honest-fleet.ts.
import { fork, type ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { MAX_PENDING_OF_BLOCK } from '../../central/enrollment/approvals.ts';
import { CentralProcess, Cleanup, until } from '../flow/processes.ts';
import { enrollKey, newKey } from '../flow/raw-agent.ts';
import { assertCleanLog } from '../garbage/garbage.ts';
import type { AttackOrder, AttackReport } from './attacks/attacker.ts';
import type { FleetMember, FleetOrder, FleetReport } from './attacks/honest-fleet.ts';

const HONEST = 20;
const QUIET_MS = 20_000;
const ATTACK_MS = 60_000;
/** Per agent and second: what the p99 of a quiet run is made of. */
const EVENT_EVERY_MS = 250;
const LOGIN_EVERY_MS = 500;
/** Entries of the revocation list: some 400 kB. */
const REVOKED = 10_000;
/** Acknowledgements within so many times the quiet run, memory within so many times. */
const MOST_ACK_RATIO = 5;
const MOST_RSS_RATIO = 1.5;

const cleanup = new Cleanup();
let central: CentralProcess;
let members: FleetMember[];
let attacker: FleetMember;
let ca: string;

/** An address of loopback for each, so that the limits of one address do not apply to the others. */
async function enrolled(name: string, address: string): Promise<FleetMember> {
  const key = newKey();
  return {
    id: await enrollKey(central, key, name),
    name,
    spki: key.spki,
    privateKey: key.privateKey.export({ type: 'pkcs8', format: 'pem' }),
    address,
  };
}

function started(script: string, order: FleetOrder | AttackOrder): ChildProcess {
  const child = fork(join(import.meta.dirname, 'attacks', script), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  cleanup.add(() => child.kill('SIGKILL'));
  child.send({ kind: 'start', order });
  return child;
}

function answer<T>(child: ChildProcess, kind: 'report' | 'stop'): Promise<T> {
  const answered = new Promise<T>((resolve, reject) => {
    child.once('message', (message) => resolve(message as T));
    child.once('exit', (code) => reject(new Error(`it ended with ${code}`)));
  });
  child.send({ kind });
  return answered;
}

async function rssBytes(): Promise<number> {
  const status = await readFile(`/proc/${central.process.child.pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) * 1024;
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

/** Fills the revocation list, so that reading it is worth an attacker's while. Only while Central is stopped. */
function revokeMany(folder: string): void {
  const database = new DatabaseSync(join(folder, 'central.db'));
  try {
    const { issuer } = database.prepare('SELECT issuer FROM agent_certificate LIMIT 1').get() as { issuer: string };
    const insert = database.prepare(`
      INSERT INTO agent_certificate (thumbprint, agent_id, serial, issuer, key_thumbprint, not_before, not_after, issued_at, revoked_at, revocation_reason)
      VALUES (?, 'gone', ?, ?, ?, ?, ?, ?, ?, 'keyCompromise')`);
    const hex = (bytes: number): string => randomBytes(bytes).toString('hex');
    const at = Date.now();
    database.exec('BEGIN');
    for (let i = 0; i < REVOKED; i += 1)
      insert.run(hex(32), `40${hex(15)}`, issuer, hex(32), at, at + 365 * 86_400_000, at, at);
    database.exec('COMMIT');
  } finally {
    database.close();
  }
}

/** Commands to every honest agent, one round. */
async function command(round: number): Promise<void> {
  for (const { id, name } of members) {
    const sent = await central.rest('POST', `/agents/${id}/commands`, {
      id: `${name}-c-${round}`,
      type: 'show',
      data: round,
    });
    expect(sent.status).toBe(202);
  }
}

/** The same traffic downward in the quiet run and beside the attacks: a command for each agent in each second. */
async function commandsFor(ms: number, from: number, each: () => Promise<void> | undefined): Promise<number> {
  const end = performance.now() + ms;
  let round = from;
  for (; performance.now() < end; round += 1) {
    await command(round);
    await each();
    await delay(1_000);
  }
  return round;
}

// For each attempt: what a first one left would change the second.
beforeEach(async () => {
  const folder = await cleanup.folder();
  central = await CentralProcess.start(cleanup, folder);
  await enrolled('gone', '127.0.0.1');
  await central.stop();
  revokeMany(folder);
  central = await CentralProcess.start(cleanup, folder);
  // Every way of enrolling is open to strangers.
  await central.change({ 'agents.enrollment': 'approve' });
  ca = String((await central.rest('GET', '/ca/trust-bundle.pem')).body);
  members = [];
  for (let i = 0; i < HONEST; i += 1) members.push(await enrolled(`honest-${i}`, `127.0.1.${i + 1}`));
  attacker = await enrolled('attacker', '127.0.0.66');
}, 120_000);
afterEach(() => cleanup.run());

describe('a minute of every attack at once, from one address and one enrolled agent', () => {
  it('slows no honest acknowledgement, refuses no honest login, loses nothing, and leaves Central as large as it was', async () => {
    const fleet = started('honest-fleet.ts', {
      url: `wss://localhost:${central.ports.wss}`,
      ca,
      members,
      eventEveryMs: EVENT_EVERY_MS,
      loginEveryMs: LOGIN_EVERY_MS,
    });
    await until(async () => (await answer<FleetReport>(fleet, 'report')).logins >= HONEST || undefined);
    let round = await commandsFor(QUIET_MS, 0, () => undefined);
    const quiet = await answer<FleetReport>(fleet, 'report');
    // As large as one who reads the list once makes it.
    expect((await (await fetch(`http://127.0.0.1:${central.ports.ws}/crl.pem`)).text()).length).toBeGreaterThan(
      REVOKED * 40,
    );
    const rssBefore = await rssBytes();

    const order: AttackOrder = {
      ports: central.ports,
      ca,
      address: attacker.address,
      victim: members[0]?.name ?? '',
      agent: attacker,
      attackMs: ATTACK_MS,
      longestMs: ATTACK_MS + 60_000,
    };
    const attack = started('attacker.ts', order);
    let rssMost = 0;
    round = await commandsFor(ATTACK_MS, round, async () => {
      rssMost = Math.max(rssMost, await rssBytes());
    });
    const loud = await answer<FleetReport>(fleet, 'report');
    const attacks = await answer<AttackReport>(attack, 'stop');

    const figures = {
      quietP99Ms: percentile(quiet.ackMs, 0.99),
      loudP99Ms: percentile(loud.ackMs, 0.99),
      loudMedianMs: percentile(loud.ackMs, 0.5),
      acks: [quiet.ackMs.length, loud.ackMs.length],
      logins: [quiet.logins, loud.logins],
      connectionsPerSecond: Math.round((attacks['connections'] ?? 0) / (ATTACK_MS / 1_000)),
      rssMiB: [rssBefore, rssMost].map((bytes) => Math.round(bytes / 2 ** 20)),
    };
    process.stdout.write(`${JSON.stringify({ figures, attacks }, null, 1)}\n`);

    fleet.send({ kind: 'silence' });
    const rest = await until(async () => {
      const report = await answer<FleetReport>(fleet, 'report');
      return members.every(
        ({ name }) =>
          report.acknowledged[name] === report.sent[name] &&
          report.commands[name]?.length === loud.commands[name]?.length,
      )
        ? report
        : undefined;
    });
    expect(rest.refusals).toEqual([]);
    for (const { id, name } of members) {
      const stored = (await central.events(`&agent=${id}`)).map(({ event }) => event['id']);
      expect(stored).toEqual(Array.from({ length: rest.sent[name] ?? 0 }, (_, i) => `${name}-${i + 1}`));
      const taken = rest.commands[name] ?? [];
      expect(taken).toEqual(taken.map((_, i) => `${name}-c-${i}`));
    }
    expect(central.process.running).toBe(true);
    // Of one address no more than its share.
    const { pendingCount: pending } = (await central.rest('GET', '/status')).body.enrollmentRequests as {
      pendingCount: number;
    };
    expect([pending > 0, pending <= MAX_PENDING_OF_BLOCK]).toEqual([true, true]);
    assertCleanLog(central.process);
    // Each of them was carried out, or the test would show nothing.
    for (const name of [
      'bait',
      'wrong API token',
      'wrong proof',
      'wrong recovery code',
      'pending enrollment',
      'unread responses',
      'silent WebSocket',
      'hello of a stranger',
      'insider',
    ])
      expect(attacks[name], name).toBeGreaterThan(5);
    expect(figures.loudP99Ms / figures.quietP99Ms).toBeLessThan(MOST_ACK_RATIO);
    expect(rssMost / rssBefore).toBeLessThan(MOST_RSS_RATIO);
    fleet.send({ kind: 'stop' });
  }, 240_000);
});
