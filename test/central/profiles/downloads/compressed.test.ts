import { randomBytes } from 'node:crypto';
import { zstdDecompressSync } from 'node:zlib';
import { expect, it } from 'vitest';
import { CompressedFiles, MAX_KEPT_BYTES } from '../../../../central/profiles/downloads/compressed.ts';
import { MAX_COMPRESSED_SOURCE_BYTES, MIN_COMPRESSED_SOURCE_BYTES } from '../../../../shared/releases/compressed.ts';

const MIB = 1024 * 1024;
const { signal } = new AbortController();

type RatesOfTest = [rates?: ConstructorParameters<typeof CompressedFiles>[2]];

/** A file of that size, half of which can be compressed. */
const fileOf = (bytes: number): Buffer => Buffer.concat([randomBytes(bytes / 2), Buffer.alloc(bytes / 2)]);

function files(contents: Readonly<Record<string, Buffer>>, ...rates: RatesOfTest) {
  const read: string[] = [];
  const clock = { now: 0 };
  const compressed = new CompressedFiles(
    async (sha256) => {
      read.push(sha256);
      return contents[sha256] ?? Buffer.alloc(0);
    },
    () => clock.now,
    ...rates,
  );
  const open = (sha256: string, agentId = 'agent') =>
    compressed.open({ sha256, size: contents[sha256]?.length ?? 0, agentId }, signal);
  return { read, clock, compressed, open };
}

it('compresses a file once, also for those who ask at the same time', async () => {
  const content = fileOf(MIB);
  const { read, open } = files({ a: content });
  const opened = await Promise.all([open('a'), open('a'), open('a')]);
  expect(read).toEqual(['a']);
  for (const each of opened)
    expect(zstdDecompressSync(each?.packed.bytes ?? Buffer.alloc(0)).equals(content)).toBe(true);
});

it('leaves alone what is too small, too large, or does not become smaller, and does not try that again', async () => {
  const { read, open } = files({
    small: Buffer.alloc(MIN_COMPRESSED_SOURCE_BYTES - 1),
    large: Buffer.alloc(MAX_COMPRESSED_SOURCE_BYTES + 1),
    random: randomBytes(MIB),
  });
  for (const name of ['small', 'large', 'random', 'random']) expect(await open(name)).toBeUndefined();
  expect(read).toEqual(['random']);
});

it('keeps no more than its bound: what is in use stays, and what has no room is sent as it is', async () => {
  const names = ['a', 'b', 'c', 'd', 'e'];
  const { read, open } = files(Object.fromEntries(names.map((name) => [name, fileOf(3 * MIB)])));
  const opened = [await open('a'), await open('b'), await open('c'), await open('d')];
  const kept = opened.map((each) => each?.packed.bytes.length ?? Number.NaN);
  expect(kept.reduce((sum, bytes) => sum + bytes)).toBeLessThanOrEqual(MAX_KEPT_BYTES);
  expect(await open('e')).toBeUndefined();
  opened[1]?.close();
  expect(await open('e')).toBeDefined();
  // The one that was closed went, and the others did not.
  read.length = 0;
  for (const name of ['a', 'c', 'd', 'e']) expect(await open(name)).toBeDefined();
  expect(read).toEqual([]);
  expect(await open('b')).toBeUndefined();
});

it('does nothing for a download that has ended', async () => {
  const { read, compressed } = files({ a: fileOf(MIB) });
  const ended = new AbortController();
  ended.abort();
  expect(await compressed.open({ sha256: 'a', size: MIB, agentId: 'agent' }, ended.signal)).toBeUndefined();
  expect(read).toEqual([]);
});

it('compresses again what was forgotten, but only so many bytes for one agent, and for all together', async () => {
  // Each displaces the others: one that requests them in turn makes Central compress each time.
  const names = ['a', 'b', 'c', 'd'];
  const rates = { ofAgent: { burst: 24 * MIB, perSecond: MIB }, inAll: { burst: 40 * MIB, perSecond: MIB } };
  const contents = Object.fromEntries(names.map((name) => [name, fileOf(4 * MIB)]));
  const { read, clock, open } = files(contents, rates);
  const request = async (agentId: string, rounds: number): Promise<number> => {
    const before = read.length;
    for (let round = 0; round < rounds; round += 1) for (const name of names) (await open(name, agentId))?.close();
    return (read.length - before) * 4;
  };
  expect(await request('one', 2)).toBe(24);
  expect(await request('one', 2)).toBe(0);
  // It costs no other agent its share, until all together have used up theirs.
  expect(await request('two', 4)).toBe(16);
  expect(await request('three', 2)).toBe(0);
  clock.now += 4_000;
  expect(await request('one', 2)).toBe(4);
});
