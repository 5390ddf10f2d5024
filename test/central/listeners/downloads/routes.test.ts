import { createHash, randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import { zstdDecompressSync } from 'node:zlib';
import { expect, onTestFinished, test, vi } from 'vitest';
import { Places } from '../../../../central/auth/places.ts';
import { Connections } from '../../../../central/listeners/accept/connections.ts';
import { openBinding } from '../../../../central/listeners/bind.ts';
import { downloadRoutes } from '../../../../central/listeners/downloads/routes.ts';
import { createHttpApp, createHttpServer } from '../../../../central/listeners/http.ts';
import { RequestGate } from '../../../../central/listeners/limits/request-gate.ts';
import { RequestRate } from '../../../../central/listeners/limits/request-rate.ts';
import { Turns } from '../../../../central/listeners/limits/turns.ts';
import { UnreadResponses } from '../../../../central/listeners/limits/unread-responses.ts';
import { createMetrics } from '../../../../central/metrics.ts';
import { Downloads, MAX_DOWNLOADS, MAX_DOWNLOADS_OF_AGENT } from '../../../../central/profiles/downloads/downloads.ts';
import type { DownloadPace } from '../../../../central/profiles/downloads/pace.ts';
import { createTickets, TICKET_MS } from '../../../../central/profiles/tickets.ts';
import type { AgentRecord } from '../../../../central/store/agent-store.ts';
import { CHUNK_BYTES } from '../../../../central/store/releases/release-store.ts';
import { MANIFEST_TYPE } from '../../../../shared/releases/manifest.ts';
import { agentRecord } from '../../fakes.ts';

const sha256Of = (content: Buffer): string => createHash('sha256').update(content).digest('hex');
const [manifest, file, foreign] = [Buffer.from('{"format":1}'), randomBytes(3 * CHUNK_BYTES + 77), randomBytes(9)];
const signature = Buffer.from('{"payloadType":"x"}');
const program = Buffer.from('every line of a program is much like the one before\n'.repeat(10_000));
const [digest, blob] = [sha256Of(manifest), sha256Of(file)];

/** Central's ports with one release; what was read of its store. */
async function listen({
  readMs = 20_000,
  agent = {},
  lookUp = async () => undefined,
  take = async () => undefined,
}: {
  readMs?: number;
  agent?: Partial<AgentRecord>;
  lookUp?: () => Promise<void>;
  take?: DownloadPace['take'];
} = {}) {
  const contents = new Map(
    [manifest, file, foreign, signature, program].map((content) => [sha256Of(content), content]),
  );
  const [read, reused]: [number[], number[]] = [[], []];
  const [tickets, metrics] = [createTickets(Buffer.alloc(32), Date.now), createMetrics()];
  const downloads = new Downloads({
    store: {
      agents: { get: async (id) => (id === 'gone' ? undefined : { ...agentRecord({ id, name: id }), ...agent }) },
      releases: {
        async blobSize(sha256) {
          await lookUp();
          return contents.get(sha256)?.length;
        },
        isOfRelease: async (release, sha256) =>
          release === digest && [blob, digest, sha256Of(program)].includes(sha256),
        async readChunk(sha256, index, into) {
          read.push(index);
          const chunk = contents.get(sha256)?.subarray(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES);
          if (chunk === undefined || into === undefined) return chunk && new Uint8Array(chunk);
          reused.push(index);
          const taken = new Uint8Array(into.transfer(), 0, chunk.length);
          taken.set(chunk);
          return taken;
        },
        // Only its signature matters, and whether it is there.
        release: async (release) => (release === digest ? ({ signature: sha256Of(signature) } as never) : undefined),
      },
    },
    tickets,
    pace: { take, throttled: 0 },
    metrics,
    clock: () => 0,
  });
  const server = createHttpServer(10_000);
  const [faults, turns] = [[] as string[], new Turns()];
  const onFailure = ({ code }: { readonly code: string }): void => void faults.push(code);
  const connections = new Connections({
    http: server,
    deadlineMs: () => 10_000,
    places: new Places(() => 500),
    turns,
    onFailure,
  });
  const gate = new RequestGate({
    server,
    turns,
    rate: new RequestRate(),
    unread: new UnreadResponses(),
    unreadOfTokens: new UnreadResponses(),
    addressOf: () => '192.0.2.1',
    placeOf: (socket) => connections.placeOf(socket),
    takesTokens: false,
    onFailure,
    readMs,
  });
  const app = createHttpApp({
    server,
    maxBodyBytes: 1_000,
    gate,
    onUnexpected: (error) => {
      throw error;
    },
  });
  downloadRoutes(app, downloads);
  await app.ready();
  const binding = await openBinding({ listener: 'the test', addresses: ['127.0.0.1'], port: 0 }, connections.accept);
  onTestFinished(async () => {
    binding.close();
    connections.destroyAll();
    await app.close();
  });
  const ticket = tickets.issue('a1', digest);
  const get = (path: string, headers: Record<string, string> = {}, method = 'GET'): Promise<Response> =>
    fetch(`http://127.0.0.1:${binding.port}${path}`, {
      method,
      headers: { authorization: `Bearer ${ticket}`, 'accept-encoding': 'gzip', ...headers },
    });
  return { get, port: binding.port, ticket, tickets, downloads, faults, read, reused, contents, server, metrics };
}

async function until(holds: () => boolean): Promise<void> {
  // The time limit of the test ends it, and no other.
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 5));
}

