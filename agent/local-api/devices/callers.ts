// Which consumer a device is by its client certificate: authorities of a file issued it, and a consumer names a host name
// in it. Each request is checked again, since connections outlive certificates and settings.
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { X509Certificate } from 'node:crypto';
import type { CodedError } from '../../../shared/errors.ts';
import { peerCertificate } from '../../../shared/x509/certificates.ts';
import { timeLine, validityOf } from '../../../shared/x509/validity.ts';
import { ANY_CERTIFICATE, type ConsumerSettings } from '../../consumer-settings.ts';
import { deviceFault } from './errors.ts';

interface Connection {
  /** With which the certificate was verified. */
  readonly authorities: string | undefined;
  /** Null: none was shown. Undefined: the handshake is not done. */
  certificate?: X509Certificate | null;
}

export class DeviceCallers {
  readonly #now: () => number;
  readonly #connections = new WeakMap<Socket, Connection>();
  #authorities: string | undefined;
  /** By host name, or ANY_CERTIFICATE. */
  #consumers = new Map<string, string>();

  constructor(now: () => number) {
    this.#now = now;
  }

  /** From now on these count. Authorities: PEM; undefined: no certificate is accepted. */
  use(authorities: string | undefined, consumers: readonly Pick<ConsumerSettings, 'certificates' | 'name'>[]): void {
    this.#authorities = authorities;
    this.#consumers = new Map(consumers.flatMap(({ name, certificates }) => certificates.map((host) => [host, name])));
  }

  /** Undefined: no certificate is requested. */
  authorities(): string | undefined {
    return this.#authorities;
  }

  /** To be called when a connection comes: its handshake verifies by the authorities of this moment. */
  began(carrier: Socket): void {
    this.#connections.set(carrier, { authorities: this.#authorities });
  }

  /** Undefined: the device has shown no certificate. The error is device_caller_denied. */
  consumerOf(socket: unknown, carrier: Socket): string | CodedError | undefined {
    const connection = this.#connections.get(carrier);
    if (!(socket instanceof TLSSocket) || connection?.authorities === undefined) return undefined;
    connection.certificate ??= peerCertificate(socket) ?? null;
    const { certificate, authorities } = connection;
    if (certificate === null) return undefined;
    const denied = (found: string): CodedError => deviceFault('device_caller_denied', { found });
    if (!socket.authorized) return denied(`it is not verified (${String(socket.authorizationError)})`);
    if (authorities !== this.#authorities) return denied('the authorities of devices have changed since it connected');
    const { to } = validityOf(certificate);
    if (to.getTime() <= this.#now()) return denied(`it expired at ${timeLine(to)}`);
    return this.#byName(certificate) ?? denied('no consumer is configured for a host name in it');
  }

  #byName(certificate: X509Certificate): string | undefined {
    for (const [host, consumer] of this.#consumers)
      if (host !== ANY_CERTIFICATE && certificate.checkHost(host, EXACT) !== undefined) return consumer;
    return this.#consumers.get(ANY_CERTIFICATE);
  }
}

/** The common name counts too, and a wildcard in a certificate is not any device. */
const EXACT = { subject: 'always', wildcards: false, partialWildcards: false } as const;
