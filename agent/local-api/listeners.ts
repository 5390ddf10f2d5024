// Where the local API listens: a Unix socket where there is one, and a port of loopback. What cannot be bound is a
// problem in the status and tried again until it is free; the daemon runs on. local-api.json names only what is bound.
import type { Server } from 'node:http';
import { isCoded, systemCode, textOf, type CodedError } from '../../shared/errors.ts';
import { PLAIN_AT_ONCE, ReadTurns } from '../../shared/http/read-turns.ts';
import { Mutex } from '../../shared/mutex.ts';
import { groupIdOf } from '../../shared/platform/group.ts';
import { HAS_UNIX_SOCKETS, openLocalSocket, type LocalSocket } from '../../shared/platform/local-socket.ts';
import { agentFault } from '../errors.ts';
import { removeOwnerKey, writeOwnerKey, type LocalApiAddresses } from './file.ts';
import type { ConsumerTokens } from './tokens.ts';
import type { LocalApiPorts, Problem } from './types.ts';
import { LocalShares, WrongTokens } from './connections.ts';
import type { DeviceCallers } from './devices/callers.ts';
import type { DeviceCertificate } from './devices/certificate.ts';
import { DeviceHandshakes } from './devices/handshakes.ts';
import { DevicePort, type DevicePortStatus, type DeviceSettings } from './devices/port.ts';
import { createDeviceServer, createLocalServer, type ListenerKind, type LocalServerNeeds } from './server.ts';

export interface LocalApiSettings {
  readonly port: number;
  readonly socket: string;
  /** Undefined: the socket is the owner's alone. */
  readonly group: string | undefined;
}

interface LocalApiNeeds {
  readonly settings: LocalApiSettings;
  readonly dataFolder: string;
  readonly tokens: ConsumerTokens;
  readonly ports: LocalApiPorts;
  readonly log: { info(facts: object, text: string): void; warn(facts: object, text: string): void };
  /** Of the port for devices. */
  readonly devices?: {
    readonly settings: () => DeviceSettings;
    readonly certificate: DeviceCertificate;
    readonly callers: DeviceCallers;
    /** Called after each look at the port. */
    saw(status: DevicePortStatus | null): void;
  };
  readonly shares?: LocalShares;
  readonly retryMs?: number;
}

/** Something that does not work and does not end the daemon. */
export interface LocalApi {
  addresses(): LocalApiAddresses;
  problems(): Problem[];
  /** Settings or certificate of the port for devices are others. */
  devicesChanged(): void;
  stop(): Promise<void>;
}

const ADDRESS = '127.0.0.1';
const GROUP_SETTING = 'localApi.group';
const SOCKET_SETTING = 'localApi.socket in agent.local.conf';
/** A port that is freed is taken within it, a socket whose name was removed made again. */
const RETRY_MS = 2_000;
const STOP_MS = 1_000;

type Subject = 'socket' | 'group' | 'port' | 'devices';

class Listeners implements LocalApi {
  readonly #needs: LocalApiNeeds;
  readonly #stopping = new AbortController();
  readonly #problems = new Map<Subject, Problem>();
  readonly #create: (kind: Exclude<ListenerKind, 'device'>) => Server;
  readonly #devicePort: DevicePort | undefined;
  readonly #servers = new Set<Server>();
  readonly #startedAt: string;
  #socket: LocalSocket | undefined;
  #socketServer: Server | undefined;
  #port: number | undefined;
  #published = '';
  readonly #attempts = new Mutex();
  #timer: NodeJS.Timeout | undefined;
  #stopped: Promise<void> | undefined;

