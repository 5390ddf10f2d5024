// The thread that talks to PostgreSQL for a database thread, which waits for each answer (blocking-connection.ts): one
// connection, statements without names, so that a pooler in transaction mode does no harm. Checks whom it has reached.
import { workerData } from 'node:worker_threads';
import { connect, type Connected } from '../connection/client.ts';
import type { ConnectionData, Numbered, Reply, Request } from './protocol.ts';

// Passed by blocking-connection.ts.
const { port, signal, url } = workerData as ConnectionData;
let connected: Connected | undefined;
let seen = { timeline: 0, system: '' };

async function answer(request: Request): Promise<Reply> {
  if (request.kind === 'close') {
    await connected?.close();
    return { kind: 'rows', rows: [], changes: 0 };
  }
  try {
    if (request.kind === 'connect') {
      await connected?.close();
      connected = undefined;
      connected = await connect(url, seen);
      seen = connected.server;
      return { kind: 'rows', rows: [], changes: 0 };
    }
    if (connected === undefined) return { kind: 'away', found: 'it is not connected', isUnknown: false };
    const reply = await connected.query(request.sql, request.values, request.withinMs);
    if (reply.kind === 'away') {
      await connected.close();
      connected = undefined;
    }
    return reply;
  } catch (error) {
    return { kind: 'away', found: error instanceof Error ? error.message : String(error), isUnknown: false };
  }
}

port.on('message', ({ number, what: request }: Numbered<Request>) => {
  void answer(request).then((reply) => {
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread, not a window
    port.postMessage({ number, what: reply } satisfies Numbered<Reply>);
    Atomics.add(signal, 0, 1);
    Atomics.notify(signal, 0);
    if (request.kind === 'close') port.close();
  });
});
