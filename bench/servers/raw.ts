// The limit: `ws` over TLS and nothing else. Acknowledges frames without reading them, echoes, sends frames; stores
// nothing, unless it is started with the option to sync before it echoes.
import { fsyncSync, openSync, writeSync } from 'node:fs';
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
  /**
   * `sync`: so many fsyncs in a row (as Node.js's SQLite syncs) before each echo, 4 KiB at the end of that file each.
   */
  listen(
    credentials: { readonly key: string; readonly chain: string },
    sync: { readonly file: string; readonly times: number },
  ): Promise<number>;
  /** On: every connection always has a next command. Off: how many were sent since. */
  flowDown(on: boolean): Promise<number>;
}

interface Line {
  readonly outbox: MemoryOutbox;
  readonly sender: Sender;
}

/** A connection has a log only once commands flow: an idle one is the bare socket. */
const lines = new Map<WebSocket, Line | undefined>();
let sentBefore = 0;
let syncs: () => void = () => undefined;

function lineOf(socket: WebSocket, index: number): Line {
  const known = lines.get(socket);
  if (known !== undefined) return known;
  const outbox = new MemoryOutbox(sourceOf(index));
  const frames = { send: (text: string): void => socket.send(text) };
  const sender = new Sender({
    outbox,
    frames,
    limits: LIMITS,
    now: Date.now,
    pollMs: 3_600_000,
    onFailure: (error) => console.error(error),
  });
  const line = { outbox, sender };
  lines.set(socket, line);
  return line;
}

function attach(socket: WebSocket): void {
  lines.set(socket, undefined);
  socket.on('message', (data: Buffer) => {
    const text = data.toString('utf8');
    if (isMessages(text)) socket.send(ackOf(throughOf(text)));
    else if (text.startsWith('{"type":"ack"')) lines.get(socket)?.sender.acknowledge(Number(text.slice(24, -1)));
    else {
      syncs();
      socket.send(text);
    }
  });
  socket.on('close', () => {
    lines.get(socket)?.sender.stop();
    lines.delete(socket);
  });
}

/** As one commit after the other. On the event loop, since there is nothing else to be done meanwhile. */
function syncing(path: string, times: number): () => void {
  const file = openSync(path, 'a', 0o600);
  const page = Buffer.alloc(4096, 1);
  return () => {
    for (let i = 0; i < times; i += 1) {
      writeSync(file, page);
      fsyncSync(file);
    }
  };
}

serveCalls({
  async listen({ key, chain }, sync) {
    if (sync.times > 0) syncs = syncing(sync.file, sync.times);
    const server = createServer({
      key,
      cert: chain,
      ciphers: 'TLS_AES_128_GCM_SHA256',
      minVersion: 'TLSv1.3',
      noDelay: true,
    });
    new WebSocketServer({ server, perMessageDeflate: false, maxPayload: LIMITS.maxFrameBytes }).on(
      'connection',
      attach,
    );
    await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, resolve));
    // A TCP server that listens has an address with a port.
    return (server.address() as AddressInfo).port;
  },
  async flowDown(on) {
    let sent = 0;
    for (const [index, socket] of [...lines.keys()].entries()) {
      const { outbox, sender } = lineOf(socket, index);
      outbox.flow(on);
      // The first call starts it; later calls notify it of more.
      await sender.start(null);
      sender.notify();
      sent += outbox.last;
    }
    const before = sentBefore;
    if (!on) sentBefore = sent;
    return on ? 0 : sent - before;
  },
} satisfies RawServer);
