// Binds listening TCP sockets: one port on one or more addresses. Closing them leaves accepted connections open.
import { createServer, type Server, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { systemCode, textOf } from '../../shared/errors.ts';
import { listenerFault } from './errors.ts';

/** Enough for a branch network that reconnects at once; the kernel caps it at net.core.somaxconn. */
const BACKLOG = 4096;

export interface BindingPlan {
  /** For messages: WebSocket (ws), WebSocket (wss), HTTPS, HTTP administration. */
  readonly listener: string;
  readonly addresses: readonly string[];
  /** 0: any free port, the same on all addresses. */
  readonly port: number;
}

export interface Binding {
  readonly plan: BindingPlan;
  readonly port: number;
  /** Stops accepting at once; connections stay open. */
  close(): void;
}

/** True where ::1 exists: some hosts have IPv6 disabled. */
export function hasIpv6(): boolean {
  return Object.values(networkInterfaces()).some((addresses) => addresses?.some((entry) => entry.address === '::1'));
}

export function loopbackAddresses(): string[] {
  return hasIpv6() ? ['127.0.0.1', '::1'] : ['127.0.0.1'];
}

/** What a wildcard stands for, as far as other programs may have a part of it: the IPv4 addresses of this host. */
export function addressesBehind(addresses: readonly string[]): readonly string[] {
  if (!addresses.includes('::') && !addresses.includes('0.0.0.0')) return addresses;
  return Object.values(networkInterfaces()).flatMap((entries) =>
    (entries ?? []).filter(({ family }) => family === 'IPv4').map(({ address }) => address),
  );
}

/** Binds all addresses of the plan or none. Throws port_taken or port_refused. */
export async function openBinding(plan: BindingPlan, onConnection: (socket: Socket) => void): Promise<Binding> {
  const servers: Server[] = [];
  let port = plan.port;
  try {
    for (const address of plan.addresses) {
      const server = createServer({ noDelay: true }, onConnection);
      await listen(server, port, address, plan.listener);
      servers.push(server);
      const bound = server.address();
      if (typeof bound === 'object' && bound !== null) port = bound.port;
    }
  } catch (error) {
    for (const server of servers) server.close();
    throw error;
  }
  return {
    plan,
    port,
    close(): void {
      for (const server of servers) server.close();
    },
  };
}

/** Ports that are kept for a change that other nodes may still refuse: connections to them are cut off until it is made. */
export class HeldPorts {
  readonly #held: { readonly binding: Binding; serve: (socket: Socket) => void }[] = [];

  /** Errors: those of openBinding. */
  async hold(plan: BindingPlan): Promise<void> {
    const held: { serve: (socket: Socket) => void } = { serve: (socket) => socket.destroy() };
    const binding = await openBinding(plan, (socket) => held.serve(socket));
    this.#held.push(Object.assign(held, { binding }));
  }

  /** The binding that is held for this plan; undefined: none is. */
  take({ addresses, port }: BindingPlan, onConnection: (socket: Socket) => void): Binding | undefined {
    const index = this.#held.findIndex(
      ({ binding: { plan } }) => plan.port === port && plan.addresses.join() === addresses.join(),
    );
    const [held] = index < 0 ? [] : this.#held.splice(index, 1);
    if (held !== undefined) held.serve = onConnection;
    return held?.binding;
  }

  release(): void {
    for (const { binding } of this.#held.splice(0)) binding.close();
  }
}

function listen(server: Server, port: number, address: string, listener: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error) => {
      if (systemCode(error) === 'EADDRINUSE') reject(listenerFault('port_taken', { port, address, listener }, error));
      else
        reject(
          listenerFault('port_refused', { port, address, listener, found: systemCode(error) ?? textOf(error) }, error),
        );
    });
    server.listen({ port, host: address, backlog: BACKLOG }, () => {
      server.removeAllListeners('error');
      // After it listens, an error is one failed accept (no file descriptors left): the next one may succeed.
      server.on('error', () => undefined);
      resolve();
    });
  });
}