  constructor(needs: LocalApiNeeds, ownerKey: Buffer) {
    this.#needs = needs;
    this.#startedAt = new Date(needs.ports.now()).toISOString();
    const { tokens, log, shares = new LocalShares() } = needs;
    const ports = {
      ...needs.ports,
      status: async () => ({
        ...(await needs.ports.status()),
        localApi: this.addresses(),
        devicePort: this.#devicePort?.status() ?? null,
        problems: this.problems(),
      }),
    };
    const wrongTokens = new WrongTokens(ports.now, (count) =>
      log.warn({ count }, 'requests to the local API with a missing or wrong token'),
    );
    const readTurns = new ReadTurns({ atOnce: PLAIN_AT_ONCE });
    const common = {
      ports,
      tokens,
      ownerKey,
      shares,
      ownerShares: new LocalShares(shares.limits),
      wrongTokens,
      readTurns,
    };
    this.#create = (kind) => createLocalServer(kind, { ...common, stopping: this.#stopping.signal });
    this.#devicePort = this.#openDevices(common);
  }

  /** Has shares of its own, so that what comes from the network takes nothing from programs on this host. */
  #openDevices(common: Omit<LocalServerNeeds, 'stopping'>): DevicePort | undefined {
    const { devices, log } = this.#needs;
    if (devices === undefined) return undefined;
    const { now } = common.ports;
    const { callers } = devices;
    const own = {
      ...common,
      shares: new LocalShares(common.shares.limits),
      readTurns: new ReadTurns(),
      wrongTokens: new WrongTokens(now, (count) =>
        log.warn({ count }, 'requests of devices with a missing or wrong token'),
      ),
      stopping: this.#stopping.signal,
    };
    const handshakes = new DeviceHandshakes(own.readTurns);
    const port: DevicePort = new DevicePort({
      ...devices,
      authorities: () => callers.authorities(),
      now,
      create: (tls) => createDeviceServer({ handshakes, callers, hosts: () => port.hosts(), tls }, own),
    });
    return port;
  }

  async start(): Promise<void> {
    await this.#attempt();
    for (const { code, message, hint } of this.#needs.tokens.problems())
      this.#needs.log.warn({ code }, `${message} ${hint}`);
    this.#timer = setInterval(() => this.#attemptAgain(), this.#needs.retryMs ?? RETRY_MS).unref();
  }

  addresses(): LocalApiAddresses {
    return {
      socket: this.#socket === undefined ? null : this.#needs.settings.socket,
      url: this.#port === undefined ? null : `http://${ADDRESS}:${this.#port}`,
    };
  }

  problems(): Problem[] {
    const startedAt = this.#startedAt;
    const ofTokens = this.#needs.tokens
      .problems()
      .map(({ code, message, hint }) => ({ code, detail: message, hint, startedAt }));
    return [...this.#problems.values(), ...ofTokens, ...this.#needs.ports.problems()];
  }

  devicesChanged(): void {
    this.#attemptAgain();
  }

  stop(): Promise<void> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<void> {
    clearInterval(this.#timer);
    this.#stopping.abort();
    await this.#attempts.runExclusive(async () => undefined);
    this.#devicePort?.stop();
    await this.#socket?.remove();
    [this.#socket, this.#port] = [undefined, undefined];
    // Best effort: a full disk must not keep the daemon from ending, and the next start writes both again.
    await Promise.all([this.#needs.tokens.publish(this.addresses()), removeOwnerKey(this.#needs.dataFolder)]).catch(
      (error: unknown) => this.#needs.log.warn({ error: textOf(error) }, 'local API'),
    );
    await Promise.all([...this.#servers].map(closed));
  }

  #attemptAgain(): void {
    this.#attempts.runExclusive(() => this.#attempt()).catch((error: unknown) => this.#needs.ports.onUnexpected(error));
  }

  /** Binds what is not bound. */
  async #attempt(): Promise<void> {
    if (HAS_UNIX_SOCKETS) await this.#try('socket', () => this.#bindSocket());
    await this.#try('port', () => this.#bindPort());
    if (!this.#stopping.signal.aborted) await this.#try('devices', () => this.#bindDevices());
    const addresses = this.addresses();
    if (JSON.stringify(addresses) === this.#published || this.#stopping.signal.aborted) return;
    try {
      await this.#needs.tokens.publish(addresses);
      this.#published = JSON.stringify(addresses);
    } catch (error) {
      // The next attempt writes it; the first one must, or no program finds the API.
      if (this.#published === '') throw error;
    }
  }

  async #try(what: Subject, act: () => Promise<void>): Promise<void> {
    try {
      await act();
      this.#solved(what);
    } catch (error) {
      if (!isCoded(error)) throw error;
      this.#report(what, error);
    }
  }

  #report(what: Subject, error: CodedError): void {
    const before = this.#problems.get(what);
    const startedAt = before?.code === error.code ? before.startedAt : new Date(this.#needs.ports.now()).toISOString();
    this.#problems.set(what, { code: error.code, detail: error.message, hint: error.hint, startedAt });
    if (before?.code !== error.code) this.#needs.log.warn({ code: error.code }, `${error.message} ${error.hint}`);
  }

  #solved(what: Subject): void {
    const before = this.#problems.get(what);
    if (before === undefined) return;
    this.#problems.delete(what);
    this.#needs.log.info({ code: before.code, ...this.addresses() }, 'this problem of the local API is over');
  }

  async #bindDevices(): Promise<void> {
    await this.#devicePort?.reconcile();
    this.#needs.devices?.saw(this.#devicePort?.status() ?? null);
    const fault = this.#devicePort?.fault();
    if (fault !== undefined) throw fault;
  }

  async #bindSocket(): Promise<void> {
    if (this.#socket !== undefined && (await this.#socket.isInPlace())) return;
    this.#socket = undefined;
    if (this.#socketServer !== undefined) this.#drop(this.#socketServer);
    const { socket: path, group } = this.#needs.settings;
    const gid = await this.#groupId();
    try {
      await this.#bindSocketFor(gid);
    } catch (error) {
      // The owner's only, where the group cannot have it: never wider than was asked for.
      if (gid === undefined || !(error instanceof Error) || systemCode(error.cause) !== 'EPERM') throw error;
      this.#report(
        'group',
        agentFault(
          'local_group_refused',
          { path, group: group ?? '', setting: GROUP_SETTING, found: textOf(error.cause) },
          error,
        ),
      );
      await this.#bindSocketFor(undefined);
    }
  }

  async #bindSocketFor(gid: number | undefined): Promise<void> {
    const server = this.#create(gid === undefined ? 'owner-socket' : 'group-socket');
    this.#socket = await openLocalSocket(server, this.#needs.settings.socket, {
      setting: SOCKET_SETTING,
      ...(gid === undefined ? {} : { groupId: gid }),
    });
    this.#servers.add(server);
    this.#socketServer = server;
  }

  async #groupId(): Promise<number | undefined> {
    const { group, socket: path } = this.#needs.settings;
    if (group === undefined) return undefined;
    const gid = await groupIdOf(group);
    if (gid === undefined)
      this.#report('group', agentFault('local_group_unknown', { group, setting: GROUP_SETTING, path }));
    return gid;
  }

  async #bindPort(): Promise<void> {
    if (this.#port !== undefined) return;
    const { port } = this.#needs.settings;
    const server = this.#create('tcp');
    this.#port = await new Promise<number>((resolve, reject) => {
      const refused = (error: Error): void => {
        reject(
          systemCode(error) === 'EADDRINUSE'
            ? agentFault('local_port_taken', { port, address: ADDRESS }, error)
            : agentFault('local_port_refused', { port, found: textOf(error) }, error),
        );
      };
      server.once('error', refused);
      server.listen({ port, host: ADDRESS }, () => {
        server.removeListener('error', refused);
        const address = server.address();
        resolve(typeof address === 'object' && address !== null ? address.port : port);
      });
    });
    this.#servers.add(server);
  }

  /** Its name is gone, so that no new program finds it; those that are connected are answered to the end. */
  #drop(server: Server): void {
    this.#servers.delete(server);
    void closed(server);
  }
}

/** Opens the local API. What cannot be bound is among its problems. Errors: of the files that it writes. */
export async function openLocalApi(needs: LocalApiNeeds): Promise<LocalApi> {
  const listeners = new Listeners(needs, await writeOwnerKey(needs.dataFolder));
  await listeners.start();
  return listeners;
}

function closed(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
    setTimeout(() => server.closeAllConnections(), STOP_MS).unref();
  });
}
