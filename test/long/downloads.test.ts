// Downloads of releases by many agents at the rates that are set unless changed, as Central and the agent are
// installed: the memory of both, whether each has the right bytes, and what other agents notice of it.
import { fork } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openKeyMaterial } from '../../central/pki/keys/key-material.ts';
import { BlobIntake } from '../../central/profiles/contents/blobs.ts';
import { openTickets, TICKET_MS, type Tickets } from '../../central/profiles/tickets.ts';
import { openSqliteStore } from '../../central/store/sqlite/sqlite-store.ts';
import { ACT, DAY, NOW, registered } from '../central/store/samples.ts';
import { cleanup as acts, FalseCentral, release } from '../agent/releases/central.ts';
import { residentBytes } from '../flow/backlogs.ts';
import { CentralProcess, Cleanup } from '../flow/processes.ts';
import { enrollKey, newKey } from '../flow/raw-agent.ts';
import type { FleetMember, FleetOrder, FleetReport } from './attacks/honest-fleet.ts';
import { BranchMachine } from './software/branch-machine.ts';

const MIB = 1024 * 1024;
const AGENTS = 50;
const cleanup = new Cleanup();
const digest = 'ab'.repeat(32);
let central: CentralProcess;
let tickets: Tickets;
let expired = '';
let [small, large] = ['', ''];

async function* random(bytes: number): AsyncGenerator<Buffer> {
  for (let left = bytes; left > 0; left -= MIB) yield randomBytes(Math.min(left, MIB));
}

beforeAll(async () => {
  const folder = await cleanup.folder();
  const store = await openSqliteStore({ folder, deduplicationMs: DAY, onFailure: () => undefined });
  const log = { info: () => undefined, warn: () => undefined };
  const needs = {
    store: store.keyMaterial,
    sources: {
      dataFolder: folder,
      file: undefined,
      previousFile: undefined,
      environment: undefined,
      credentialsFolder: undefined,
    },
    log,
    now: Date.now,
  };
  const keyMaterial = await openKeyMaterial(needs);
  tickets = await openTickets({ keyMaterial, now: Date.now });
  const before = await openTickets({ keyMaterial, now: () => Date.now() - TICKET_MS - 1_000 });
  expired = before.issue('a0', digest);
  for (let n = 0; n < AGENTS; n += 1) await registered(store, `a${n}`);
  const intake = new BlobIntake(store.releases, () => NOW);
  small = (await intake.store(random(20 * MIB))).sha256;
  large = (await intake.store(random(200 * MIB))).sha256;
  // The manifest does not matter here: its blob is any.
  const blob = await store.releases.beginBlob(NOW);
  await store.releases.finishBlob(blob, { sha256: digest, size: 0 }, NOW);
  const facts = {
    bytes: 220 * MIB,
    fileCount: 2,
    preparedAt: NOW,
    preparedBy: 'test',
    comment: null,
    ticket: null,
    signature: null,
  };
  await store.releases.addRelease({ digest, kind: 'profile', name: 'branch', ...facts }, [small, large], ACT);
  await store.stop();
  central = await CentralProcess.start(cleanup, folder);
}, 120_000);
afterAll(async () => {
  await cleanup.run();
  for (const act of acts.splice(0).toReversed()) await act();
});

test('give nothing for a ticket that has expired', async () => {
  const get = (ticket: string): Promise<Response> =>
    fetch(`http://127.0.0.1:${central.ports.ws}/blobs/${small}`, {
      method: 'HEAD',
      headers: { authorization: `Bearer ${ticket}` },
    });
  expect([(await get(expired)).status, (await get(tickets.issue('a0', digest))).status]).toEqual([401, 200]);
});

/** Downloads it as this agent; the SHA-256 of what came. */
async function download(agentId: string, sha256: string): Promise<string> {
  return await new Promise((resolve, reject) => {
    const hash = createHash('sha256');
    const headers = { authorization: `Bearer ${tickets.issue(agentId, digest)}` };
    request({ port: central.ports.ws, path: `/blobs/${sha256}`, headers, agent: false }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`status ${response.statusCode}`));
      response.on('data', (piece: Buffer) => hash.update(piece)).once('end', () => resolve(hash.digest('hex')));
      response.once('error', reject);
    })
      .on('error', reject)
      .end();
  });
}

const OTHERS = 20;
const QUIET_MS = 15_000;

