// The limit: `ws` over TLS and nothing else. Acknowledges frames without reading them, echoes, sends frames; stores nothing.
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { WebSocketServer, type WebSocket } from 'ws';
import { Sender } from '../../shared/delivery/sender.ts';
import { LIMITS } from '../../shared/wire/messages.ts';
import { serveCalls } from '../child.ts';
import { MemoryOutbox } from '../memory-log.ts';
import { ackOf, isMessages, throughOf } from '../raw-frames.ts';
import { sourceOf } from '../sample.ts';

export interface RawServer {
  listen(credentials: { readonly key: string; readonly chain: string }): Promise<number>;
  /** On: every connection always has a next command. */
  flowDown(on: boolean): Promise<void>;
}

interface Line {
  readonly outbox: MemoryOutbox;
  readonly sender: Sender;
}

const lines = new Set<Line>();

function attach(socket: WebSocket): void {
  const outbox = new MemoryOutbox(sourceOf(lines.size));
  const frames = { send: (text: string): void => socket.send(text) };
  const sender = new Sender({ outbox, frames, limits: LIMITS, now: Date.now, pollMs: 3_600_000, onFailure: (error) => console.error(error) });
  const line = { outbox, sender };
  lines.add(line);
  socket.on('message', (data: Buffer) => {
    const text = data.toString('utf8');
    if (isMessages(text)) socket.send(ackOf(throughOf(text)));
    else if (text.startsWith('{"type":"ack"')) sender.acknowledge(Number(text.slice(24, -1)));
    else socket.send(text);
  });
  socket.on('close', () => {
    sender.stop();
    lines.delete(line);
  });
}

serveCalls({
  async listen({ key, chain }) {
    const server = createServer({ key, cert: chain, ciphers: 'TLS_AES_128_GCM_SHA256', minVersion: 'TLSv1.3', noDelay: true });
    new WebSocketServer({ server, perMessageDeflate: false, maxPayload: LIMITS.maxFrameBytes }).on('connection', attach);
    await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, resolve));
    // A TCP server that listens has an address with a port.
    return (server.address() as AddressInfo).port;
  },
  async flowDown(on) {
    for (const { outbox, sender } of lines) {
      outbox.flow(on);
      // The first time it starts; afterwards it is told that there is more.
      await sender.start(null);
      sender.notify();
    }
  },
} satisfies RawServer);
