// A body in small pieces: what it takes up while it is collected, that nothing of it is lost, and where the connection
// ends.
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { connect, type AddressInfo, type Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createHttpServer } from '../../central/listeners/http.ts';
import { gatherBody } from '../../shared/gathered-body.ts';

const BYTES = 1_000_000;
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

async function connected(server: Server): Promise<Socket> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => undefined);
  onTestFinished(() => {
    socket.destroy();
    server.close();
  });
  return socket;
}

const closed = (socket: Socket): Promise<void> =>
  new Promise((resolve) => void socket.resume().once('close', () => resolve()));

/** Sends a body; what a server that collects its pieces has of it at the end. */
async function collected(
  body: string,
  server = createServer().on('request', gatherBody),
): Promise<{ readonly bytes: Buffer; readonly pieces: number; readonly heap: number }> {
  const request = Promise.withResolvers<{ bytes: Buffer; pieces: number; heap: number }>();
  server.on('request', (incoming: IncomingMessage) => {
    collectGarbage();
    const before = process.memoryUsage();
    const pieces: Buffer[] = [];
    incoming.on('data', (piece: Buffer) => pieces.push(piece));
    incoming.on('end', () => {
      collectGarbage();
      const { heapUsed, external } = process.memoryUsage();
      request.resolve({
        bytes: Buffer.concat(pieces),
        pieces: pieces.length,
        heap: heapUsed + external - before.heapUsed - before.external,
      });
    });
  });
  const socket = await connected(server);
  socket.write(`POST / HTTP/1.1\r\nHost: x\r\n${body}`);
  return await request.promise;
}

describe('a body in the chunked coding', () => {
  test('in small pieces takes up what its bytes do, and not hundreds of times that', async () => {
    const { bytes, pieces, heap } = await collected(
      `Transfer-Encoding: chunked\r\n\r\n${`20\r\n${'x'.repeat(32)}\r\n`.repeat(BYTES / 32)}0\r\n\r\n`,
    );
    expect(bytes.equals(Buffer.alloc(BYTES, 'x'))).toBe(true);
    expect(pieces).toBeLessThan(100);
    expect(heap).toBeLessThan(8 * BYTES);
  });

  test('in more than a thousand pieces of a few bytes ends the connection before it is parsed', async () => {
    const server = createServer().on('request', gatherBody);
    let ends = 0;
    server.on('request', (incoming: IncomingMessage) => incoming.resume().on('end', () => (ends += 1)));
    const socket = await connected(server);
    socket.write(`POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${'1\r\nx\r\n'.repeat(1_025)}`);
    socket.write('0\r\n\r\n');
    await closed(socket);
    expect(ends).toBe(0);
  });

  test('that was cut is not made to the end of its packet, and the parser serves the next connection', async () => {
    let made = 0;
    const server = createServer();
    server.on('connection', (socket: Socket) => {
      const { parser } = socket as unknown as {
        parser: Record<number, unknown> & { constructor: { kOnBody: number } };
      };
      const onBody = parser[parser.constructor.kOnBody] as (piece: Buffer) => void;
      parser[parser.constructor.kOnBody] = function count(this: unknown, piece: Buffer) {
        made += 1;
        onBody.call(this, piece);
      };
      // Node uses it again, for other connections of the process.
      onTestFinished(() => void (parser[parser.constructor.kOnBody] = onBody));
    });
    server.on('request', gatherBody);
    server.on('request', (incoming: IncomingMessage, response: ServerResponse) =>
      incoming.resume().on('end', () => response.end()),
    );
    const socket = await connected(server);
    socket.write(`POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n${'1\r\nx\r\n'.repeat(9_000)}`);
    await closed(socket);
    expect(made).toBe(1_025);
    const next = connect((server.address() as AddressInfo).port, '127.0.0.1');
    onTestFinished(() => void next.destroy());
    next.write('POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc');
    await closed(next);
    expect(made).toBeGreaterThan(1_025);
  });

  test('is gathered by every HTTP server of Central', async () => {
    const { pieces } = await collected(
      `Transfer-Encoding: chunked\r\n\r\n${`20\r\n${'x'.repeat(32)}\r\n`.repeat(1_250)}0\r\n\r\n`,
      createHttpServer(10_000),
    );
    expect(pieces).toBeLessThan(3 + 17);
  });

  test('loses nothing and keeps its order, whatever the sizes of its pieces', async () => {
    const sizes = [1, 16_383, 1, 1, 20_000, 3, 65_536, 16_384, 0x4001, 5, 1_000, 15_000, 900, 7].map((size, index) =>
      String.fromCodePoint(0x61 + index).repeat(size),
    );
    const { bytes } = await collected(
      `Transfer-Encoding: chunked\r\n\r\n${sizes.map((piece) => `${piece.length.toString(16)}\r\n${piece}\r\n`).join('')}0\r\n\r\n`,
    );
    expect(bytes.toString() === sizes.join('')).toBe(true);
  });

  test('with a length in its header, and none at all, arrive as well', async () => {
    expect((await collected(`Content-Length: 40000\r\n\r\n${'y'.repeat(40_000)}`)).bytes).toHaveLength(40_000);
    expect((await collected('Content-Length: 0\r\n\r\n')).bytes).toHaveLength(0);
  });
});

describe('a body whose request is answered before its end', () => {
  const STEP = Buffer.alloc(64 * 1024, ' ');
  const MOST_BYTES = 64 * 1024 * 1024;

  /** Sends such a body until the connection ends; what the peer read, and how much went out. */
  async function answeredEarly(head: string): Promise<{ readonly text: string; readonly sent: number }> {
    const server = createServer().on('request', gatherBody);
    server.on('request', (_request: IncomingMessage, response: ServerResponse) => response.writeHead(401).end('no'));
    const socket = await connected(server);
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
    const end = closed(socket);
    socket.write(`POST / HTTP/1.1\r\nHost: x\r\n${head}\r\n\r\n`);
    const feed = (): void => {
      while (!socket.destroyed && socket.bytesWritten < MOST_BYTES)
        if (!socket.write(STEP)) return void socket.once('drain', feed);
    };
    feed();
    await end;
    return { text, sent: socket.bytesWritten };
  }

  test.each(['Transfer-Encoding: chunked\r\n\r\n40000000', 'Content-Length: 1073741824'])(
    'is not read: the peer gets the answer, and the connection ends (%j)',
    async (head) => {
      const { text, sent } = await answeredEarly(head);
      expect(text).toMatch(/^HTTP\/1\.1 401 /);
      // What the buffers of two sockets take; the rest is not read.
      expect(sent).toBeLessThan(MOST_BYTES);
    },
  );

  test('goes on with the next request where the body is complete', async () => {
    const server = createServer().on('request', gatherBody);
    server.on('request', (_request: IncomingMessage, response: ServerResponse) => response.writeHead(401).end('no'));
    const socket = await connected(server);
    let text = '';
    socket.on('data', (chunk: Buffer) => (text += chunk.toString('latin1')));
    const end = closed(socket);
    const request = 'POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n';
    socket.write(`${request}\r\nabc`);
    while (!text.includes('no')) await new Promise((resolve) => socket.once('data', resolve));
    socket.write(`${request}Connection: close\r\n\r\nabc`);
    await end;
    expect(text.match(/HTTP\/1\.1 401 /g)).toHaveLength(2);
  });
});
