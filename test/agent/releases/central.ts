// A Central of the tests' own: welcomes an agent, offers releases, and serves their manifests and blobs with ranges.
import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, sign } from 'node:crypto';
import { once } from 'node:events';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { zstdCompressSync } from 'node:zlib';
import { setImmediate as turn } from 'node:timers/promises';
import { pino } from 'pino';
import { WebSocketServer, type WebSocket } from 'ws';
import { loadAgentConf, type AgentConf, type AgentConfRequest } from '../../../agent/conf.ts';
import { createControl } from '../../../agent/connection/control.ts';
import { Daemon } from '../../../agent/daemon.ts';
import { loadCredentials, loadIdentity, saveIdentity } from '../../../agent/identity/identity.ts';
import { openReleases, type Releases } from '../../../agent/releases/open-releases.ts';
import type { SoftwareNeeds } from '../../../agent/releases/software/target.ts';
import { loadTrusted } from '../../../agent/trust/trusted.ts';
import { createSecretFile } from '../../../shared/files/secret-file.ts';
import { signInstruction, type Instruction } from '../../../shared/releases/instruction.ts';
import { manifestDigest, manifestText, type ReleaseKind } from '../../../shared/releases/manifest.ts';
import { LIMITS, SUBPROTOCOL, type Hello, type Welcome } from '../../../shared/wire/messages.ts';
import type { ReleaseMeasured, ReleaseState } from '../../../shared/wire/release-frames.ts';
import { welcomeTranscript } from '../../../shared/wire/proof.ts';
import { withChecksum } from '../../../shared/wire/checksum.ts';
import { HeldInbox, MemoryOutbox } from '../../shared/delivery/session-logs.ts';

export const cleanup: (() => unknown)[] = [];

