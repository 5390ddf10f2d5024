// A service as a branch has it: HTTP on loopback. With credentials it is a reverse proxy with TLS in front of one, as
// it would be installed at each branch: Node.js, and nothing else in it.
import { Agent, createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { pipeline } from 'node:stream';
import { serveCalls } from '../child.ts';

export interface ServiceServer {
  /** The port. */
  listen(): Promise<number>;
  /** The port of a proxy in front of the service at `port`. */
  proxy(credentials: { readonly key: string; readonly chain: string }, port: number): Promise<number>;
}

const SMALL = Buffer.from(JSON.stringify({ state: 'running', text: 'x'.repeat(164) }));
const PIECE = Buffer.alloc(64 * 1024, 1);

function answer(request: IncomingMessage, response: ServerResponse): void {
  const [, what = '', bytes] = request.url?.split('/') ?? [];
  if (request.method === 'POST') return void takeUpload(request, response);
  if (what !== 'bytes')
    return void response
      .writeHead(200, { 'content-type': 'application/json', 'content-length': SMALL.length })
      .end(SMALL);
  let left = Number(bytes);
  response.writeHead(200, { 'content-length': left });
  const more = (): void => {
    while (left > 0) {
      const piece = PIECE.subarray(0, left);
      left -= piece.length;
      if (!response.write(piece)) return void response.once('drain', more);
    }
    response.end();
  };
  more();
}

/** Answers with the number of bytes. */
async function takeUpload(request: IncomingMessage, response: ServerResponse): Promise<void> {
  let bytes = 0;
  for await (const piece of request as AsyncIterable<Buffer>) bytes += piece.length;
  const text = String(bytes);
  response.writeHead(200, { 'content-length': text.length }).end(text);
}

async function portOf(server: ReturnType<typeof createServer>): Promise<number> {
  await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1' }, resolve));
  // A TCP server that listens has an address with a port.
  return (server.address() as AddressInfo).port;
}

serveCalls({
  listen: () => portOf(createServer({ noDelay: true }, answer)),
  async proxy({ key, chain }, port) {
    const agent = new Agent({ keepAlive: true });
    const server = createTlsServer({ key, cert: chain, noDelay: true }, (request, response) => {
      const { method, url: path, headers } = request;
      const sent = httpRequest({ host: '127.0.0.1', port, agent, method, path, headers }, (found) => {
        response.writeHead(found.statusCode ?? 502, found.headers);
        pipeline(found, response, () => undefined);
      });
      sent.on('error', () => response.destroy());
      pipeline(request, sent, () => undefined);
    });
    return await portOf(server);
  },
} satisfies ServiceServer);
