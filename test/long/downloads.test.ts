// Downloads of releases by many agents at the rates that are set unless changed: what Central holds of them, as it is installed, and
// whether each of them has the right bytes.
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openKeyMaterial } from '../../central/pki/keys/key-material.ts';
import { BlobIntake } from '../../central/profiles/contents/blobs.ts';
import { openTickets, type Tickets } from '../../central/profiles/tickets.ts';
import { openSqliteStore } from '../../central/store/sqlite/sqlite-store.ts';
import { bundleCentral } from '../../deploy/bundle.ts';
import { ACT, DAY, NOW, registered } from '../central/store/samples.ts';
import { residentBytes } from '../flow/backlogs.ts';
import { CentralProcess, Cleanup } from '../flow/processes.ts';

const MIB = 1024 * 1024;
const AGENTS = 50;
const cleanup = new Cleanup();
const digest = 'ab'.repeat(32);
let central: CentralProcess;
let tickets: Tickets;
let [small, large] = ['', ''];

async function* random(bytes: number): AsyncGenerator<Buffer> {
  for (let left = bytes; left > 0; left -= MIB) yield randomBytes(Math.min(left, MIB));
}

/** Central as the package has it. */
async function bundled(): Promise<string> {
  const folder = await cleanup.folder();
  for (const { path, content } of (await bundleCentral()).entries) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), content);
  }
  return join(folder, 'central/main.js');
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
  tickets = await openTickets({ keyMaterial: await openKeyMaterial(needs), now: Date.now });
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
  const program = await bundled();
  // The words of the launcher are the program of the sources, its file, and the arguments.
  const launcher = ['/bin/sh', '-c', `node=$0; shift; exec "$node" "${program}" "$@"`];
  central = await CentralProcess.start(cleanup, folder, [], {}, launcher);
}, 120_000);
afterAll(() => cleanup.run());

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

/** What V8 has not collected yet is in it: the figure that counts is the one that is printed, on a quiet machine below 250. */
const MOST_MIB = 300;

test(
  'hold a hundred agents with 20 MiB each, and three with 200 MiB each, in a fraction of what they send',
  { timeout: 600_000 },
  async () => {
    const many = await Promise.all(Array.from({ length: 100 }, (_, n) => download(`a${n % AGENTS}`, small)));
    expect(new Set(many)).toEqual(new Set([small]));
    const few = await Promise.all(['a0', 'a1', 'a2'].map((agent) => download(agent, large)));
    expect(new Set(few)).toEqual(new Set([large]));
    const peak = Math.round((await residentBytes(central.process.child.pid)).most / MIB);
    console.log(`peak memory of Central: ${peak} MiB`);
    expect(peak).toBeLessThan(MOST_MIB);
  },
);