const bytesOf = async (response: Response): Promise<Buffer> => Buffer.from(await response.arrayBuffer());

test('the memory of a piece that the system has taken serves the next one, and a slow reader gets every byte as it is', async () => {
  const large = randomBytes(128 * CHUNK_BYTES + 77);
  const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const { get, contents, reused } = await listen({ take: nextTurn });
  contents.set(blob, large);
  expect(sha256Of(await bytesOf(await get(`/blobs/${blob}`)))).toBe(sha256Of(large));
  expect(reused.length).toBeGreaterThan(0);
  const { body } = await get(`/blobs/${blob}`);
  const hash = createHash('sha256');
  for await (const piece of body ?? []) {
    hash.update(piece);
    for (let turn = 0; turn < 20; turn += 1) await nextTurn();
  }
  expect(hash.digest('hex')).toBe(sha256Of(large));
});

test('a ticket gets the manifest as it is stored, the signature of the build, and each file of the release', async () => {
  const { get, downloads } = await listen();
  const answer = await get(`/releases/${digest}/manifest`);
  expect([answer.status, answer.headers.get('content-type')]).toEqual([200, MANIFEST_TYPE]);
  expect(await bytesOf(answer)).toEqual(manifest);
  const sealed = await get(`/releases/${digest}/signature`);
  expect([sealed.status, await bytesOf(sealed)]).toEqual([200, signature]);
  expect((await get(`/releases/${blob}/signature`)).status).toBe(404);

  const whole = await get(`/blobs/${blob}`);
  expect(Object.fromEntries(whole.headers)).toMatchObject({
    'content-length': String(file.length),
    'content-type': 'application/octet-stream',
    'cache-control': expect.stringMatching(/immutable, no-transform/),
    'accept-ranges': 'bytes',
    etag: `"${blob}"`,
  });
  expect((await bytesOf(whole)).equals(file)).toBe(true);
  expect((await get(`/blobs/${blob}`, { 'if-none-match': `"${blob}"` })).status).toBe(304);
  const head = await get(`/blobs/${blob}`, {}, 'HEAD');
  expect([head.status, head.headers.get('content-length')]).toEqual([200, String(file.length)]);
  await until(() => downloads.size === 0);
});

test('the metrics count what was sent by its content, what is open, and what was refused', async () => {
  const { get, downloads, metrics } = await listen();
  const lines = async (name: string): Promise<string[]> => {
    downloads.measure(metrics);
    return (await metrics.registry.metrics()).split('\n').filter((line) => line.startsWith(`${name}{`));
  };
  const sent = 'queuegate_download_bytes_total';
  expect(await lines(sent)).toContain(`${sent}{content="manifest"} 0`);
  await bytesOf(await get(`/releases/${digest}/manifest`));
  await bytesOf(await get(`/blobs/${blob}`));
  await bytesOf(await get(`/blobs/${blob}`, { range: 'bytes=7-' }));
  const packed = await bytesOf(await get(`/blobs/${sha256Of(program)}?encoding=zstd`));
  expect(await lines(sent)).toEqual([
    `${sent}{content="manifest"} ${manifest.length}`,
    `${sent}{content="signature"} 0`,
    `${sent}{content="file"} ${2 * file.length - 7}`,
    `${sent}{content="compressed"} ${packed.length}`,
  ]);
  expect((await get(`/blobs/${sha256Of(foreign)}`)).status).toBe(404);
  expect((await get(`/blobs/${blob}`, { authorization: 'Bearer none' })).status).toBe(401);
  expect((await lines('queuegate_download_refusals_total')).toSorted()).toEqual([
    'queuegate_download_refusals_total{code="download_unknown"} 1',
    'queuegate_download_refusals_total{code="ticket_invalid"} 1',
  ]);
  await until(() => downloads.size === 0);
  const end = downloads.begin('a1');
  const open = 'queuegate_downloads';
  expect(await lines(open)).toEqual([`${open}{state="throttled"} 0`, `${open}{state="sending"} 1`]);
  end();
});