/** Agents that download nothing: each sends an event four times a second, in a process of their own. */
async function others() {
  const members: FleetMember[] = [];
  for (let n = 1; n <= OTHERS; n += 1) {
    const [key, name] = [newKey(), `other-${n}`];
    const id = await enrollKey(central, key, name);
    const privateKey = key.privateKey.export({ type: 'pkcs8', format: 'pem' });
    members.push({ id, name, spki: key.spki, privateKey, address: `127.0.2.${n}` });
  }
  const ca = String((await central.rest('GET', '/ca/trust-bundle.pem')).body);
  const url = `wss://localhost:${central.ports.wss}`;
  const order: FleetOrder = { url, ca, members, eventEveryMs: 250, loginEveryMs: 3_600_000 };
  const fleet = fork(join(import.meta.dirname, 'attacks/honest-fleet.ts'), {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  });
  cleanup.add(() => fleet.kill('SIGKILL'));
  fleet.send({ kind: 'start', order });
  return async (kind: 'report' | 'silence'): Promise<FleetReport> => {
    fleet.send({ kind });
    if (kind === 'silence') fleet.send({ kind: 'report' });
    return await new Promise((resolve) => fleet.once('message', (report) => resolve(report as FleetReport)));
  };
}

function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((one, other) => one - other);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

const MOST_MIB = 250;

test(
  'hold a hundred agents with 20 MiB each, and three with 200 MiB each, in a fraction of what they send, and no other agent loses its session',
  { timeout: 600_000 },
  async () => {
    const ask = await others();
    await expect.poll(async () => (await ask('report')).logins, { timeout: 60_000 }).toBe(OTHERS);
    await ask('report');
    await delay(QUIET_MS);
    const quiet = (await ask('report')).ackMs;
    const many = await Promise.all(Array.from({ length: 100 }, (_, n) => download(`a${n % AGENTS}`, small)));
    expect(new Set(many)).toEqual(new Set([small]));
    const few = await Promise.all(['a0', 'a1', 'a2'].map((agent) => download(agent, large)));
    expect(new Set(few)).toEqual(new Set([large]));
    const peak = Math.round((await residentBytes(central.process.child.pid)).most / MIB);
    const { ackMs: busy, refusals, logins } = await ask('report');
    const [before, beside] = [percentile(quiet, 0.99), percentile(busy, 0.99)];
    console.log(`peak memory of Central: ${peak} MiB`);
    console.log(`acknowledgements, p99: ${before.toFixed(1)} ms, beside the downloads ${beside.toFixed(1)} ms`);
    console.log(`median: ${percentile(quiet, 0.5).toFixed(1)} and ${percentile(busy, 0.5).toFixed(1)} ms`);
    expect(peak).toBeLessThan(MOST_MIB);
    // A heartbeat that is missed ends a session; an agent that was ended logs in again.
    expect([refusals, logins]).toEqual([[], OTHERS]);
    await ask('silence');
    await expect
      .poll(async () => {
        const { sent, acknowledged } = await ask('report');
        return [sent, acknowledged].map((each) => Object.values(each).reduce((sum, count) => sum + count, 0));
      })
      .toSatisfy(([sent, acknowledged]: number[]) => sent === acknowledged);
  },
);

const MOST_AGENT_MIB = 120;

test(
  'take little memory of an agent, which continues 200 MiB at the byte at which the line was cut',
  { timeout: 180_000 },
  async () => {
    const falseCentral = await new FalseCentral().listen();
    const machine = await BranchMachine.make(cleanup, falseCentral, { isFast: false });
    machine.serve();
    await falseCentral.hello(() => true);
    const conf = `central.host=127.0.0.1\ncentral.websocket.secure=false\ncentral.websocket.port=${falseCentral.port}\n`;
    const big = randomBytes(200 * MIB);
    const digest = falseCentral.add(release({ 'conf/agent.conf': conf, 'lib/big.bin': big }));
    const cutAt = 100 * MIB;
    let cuts = 0;
    falseCentral.onDownload = ({ url = '', headers }, response) => {
      if (!url.startsWith('/blobs/') || headers.range !== undefined || cuts > 0) return false;
      if (url !== `/blobs/${createHash('sha256').update(big).digest('hex')}`) return false;
      cuts += 1;
      response.writeHead(200, { 'content-length': big.length });
      response.write(big.subarray(0, cutAt), () => response.destroy());
      return true;
    };
    falseCentral.offer({ release: digest, generation: 1, stage: 'synchronize' });
    expect(await falseCentral.stateOf(1, 'synchronized')).toMatchObject({ code: '' });
    const ranges = falseCentral.requests.flatMap(({ range }) => (range === undefined ? [] : [range]));
    expect(ranges).toHaveLength(1);
    const [from] = ranges.map((range) => Number(/^bytes=(\d+)-$/.exec(range)?.[1]));
    expect(from).toBeGreaterThan(0);
    expect(from).toBeLessThanOrEqual(cutAt);
    const peak = Math.round((await residentBytes(machine.pid)).most / MIB);
    console.log(`peak memory of the agent: ${peak} MiB; continued at byte ${from} of ${big.length}`);
    expect(peak).toBeLessThan(MOST_AGENT_MIB);
  },
);
