// An MQTT broker of its own: Aedes over WebSocket with TLS, as its documentation shows, with its persistence in memory.
import { createServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { createWebSocketStream, WebSocketServer } from 'ws';
import { serveCalls } from '../child.ts';

export interface AedesServer {
  listen(credentials: { readonly key: string; readonly chain: string }): Promise<number>;
}

/** The part of `aedes` that is used; the package is installed only for the bench. */
interface AedesPackage {
  readonly Aedes: { createBroker(): Promise<{ handle(stream: Duplex): void }> };
}

serveCalls({
  async listen({ key, chain }) {
    // Not a literal: the compiler must not look for what only the bench installs.
    const name = ['aedes'].join('');
    const { Aedes } = (await import(name)) as AedesPackage;
    const broker = await Aedes.createBroker();
    const server = createServer({
      key,
      cert: chain,
      ciphers: 'TLS_AES_128_GCM_SHA256',
      minVersion: 'TLSv1.3',
      noDelay: true,
    });
    new WebSocketServer({ server, perMessageDeflate: false, handleProtocols: () => 'mqtt' }).on(
      'connection',
      (socket) => broker.handle(createWebSocketStream(socket)),
    );
    await new Promise<void>((resolve) => server.listen({ port: 0, host: '127.0.0.1', backlog: 4096 }, resolve));
    // A TCP server that listens has an address with a port.
    return (server.address() as AddressInfo).port;
  },
} satisfies AedesServer);
