// The port for devices of the branch's network: opened, moved and closed as settings and certificate say, without
// touching the port for programs. A device that is connected stays connected when the port moves or its certificate is
// replaced; when the port is switched off, it is cut off.
import type { Server } from 'node:http';
import { Server as NetServer, type Socket } from 'node:net';
import type { Server as TlsServer } from 'node:tls';
import { constants } from 'node:crypto';
import { isCoded, systemCode, textOf, type CodedError } from '../../../shared/errors.ts';
import { timeLine, validityOf } from '../../../shared/x509/validity.ts';
import { namesIn, type DeviceCertificate, type DeviceMaterial } from './certificate.ts';
import { deviceFault } from './errors.ts';

export interface DeviceSettings {
  /** 0: off. */
  readonly port: number;
  /** Empty: all addresses of this host. */
  readonly address: string;
  /** Why client certificates are not accepted although they are configured. */
  readonly fault?: CodedError | undefined;
}

interface DevicePortNeeds {
  readonly settings: () => DeviceSettings;
  readonly certificate: Pick<DeviceCertificate, 'fault' | 'material'>;
  /** Of devices, PEM; undefined: no client certificates. */
  readonly authorities: () => string | undefined;
  /** Makes the server of HTTP with these options of TLS. */
  create(tls: DeviceTls): Server & TlsServer;
  readonly now: () => number;
}

export type DeviceTls = Pick<
  NonNullable<Parameters<TlsServer['setSecureContext']>[0]>,
  'ca' | 'cert' | 'key' | 'minVersion' | 'secureOptions'
> & { readonly handshakeTimeout: number; readonly requestCert: boolean; readonly rejectUnauthorized: boolean };

/** What the status shows. */
export interface DevicePortStatus {
  readonly port: number;
  readonly address: string;
  readonly state: 'closed' | 'open';
  readonly names: readonly string[];
  readonly notAfter: string | null;
  /** Client certificates of devices are accepted. */
  readonly clientCertificates: boolean;
  /** Whose handshake is done. */
  readonly connectionCount: number;
}

interface Open {
  readonly server: Server & TlsServer;
  readonly port: number;
  readonly address: string;
  material: DeviceMaterial;
  authorities: string | undefined;
}

/** The sockets of slow handshakes are cut sooner (handshakes.ts). */
const HANDSHAKE_TIMEOUT_MS = 10_000;

export class DevicePort {
  readonly #needs: DevicePortNeeds;
  #open: Open | undefined;
  /** The present one, and those that moved and still have connections. */
  readonly #servers = new Set<Server & TlsServer>();
  #connectionCount = 0;
  /** What keeps it from being open, or from another certificate. */
  #fault: CodedError | undefined;

  constructor(needs: DevicePortNeeds) {
    this.#needs = needs;
  }

