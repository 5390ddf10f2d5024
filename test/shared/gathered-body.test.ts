// A body in pieces of one byte: what it takes up while it is collected, and that nothing of it is lost.
import { createServer, type IncomingMessage } from 'node:http';
import { connect, type AddressInfo } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createHttpServer } from '../../central/listeners/http.ts';
import { gatherBody } from '../../shared/gathered-body.ts';

const BYTES = 1_000_000;
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

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
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1').on('error', () => undefined);
  onTestFinished(() => {
    socket.destroy();
    server.close();
  });
  socket.write(`POST / HTTP/1.1\r\nHost: x\r\n${body}`);
  return await request.promise;
}

describe('a body in the chunked coding', () => {
  test('in pieces of one byte takes up what its bytes do, and not hundreds of times that', async () => {
    const { bytes, pieces, heap } = await collected(
      `Transfer-Encoding: chunked\r\n\r\n${'1\r\nx\r\n'.repeat(BYTES)}0\r\n\r\n`,
    );
    expect(bytes.equals(Buffer.alloc(BYTES, 'x'))).toBe(true);
    expect(pieces).toBeLessThan(100);
    expect(heap).toBeLessThan(8 * BYTES);
  });

  test('is gathered by every HTTP server of Central', async () => {
    const { pieces } = await collected(
      `Transfer-Encoding: chunked\r\n\r\n${'1\r\nx\r\n'.repeat(40_000)}0\r\n\r\n`,
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
