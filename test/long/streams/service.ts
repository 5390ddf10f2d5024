// A service of a branch, in a process of its own: small answers, and downloads of any length whose bytes are known.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { serveCalls } from '../../../bench/child.ts';
import { blockOf, piece } from './pattern.ts';

export interface Service {
  /** `/small`, and `/pattern/SEED/BYTES`. */
  listen(): Promise<number>;
}

const CHUNK = 64 * 1024;

serveCalls({
  async listen() {
    const server = createServer((request, response) => {
      const [, what, seed, bytes] = request.url?.split('/') ?? [];
      if (what !== 'pattern') return void response.end('small');
      const [block, length] = [blockOf(Number(seed)), Number(bytes)];
      response.writeHead(200, { 'content-length': length });
      let sent = 0;
      const more = (): void => {
        while (sent < length) {
          const next = piece(block, sent, Math.min(CHUNK, length - sent));
          sent += next.length;
          if (!response.write(next)) return void response.once('drain', more);
        }
        response.end();
      };
      more();
    });
    await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1' }, resolve));
    return (server.address() as AddressInfo).port;
  },
} satisfies Service);
