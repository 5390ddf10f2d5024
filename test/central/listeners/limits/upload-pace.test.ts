// A body that makes progress may take as long as it takes; one that does not is ended within its window. Time is
// counted by the test.
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { expect, onTestFinished, test, vi } from 'vitest';
import { createHttpServer } from '../../../../central/listeners/http.ts';
import { boundUploads } from '../../../../central/listeners/limits/upload-pace.ts';
import { refuseUnreadable } from '../../../../central/listeners/problem.ts';

interface Upload {
  readonly client: Socket;
  readonly request: IncomingMessage;
  /** Sends so many bytes, and waits until the server has them. */
  readonly send: (bytes: number) => Promise<void>;
  /** The window ends. */
  readonly passWindow: () => void;
  readonly answer: () => string;
  readonly waiting: () => number;
}

async function upload(bytes: number, { reads = true } = {}): Promise<Upload> {
  const checks = new Set<() => void>();
  const server: Server = createServer({ requestTimeout: 0 });
  boundUploads(server, {
    windowMs: 60_000,
    leastBytes: 1_000,
    after: (ms, run) => {
      expect(ms).toBe(60_000);
      checks.add(run);
      return () => checks.delete(run);
    },
  });
  server.on('clientError', (error: Error, socket: Socket) => refuseUnreadable(error, socket, 1_000));
  server.on('request', (request, response) => {
    if (reads) request.resume();
    request.on('end', () => response.end('complete'));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const client = connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => undefined);
  onTestFinished(() => {
    client.destroy();
    server.close();
  });
  let text = '';
  client.on('data', (chunk: Buffer) => (text += chunk.toString()));
  client.write(`POST / HTTP/1.1\r\nHost: x\r\nContent-Length: ${bytes}\r\n\r\n`);
  const [request] = (await once(server, 'request')) as [IncomingMessage];
  return {
    client,
    request,
    async send(count) {
      const before = request.socket.bytesRead;
      client.write(Buffer.alloc(count));
      await vi.waitFor(() => expect(request.socket.bytesRead).toBe(before + count));
    },
    passWindow: () => {
      const due = Array.from(checks);
      checks.clear();
      for (const check of due) check();
    },
    answer: () => text,
    waiting: () => checks.size,
  };
}

test('a body that brings its bytes in each window is taken, in however many windows', async () => {
  const { send, passWindow, answer, waiting } = await upload(10_000);
  for (let window = 0; window < 9; window += 1) {
    await send(1_000);
    passWindow();
  }
  expect([answer(), waiting()]).toEqual(['', 1]);
  await send(1_000);
  await vi.waitFor(() => expect(answer()).toContain('complete'));
  await vi.waitFor(() => expect(waiting()).toBe(0));
});

test('a body that trickles is ended with 408 after one window, and so is one that stops later', async () => {
  const slow = await upload(10_000);
  await slow.send(999);
  slow.passWindow();
  await once(slow.client, 'close');
  expect(slow.answer()).toMatch(/^HTTP\/1\.1 408 [^]*request_timeout/);

  const later = await upload(10_000);
  await later.send(5_000);
  later.passWindow();
  await later.send(1);
  later.passWindow();
  await once(later.client, 'close');
  expect(later.answer()).toMatch(/^HTTP\/1\.1 408 /);
});

test('a body for which the server is slow is waited for, and one that is complete has no bound', async () => {
  const { request, send, passWindow, answer } = await upload(10_000, { reads: false });
  await send(5_000);
  passWindow();
  passWindow();
  expect(request.socket.destroyed).toBe(false);
  await send(5_000);
  passWindow();
  request.resume();
  await vi.waitFor(() => expect(answer()).toContain('complete'));
});

test("Central's servers have no bound for a whole request, and this one instead; headers have their own", () => {
  const server = createHttpServer(10_000);
  expect([server.requestTimeout, server.headersTimeout]).toEqual([0, 10_000]);
  expect(server.listenerCount('request')).toBe(2);
});