test('a download goes on at the byte where it was cut, and reads nothing before it', async () => {
  const { get, read } = await listen();
  const from = 2 * CHUNK_BYTES + 5;
  const rest = await get(`/blobs/${blob}`, { range: `bytes=${from}-`, 'if-range': `"${blob}"` });
  expect([rest.status, rest.headers.get('content-range')]).toEqual([
    206,
    `bytes ${from}-${file.length - 1}/${file.length}`,
  ]);
  expect((await bytesOf(rest)).equals(file.subarray(from))).toBe(true);
  expect(read).toEqual([2, 3]);
  // Over the border of two chunks.
  const middle = await get(`/blobs/${blob}`, { range: `bytes=${CHUNK_BYTES - 2}-${CHUNK_BYTES + 1}` });
  expect((await bytesOf(middle)).equals(file.subarray(CHUNK_BYTES - 2, CHUNK_BYTES + 2))).toBe(true);
  expect((await get(`/blobs/${blob}`, { range: `bytes=${from}-`, 'if-range': '"other"' })).status).toBe(200);

  const beyond = await get(`/blobs/${blob}`, { range: `bytes=${file.length}-` });
  expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, `bytes */${file.length}`]);
  expect(await beyond.json()).toMatchObject({ code: 'range_unsatisfiable' });
});

test('a file as zstd is a content of its own, with its length, its tag and its parts; what does not become smaller comes as it is', async () => {
  const { get, downloads, read } = await listen();
  const path = `/blobs/${sha256Of(program)}`;
  const whole = await get(`${path}?encoding=zstd`);
  const packed = await bytesOf(whole);
  expect(Object.fromEntries(whole.headers)).toMatchObject({
    'content-type': 'application/zstd',
    'content-length': String(packed.length),
    'cache-control': expect.stringMatching(/immutable, no-transform/),
    etag: `"${sha256Of(packed)}"`,
  });
  expect(packed.length).toBeLessThan(program.length / 10);
  expect(zstdDecompressSync(packed).equals(program)).toBe(true);
  const reads = read.length;
  const rest = await get(`${path}?encoding=zstd`, { range: 'bytes=100-', 'if-range': `"${sha256Of(packed)}"` });
  expect([rest.status, rest.headers.get('content-range')]).toEqual([
    206,
    `bytes 100-${packed.length - 1}/${packed.length}`,
  ]);
  expect((await bytesOf(rest)).equals(packed.subarray(100))).toBe(true);
  // It is kept.
  expect(read).toHaveLength(reads);
  // The tag of the file is not that of its compressed form.
  expect(
    (await get(`${path}?encoding=zstd`, { range: 'bytes=100-', 'if-range': `"${sha256Of(program)}"` })).status,
  ).toBe(200);
  const random = await get(`/blobs/${blob}?encoding=zstd`);
  expect(random.headers.get('content-type')).toBe('application/octet-stream');
  expect((await bytesOf(random)).equals(file)).toBe(true);
  expect((await bytesOf(await get(`${path}?encoding=other`))).equals(program)).toBe(true);
  await until(() => downloads.size === 0);
});

test('without a valid ticket there is nothing, and the answer says how to authenticate', async () => {
  const { get, tickets } = await listen();
  const expired = createTickets(Buffer.alloc(32), () => Date.now() - TICKET_MS).issue('a1', digest);
  for (const authorization of ['', 'Bearer abcdefghijklmnopqrstuvwxyz', `Bearer ${expired}`, `Basic ${expired}`]) {
    const refused = await get(`/blobs/${blob}`, { authorization });
    expect([refused.status, refused.headers.get('www-authenticate')]).toEqual([401, 'Bearer realm="queuegate"']);
    expect(await refused.json()).toMatchObject({ code: 'ticket_invalid' });
  }
  const other = { authorization: `Bearer ${tickets.issue('a1', 'ab'.repeat(32))}` };
  for (const [path, headers] of [
    [`/blobs/${sha256Of(foreign)}`, {}],
    ['/blobs/..%2f..%2fetc', {}],
    [`/releases/${blob}/manifest`, {}],
    [`/blobs/${blob}`, other],
    [`/releases/${digest}/manifest`, other],
  ] as const) {
    const refused = await get(path, headers);
    expect([refused.status, ((await refused.json()) as { code: string }).code]).toEqual([404, 'download_unknown']);
  }
});

