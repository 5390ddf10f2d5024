// How fast a release is downloaded: within the rate of the instruction, and behind messages
// (agent/releases/synchronize.ts).
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, expect, it } from 'vitest';
import { profileFolders } from '../../../agent/release-record.ts';
import { synchronize } from '../../../agent/releases/synchronize.ts';
import type { DialPlan } from '../../../agent/connection/connection.ts';
import { release } from './central.ts';

const cleanup: (() => unknown)[] = [];
afterEach(async () => {
  for (const act of cleanup.splice(0).toReversed()) await act();
});

const BYTES = 500_000;
const made = release({ 'a.bin': 'a'.repeat(BYTES / 2), 'b.bin': 'b'.repeat(BYTES / 2) });

/** How long the download waited in all, and how often. */
async function waited({ bytesPerSecond = 0, isBusy = false }) {
  const server = createServer((request, response) => {
    // As a Central that does not compress.
    const [url = ''] = (request.url ?? '').split('?');
    response.end(url.endsWith('/manifest') ? made.text : made.blobs.get(url.replace('/blobs/', '')));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanup.push(
    () => server.close(),
    () => server.closeAllConnections(),
  );
  const folder = await mkdtemp(join(tmpdir(), 'queuegate-pace-'));
  cleanup.push(() => rm(folder, { recursive: true }));
  const { port } = server.address() as AddressInfo;
  // What a download uses of it on a plain line.
  const plan = { target: { secure: false, host: '127.0.0.1', port }, ca: [], identity: {}, key: {} } as unknown;
  let [now, waits] = [0, 0];
  const bytes = await synchronize(
    {
      folders: profileFolders(folder),
      release: made.digest,
      manifests: { isSigned: false, check: async () => undefined },
      ticket: () => 't',
      bytesPerSecond,
      sources: async () => [],
      line: async () => plan as DialPlan,
      checkTime: () => undefined,
      isBusy: () => isBusy,
      onProgress: () => undefined,
      onWaiting: () => undefined,
      onStep: () => undefined,
      clock: () => now,
      wait: async (ms) => {
        now += ms;
        waits += 1;
      },
    },
    new AbortController().signal,
  );
  expect(bytes).toBe(BYTES);
  return { seconds: now / 1000, waits };
}

it('keeps to the bytes per second of the instruction, over all files together', async () => {
  // The clock of the test moves with the waits alone.
  expect((await waited({ bytesPerSecond: 50_000 })).seconds).toBeCloseTo(BYTES / 50_000, 3);
  expect((await waited({ bytesPerSecond: 1_000_000 })).seconds).toBeCloseTo(0.5, 3);
});

it('does not wait without a rate, and pauses after each piece while messages come and go', async () => {
  expect(await waited({})).toEqual({ seconds: 0, waits: 0 });
  const { seconds, waits } = await waited({ isBusy: true });
  expect(waits).toBeGreaterThan(1);
  expect(seconds).toBeCloseTo(waits * 0.05, 3);
});