const KEYSTORES = 'test/fixtures/keystores';
const { privateKey: signingKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
export const foreignKey = generateKeyPairSync('ec', { namedCurve: 'prime256v1' }).privateKey;
/** Central's clock. */
const TIME = 1_790_000_000_000;

export interface Release {
  readonly digest: string;
  readonly text: string;
  readonly blobs: ReadonlyMap<string, Buffer>;
  /** The build signature. */
  readonly signature?: string;
}

/** A release with these files. */
export function release(
  files: Readonly<Record<string, string | Buffer>>,
  { kind = 'profile', name = 'branch', executable = [] }: ReleaseOptions = {},
): Release {
  const blobs = new Map<string, Buffer>();
  const listed = Object.entries(files).map(([path, content]) => {
    const bytes = Buffer.from(content);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    blobs.set(sha256, bytes);
    return { path, size: bytes.length, sha256, executable: executable.includes(path) };
  });
  const text = manifestText({ kind, name, files: listed });
  return { digest: manifestDigest(text), text, blobs };
}

interface ReleaseOptions {
  readonly kind?: ReleaseKind;
  readonly name?: string;
  readonly executable?: readonly string[];
}

export class FalseCentral {
  readonly hellos: Hello[] = [];
  readonly states: ReleaseState[] = [];
  readonly measured: ReleaseMeasured[] = [];
  /** Path and Range of each download. */
  readonly requests: { readonly path: string; readonly range: string | undefined }[] = [];
  readonly #releases = new Map<string, Release>();
  readonly #sockets = new Set<WebSocket>();
  /** Called with each hello: a refusal in place of the welcome. */
  refuse: (hello: Hello) => { readonly code: string; readonly close: number; readonly after?: number } | undefined =
    () => undefined;
  /** Called with each download: true: it has been answered. */
  onDownload: (request: IncomingMessage, response: ServerResponse) => boolean = () => false;
  port = 0;
  /** False: as a Central that does not know the compressed form. */
  isCompressing = true;
  /** That were sent compressed. */
  compressedBytes = 0;
  /** So many connections, or attempts at one, are answered with HTTP 429. */
  throttledUpgrades = 0;
  /** So many sessions with a release are drained as soon as they are welcomed. */
  drains = 0;
  heartbeatSeconds = 60;
  /** Its clock. */
  time = TIME;
  #session: WebSocket | undefined;
  readonly #said = new Set<() => void>();

  async listen(): Promise<this> {
    const server = createServer((request, response) => this.#serve(request, response));
    const webSockets = new WebSocketServer({
      server,
      handleProtocols: () => SUBPROTOCOL,
      verifyClient: (_, answer) => {
        if (this.throttledUpgrades === 0) return answer(true);
        this.throttledUpgrades -= 1;
        answer(false, 429, 'Too Many Requests', { 'retry-after': '1' });
      },
    });
    webSockets.on('connection', (socket) => this.#greet(socket));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    this.port = (server.address() as AddressInfo).port;
    cleanup.push(() => {
      for (const socket of webSockets.clients) socket.terminate();
      server.closeAllConnections();
      server.close();
    });
    return this;
  }

  add(added: Release): string {
    this.#releases.set(added.digest, added);
    return added.digest;
  }

  offer(change: Partial<Instruction> & Pick<Instruction, 'release' | 'generation'>, key = signingKey): void {
    const instruction: Instruction = {
      kind: 'profile',
      stage: 'upgrade',
      agent: 'a1',
      notBefore: TIME - 1000,
      expires: TIME + 3_600_000,
      trialSeconds: 300,
      bytesPerSecond: 0,
      rollout: 'r-1',
      ...change,
    };
    this.send({ type: 'release-offer', instruction: signInstruction(instruction, key, 'k'), ticket: 't'.repeat(32) });
  }

  send(frame: object): void {
    this.#session?.send(withChecksum(JSON.stringify(frame)));
  }

  /** Ends the session as a lost line does. */
  cut(): void {
    this.#session?.terminate();
  }

  get isOnline(): boolean {
    return this.#session?.readyState === 1;
  }

  /** The first state that fits, of those that have not been looked at. */
  async state(...wanted: readonly ReleaseState['state'][]): Promise<ReleaseState> {
    for (;;) {
      const place = this.states.findIndex(({ state }) => wanted.includes(state));
      const [found] = place === -1 ? [] : this.states.splice(0, place + 1).slice(-1);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#said.add(resolve));
    }
  }

  /** That of an instruction, whenever it comes. */
  async stateOf(generation: number, wanted: ReleaseState['state']): Promise<ReleaseState> {
    for (;;) {
      const found = this.states.find((state) => state.state === wanted && state.generation === generation);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#said.add(resolve));
    }
  }

  /** The first measurement of this release that has not been looked at. */
  async measurement(release: string): Promise<ReleaseMeasured> {
    for (;;) {
      const place = this.measured.findIndex((frame) => frame.release === release);
      const [found] = place === -1 ? [] : this.measured.splice(place, 1);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#said.add(resolve));
    }
  }

  async hello(which: (hello: Hello) => boolean): Promise<Hello> {
    for (;;) {
      const found = this.hellos.find(which);
      if (found !== undefined) return found;
      await new Promise<void>((resolve) => this.#said.add(resolve));
    }
  }

  #happened(): void {
    for (const resolve of this.#said) resolve();
    this.#said.clear();
  }

  #greet(socket: WebSocket): void {
    this.#sockets.add(socket);
    socket.on('error', () => undefined);
    socket.once('message', (data: Buffer) => this.#answer(socket, JSON.parse(withoutChecksum(data)) as Hello));
    const sentAt = new Date(TIME).toISOString();
    socket.send(JSON.stringify({ type: 'challenge', nonce: 'c'.repeat(32), centralName: 'bank', sentAt }));
  }

  #answer(socket: WebSocket, hello: Hello): void {
    this.hellos.push(hello);
    const refused = this.refuse(hello);
    if (refused !== undefined) {
      const { code, close, after = null } = refused;
      socket.send(
        JSON.stringify({ type: 'refuse', code, detail: `No: ${code}.`, hint: 'h', retryAfterSeconds: after }),
      );
      socket.close(close, code);
      return this.#happened();
    }
    // The newest connection of an agent wins.
    this.#session?.close(4501, 'superseded');
    this.#session = socket;
    const unsigned: Omit<Welcome, 'signature'> = {
      type: 'welcome',
      sessionId: `s${this.hellos.length}`,
      time: this.time,
      epoch: this.hellos.length,
      heartbeatSeconds: this.heartbeatSeconds,
      limits: { ...LIMITS },
      logs: { up: null },
    };
    const transcript = Buffer.from(welcomeTranscript(hello, 'bank', unsigned));
    socket.send(JSON.stringify({ ...unsigned, signature: sign('sha256', transcript, signingKey).toString('base64') }));
    if (this.drains > 0) {
      this.drains -= 1;
      this.send({ type: 'drain', retryAfterSeconds: 0, spreadSeconds: 0 });
      socket.close(4500, 'going_away');
    }
    socket.on('message', (data: Buffer) => {
      const frame = JSON.parse(withoutChecksum(data)) as { readonly type: string };
      if (frame.type === 'release-measured') this.measured.push(frame as ReleaseMeasured);
      else if (frame.type === 'release-state') this.states.push(frame as ReleaseState);
      else return;
      this.#happened();
    });
    this.#happened();
  }

  #serve(request: IncomingMessage, response: ServerResponse): void {
    const { headers } = request;
    const [url = '', query] = (request.url ?? '').split('?');
    this.requests.push({ path: url, range: headers.range });
    if (this.onDownload(request, response)) return;
    if (headers.authorization !== `Bearer ${'t'.repeat(32)}`) return void response.writeHead(401).end();
    const [, digest = '', part] = /^\/releases\/(\w+)\/(manifest|signature)$/.exec(url) ?? [];
    const found = this.#releases.get(digest);
    const text = part === 'signature' ? found?.signature : found?.text;
    const sha256 = /^\/blobs\/(\w+)$/.exec(url)?.[1] ?? '';
    const blob = [...this.#releases.values()].map(({ blobs }) => blobs.get(sha256)).find((one) => one !== undefined);
    const body = text ?? blob;
    if (body === undefined) return void response.writeHead(404).end();
    if (query === 'encoding=zstd' && this.isCompressing) {
      const packed = zstdCompressSync(body);
      this.compressedBytes += packed.length;
      response.writeHead(200, { 'content-type': 'application/zstd', 'content-length': packed.length });
      return void response.end(packed);
    }
    const from = Number(/^bytes=(\d+)-$/.exec(headers.range ?? '')?.[1] ?? 0);
    if (from === 0 || headers['if-range'] !== `"${sha256}"`) return void response.writeHead(200).end(body);
    const range = `bytes ${from}-${body.length - 1}/${body.length}`;
    response.writeHead(206, { 'content-range': range }).end(Buffer.from(body).subarray(from));
  }
}

/** On ws a frame ends with a checksum behind the JSON text. */
function withoutChecksum(data: Buffer): string {
  const text = data.toString();
  return text.slice(0, text.lastIndexOf('}') + 1);
}

class Inbox extends HeldInbox {
  async position(): Promise<null> {
    return null;
  }

  setCentralTime(): Promise<void> {
    return Promise.resolve();
  }
}

export interface Branch {
  readonly profile: string;
  readonly data: string;
}

/** An enrolled agent's folders; `conf` is its profile placed by hand. */
export async function branch(conf: Readonly<Record<string, string>>): Promise<Branch> {
  const folder = await mkdtemp(join(tmpdir(), 'queuegate-releases-'));
  cleanup.push(() => rm(folder, { recursive: true, force: true }));
  const [profile, data] = [join(folder, 'branch'), join(folder, 'data')];
  for (const [path, text] of Object.entries(conf)) {
    await mkdir(dirname(join(profile, path)), { recursive: true });
    await writeFile(join(profile, path), text);
  }
  await mkdir(data, { mode: 0o700 });
  const key = createPrivateKey(readFileSync(`${KEYSTORES}/central.key`));
  const pem = key.export({ format: 'pem', type: 'pkcs8' });
  await createSecretFile(join(data, 'agent-key.pem'), Buffer.from(pem));
  await saveIdentity(data, {
    id: 'a1',
    name: 'branch',
    central: 'bank',
    signingKey: createPublicKey(signingKey).export({ format: 'der', type: 'spki' }).toString('base64'),
    certificate: readFileSync(`${KEYSTORES}/central.crt`, 'utf8'),
    host: '127.0.0.1',
    port: 1,
    secure: false,
  });
  return { profile, data };
}

export async function copyOf({ profile, data }: Branch): Promise<Branch> {
  const folder = await mkdtemp(join(tmpdir(), 'queuegate-releases-'));
  cleanup.push(() => rm(folder, { recursive: true, force: true }));
  const copy = { profile: join(folder, basename(profile)), data: join(folder, basename(data)) };
  await cp(profile, copy.profile, { recursive: true });
  await cp(data, copy.data, { recursive: true });
  return copy;
}

export function requestOf({ profile, data }: Branch): AgentConfRequest {
  return { profileFolder: profile, environment: {}, flags: { 'data-folder': data } };
}

interface RunningBranch {
  readonly releases: Releases;
  readonly daemon: Daemon;
  readonly lines: Record<string, unknown>[];
  conf(): Promise<AgentConf>;
  stop(): Promise<void>;
}

export interface RunOptions {
  /** May throw: the process dies there. */
  readonly onStep?: (step: string) => void;
  /** What is to happen in ten seconds or later, which it never does by itself. */
  readonly onLater?: (ms: number, act: () => void) => void;
  /** Nothing ends because its time is over. */
  readonly isTimeStopped?: boolean;
  readonly software?: Partial<SoftwareNeeds>;
}

/** The daemon of the folders, with time that passes as fast as it can. */
export async function run(
  folders: Branch,
  { onStep, onLater, isTimeStopped = false, software }: RunOptions = {},
): Promise<RunningBranch> {
  const { data } = folders;
  const request = requestOf(folders);
  const conf = (digest?: string) => loadAgentConf(digest === undefined ? request : { ...request, release: digest });
  const lines: Record<string, unknown>[] = [];
  const log = pino({ level: 'debug', base: null }, { write: (line: string) => lines.push(JSON.parse(line)) });
  let time = 0;
  const part = { onOnline: () => undefined, onFrame: () => undefined, onOffline: () => undefined };
  const releases = openReleases({
    dataFolder: data,
    identity: () => loadIdentity(data),
    conf,
    livePlan: () => daemon.livePlan(),
    plansFor: (candidate) => daemon.plansFor(candidate),
    attempt: (plan, signal) => daemon.attempt(plan, signal),
    onCommitted: () => Promise.resolve(),
    software: {
      slot: undefined,
      running: { program: data, runtime: data },
      signers: async () => (await conf()).softwareSigners,
      machine: 'linux-x64',
      connection: () => daemon.status(),
      restart: () => undefined,
      ...software,
    },
    isBusy: () => false,
    log,
    after: (ms, act) => {
      if (ms >= 10_000) onLater?.(ms, act);
      const timer = setTimeout(act, ms < 10_000 ? 1 : 1_000_000);
      return () => clearTimeout(timer);
    },
    clock: () => time,
    wait: async (ms, signal) => {
      // Long enough for what a session does at once.
      for (let turns = 0; turns < 20; turns += 1) await turn(undefined, { signal });
      // The first dial takes no time by this clock, however busy the machine is.
      while (daemon.status().state === 'connecting') await turn(undefined, { signal });
      if (!isTimeStopped) time += ms;
    },
    ...(onStep === undefined ? {} : { onStep }),
  });
  const daemon: Daemon = new Daemon({
    firstConf: await conf(),
    firstName: 'branch',
    onName: () => undefined,
    conf,
    credentials: () => loadCredentials(data),
    trusted: (fresh) => loadTrusted({ ...fresh, dataFolder: data }),
    watched: () => [],
    outbox: new MemoryOutbox(),
    inbox: new Inbox(),
    control: createControl({
      renewal: part,
      trust: part,
      consumers: part,
      expired: part,
      tasks: part,
      devices: part,
      releases,
      streams: {
        http: { ...part, onStream: (stream) => stream.reset('kind_unknown') },
        taskLogs: { onStream: (stream) => stream.reset('kind_unknown') },
      },
    }),
    software: software?.slot?.pair,
    log,
    now: Date.now,
  });
  daemon.start(() => undefined);
  const stop = async (): Promise<void> => {
    await releases.stop();
    await daemon.stop();
  };
  cleanup.push(stop);
  return { releases, daemon, lines, conf, stop };
}