  /** Undefined: it is off, or nothing is wrong. */
  fault(): CodedError | undefined {
    if (this.#needs.settings().port === 0) return undefined;
    return this.#fault ?? this.#needs.certificate.fault() ?? this.#needs.settings().fault;
  }

  /** Null: it is off. */
  status(): DevicePortStatus | null {
    const { port, address } = this.#needs.settings();
    if (port === 0) return null;
    const material = this.#needs.certificate.material();
    return {
      port,
      address,
      state: this.#open?.port === port && this.#open.address === address ? 'open' : 'closed',
      names: material === undefined ? [] : namesIn(material),
      notAfter: material === undefined ? null : validityOf(material.certificate).to.toISOString(),
      clientCertificates: this.#needs.authorities() !== undefined,
      connectionCount: this.#connectionCount,
    };
  }

  /** Host names and addresses by which requests may name it. */
  hosts(): readonly string[] {
    const material = this.#needs.certificate.material();
    return material === undefined ? [] : namesIn(material);
  }

  /** Brings the port in line with settings and certificate. Must not run twice at once. */
  async reconcile(): Promise<void> {
    const { port, address } = this.#needs.settings();
    if (port === 0) return this.stop();
    try {
      const material = this.#usable();
      const open = this.#open;
      // A server that requests certificates is another one.
      const isSame = (open?.authorities === undefined) === (this.#needs.authorities() === undefined);
      if (open?.port === port && open.address === address && isSame) this.#show(open, material);
      else await this.#move(port, address, material);
      this.#fault = undefined;
    } catch (error) {
      if (!isCoded(error)) throw error;
      this.#fault = error;
    }
  }

  /** Cuts all devices off. */
  stop(): void {
    this.#open = this.#fault = undefined;
    for (const server of this.#servers) {
      server.close(() => undefined);
      server.closeAllConnections();
    }
    this.#servers.clear();
  }

  /** Errors: device_certificate_missing, device_certificate_expired; the port takes no connections then. */
  #usable(): DeviceMaterial {
    const material = this.#needs.certificate.material();
    if (material === undefined) {
      this.#leave();
      throw this.#needs.certificate.fault() ?? deviceFault('device_certificate_missing', {});
    }
    const { to } = validityOf(material.certificate);
    if (to.getTime() > this.#needs.now()) return material;
    this.#leave();
    throw deviceFault('device_certificate_expired', { until: timeLine(to) });
  }

  #show(open: Open, material: DeviceMaterial): void {
    const authorities = this.#needs.authorities();
    if (open.material === material && open.authorities === authorities) return;
    open.server.setSecureContext(tlsOf(material, authorities));
    [open.material, open.authorities] = [material, authorities];
  }

  async #move(port: number, address: string, material: DeviceMaterial): Promise<void> {
    // The same port at another address may overlap with the one before.
    if (this.#open?.port === port) this.#leave();
    const authorities = this.#needs.authorities();
    const server = this.#needs.create({
      ...tlsOf(material, authorities),
      handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
      requestCert: authorities !== undefined,
      rejectUnauthorized: false, // refused with an answer that says why (callers.ts)
    });
    await listening(server, port, address);
    this.#servers.add(server);
    server.on('secureConnection', (socket: Socket) => {
      this.#connectionCount += 1;
      socket.once('close', () => (this.#connectionCount -= 1));
    });
    server.once('close', () => {
      this.#servers.delete(server);
      // Ends the checks of Node.js for timeouts.
      server.close(() => undefined);
    });
    this.#leave();
    this.#open = { server, port, address, material, authorities };
  }

  /** Takes no new connections; those of devices go on. */
  #leave(): void {
    const open = this.#open;
    this.#open = undefined;
    // That of HTTP would also end connections on which no request is running.
    if (open !== undefined) NetServer.prototype.close.call(open.server);
  }
}

/** With client certificates no session is resumed: each connection shows its own. */
function tlsOf(
  { key, chain }: DeviceMaterial,
  authorities: string | undefined,
): Pick<DeviceTls, 'ca' | 'cert' | 'key' | 'minVersion' | 'secureOptions'> {
  const common = { key, cert: chain, minVersion: 'TLSv1.2' } as const;
  const secureOptions = constants.SSL_OP_NO_RENEGOTIATION;
  return authorities === undefined
    ? { ...common, secureOptions }
    : { ...common, secureOptions: secureOptions | constants.SSL_OP_NO_TICKET, ca: authorities };
}

/** Errors: device_port_taken, device_port_refused. */
export async function listening(server: NetServer, port: number, address: string): Promise<void> {
  const shown = address === '' ? 'all addresses' : address;
  await new Promise<void>((resolve, reject) => {
    const refused = (error: Error): void =>
      reject(
        systemCode(error) === 'EADDRINUSE'
          ? deviceFault('device_port_taken', { port, address: shown }, error)
          : deviceFault('device_port_refused', { port, address: shown, found: textOf(error) }, error),
      );
    server.once('error', refused);
    server.listen({ port, ...(address === '' ? {} : { host: address }) }, () => {
      server.removeListener('error', refused);
      resolve();
    });
  });
}