test.each(['revoked', 'disabled'] as const)('an agent that is %s since the offer gets nothing', async (state) => {
  const { get, tickets } = await listen({ agent: { state } });
  for (const headers of [{}, { authorization: `Bearer ${tickets.issue('gone', digest)}` }]) {
    const refused = await get(`/blobs/${blob}`, headers);
    expect([refused.status, ((await refused.json()) as { code: string }).code]).toEqual([403, 'download_forbidden']);
  }
});

test('downloads are bounded for each agent and in all, and a cut one counts no longer', async () => {
  const { get, downloads, tickets, ticket, port } = await listen();
  const ends = Array.from({ length: MAX_DOWNLOADS_OF_AGENT }, () => downloads.begin('a1'));
  const refused = await get(`/blobs/${blob}`);
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '5']);
  expect(await refused.json()).toMatchObject({ code: 'too_many_downloads' });
  const others = Array.from({ length: MAX_DOWNLOADS - MAX_DOWNLOADS_OF_AGENT }, (_, n) => downloads.begin(`b${n}`));
  const full = await get(`/blobs/${blob}`, { authorization: `Bearer ${tickets.issue('a2', digest)}` });
  expect([full.status, ((await full.json()) as { code: string }).code]).toEqual([503, 'downloads_full']);
  for (const end of [...ends, ...others]) end();
  expect(downloads.size).toBe(0);

  const socket = connect(port, '127.0.0.1');
  socket.write(`GET /blobs/${blob} HTTP/1.1\r\nHost: c\r\nAuthorization: Bearer ${ticket}\r\n\r\n`);
  await new Promise((resolve) => socket.once('data', resolve));
  socket.destroy();
  await until(() => downloads.size === 0);
});

test('an agent that leaves before its download has begun keeps no place', async () => {
  const [arrived, goOn, left] = [Promise.withResolvers<void>(), Promise.withResolvers<void>(), new Set<string>()];
  const { downloads, port, ticket, server } = await listen({
    async lookUp() {
      arrived.resolve();
      await goOn.promise;
    },
  });
  server.on('request', ({ url = '' }, response) => response.once('close', () => left.add(url)));
  const socket = connect(port, '127.0.0.1');
  socket.write(`GET /blobs/${blob} HTTP/1.1\r\nHost: c\r\nAuthorization: Bearer ${ticket}\r\n\r\n`);
  await arrived.promise;
  socket.destroy();
  await until(() => left.size === 1);
  const begin = vi.spyOn(downloads, 'begin');
  goOn.resolve();
  await until(() => begin.mock.calls.length === 1);
  await new Promise(setImmediate);
  expect(downloads.size).toBe(0);
});

test('a download that its agent does not read is cut, and holds one chunk until then', async () => {
  const { contents, downloads, port, ticket, faults, read } = await listen({ readMs: 200 });
  // Much more than all sockets between take.
  contents.set(blob, Buffer.alloc(1024 * CHUNK_BYTES));
  const socket = connect(port, '127.0.0.1').on('error', () => undefined);
  socket.pause();
  socket.write(`GET /blobs/${blob} HTTP/1.1\r\nHost: c\r\nAuthorization: Bearer ${ticket}\r\n\r\n`);
  await until(() => faults.includes('response_unread') && downloads.size === 0);
  expect(read.length).toBeLessThan(256);
});

test('a download that waits for a rate has read nothing of what it waits to send', async () => {
  const waits: { readonly bytes: number; readonly go: () => void }[] = [];
  const take = async (_agent: string, bytes: number): Promise<void> =>
    await new Promise((go) => waits.push({ bytes, go }));
  const { get, read } = await listen({ take });
  const answer = get(`/blobs/${blob}`, { range: 'bytes=10-' });
  await until(() => waits.length === 1);
  expect([read, waits[0]?.bytes]).toEqual([[], CHUNK_BYTES - 10]);
  waits[0]?.go();
  await until(() => waits.length === 2);
  expect([read, waits[1]?.bytes]).toEqual([[0], CHUNK_BYTES]);
  waits[1]?.go();
  for (const at of [2, 3]) {
    await until(() => waits.length === at + 1);
    waits[at]?.go();
  }
  expect((await bytesOf(await answer)).equals(file.subarray(10))).toBe(true);
});

test('a file that is deleted meanwhile cuts its download instead of ending it', async () => {
  const { contents, get } = await listen();
  contents.set(blob, Buffer.alloc(256 * CHUNK_BYTES));
  const answer = await get(`/blobs/${blob}`);
  contents.delete(blob);
  await expect(bytesOf(answer)).rejects.toBeInstanceOf(Error);
});
