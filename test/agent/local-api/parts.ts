// A local API with faked parts behind it, and ways to reach it as programs and strangers do.
import { readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import type { LocalApiPorts } from '../../../agent/local-api/types.ts';
import { LOCAL_LIMITS, LocalShares, type LocalLimits } from '../../../agent/local-api/connections.ts';
import { openLocalApi, type LocalApi, type LocalApiSettings } from '../../../agent/local-api/listeners.ts';
import { LOCAL_API_FILE } from '../../../agent/local-api/file.ts';
import { ConsumerTokens, type ConsumerGroup } from '../../../agent/local-api/tokens.ts';
import { LIMITS } from '../../../shared/wire/messages.ts';
import { temporaryFolder } from '../../temporary-folder.ts';

const acts: (() => Promise<unknown> | unknown)[] = [];

/** After each test: ends what was started, last first. */
export async function endAll(): Promise<void> {
  for (const act of acts.splice(0).toReversed()) await act();
}

export function atEnd(act: () => Promise<unknown> | unknown): void {
  acts.push(act);
}

export interface Opened {
  readonly api: LocalApi;
  readonly tokens: ConsumerTokens;
  readonly dataFolder: string;
  readonly port: number;
  readonly file: () => Promise<{ socket: string | null; url: string | null; token: string }>;
  readonly token: string;
  /** Lines of the log, as code or text with its facts. */
  readonly lines: { facts: object; text: string }[];
}

export interface ApiSetting {
  readonly dataFolder?: string;
  readonly settings?: Partial<LocalApiSettings>;
  readonly limits?: Partial<LocalLimits>;
  readonly ports?: Partial<LocalApiPorts>;
  readonly consumers?: readonly ConsumerGroup[];
  readonly consumersFolder?: string;
}

/** A daemon that has nothing and takes everything. */
export function fakePorts(change: Partial<LocalApiPorts> = {}): LocalApiPorts {
  return {
    append: async (messages) => messages.map((_message, index) => ({ outcome: 'stored', number: index + 1 }) as const),
    take: async () => [],
    deliver: async () => undefined,
    lastCursor: () => 0,
    waitForCommands: (_consumer, _timeoutMs, signal) =>
      new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve())),
    acknowledge: async () => undefined,
    consumers: async () => [],
    status: async () => ({
      name: 'branch',
      version: '1',
      keyThumbprint: '',
      connection: { state: 'connecting', stateChangedAt: '', stateReason: null, central: null, connectedAt: null },
      outbox: { messageCount: 0, bytes: 0, oldestAt: null },
      inbox: { messageCount: 0, bytes: 0, oldestAt: null },
      releases: null,
      accounts: null,
    }),
    problems: () => [],
    notReady: async () => [],
    incidents: async () => [],
    deadLetters: async () => [],
    now: () => Date.now(),
    maxMessageBytes: () => LIMITS.maxMessageBytes,
    source: () => '/agents/branch',
    onUnexpected: (error) => {
      throw error;
    },
    ...change,
  };
}

export async function openApi({
  dataFolder: ownFolder,
  settings,
  limits,
  ports: change,
  consumers = [],
  consumersFolder,
}: ApiSetting = {}): Promise<Opened> {
  const dataFolder = ownFolder ?? temporaryFolder();
  const lines: Opened['lines'] = [];
  const ports = fakePorts(change);
  const log = (facts: object, text: string): void => void lines.push({ facts, text });
  const tokens = await ConsumerTokens.open({
    dataFolder,
    folder: consumersFolder ?? join(dataFolder, 'consumers'),
    consumers,
    now: ports.now,
  });
  const api = await openLocalApi({
    settings: { port: 0, socket: join(dataFolder, 'local-api.sock'), group: undefined, ...settings },
    dataFolder,
    tokens,
    ports,
    log: { info: log, warn: log },
    shares: new LocalShares({ ...LOCAL_LIMITS, ...limits }),
    retryMs: 20,
  });
  atEnd(() => api.stop());
  const file = async () =>
    JSON.parse(await readFile(join(dataFolder, LOCAL_API_FILE), 'utf8')) as Awaited<ReturnType<Opened['file']>>;
  const { token, url } = await file();
  return { api, tokens, dataFolder, port: url === null ? 0 : Number(new URL(url).port), file, token, lines };
}

/** A connection of which all that came is kept. */
export class Line {
  readonly socket: Socket;
  received = '';
  readonly closed: Promise<void>;

  constructor(to: number | string, sent = '') {
    this.socket = typeof to === 'number' ? connect(to, '127.0.0.1') : connect(to);
    this.socket.on('data', (chunk: Buffer) => (this.received += chunk.toString()));
    // A client that is thrown out sometimes sees a reset.
    this.socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => this.socket.once('close', () => resolve()));
    if (sent !== '') this.socket.write(sent);
    atEnd(() => this.socket.destroy());
  }

  /** Resolves once it is connected, or closed. */
  async connected(): Promise<this> {
    if (this.socket.connecting)
      await Promise.race([new Promise((resolve) => this.socket.once('connect', resolve)), this.closed]);
    return this;
  }
}

/** One request on a connection of its own: the whole answer. */
export async function ask(
  to: number | string,
  head: string,
  headers: Readonly<Record<string, string>> = {},
  body = '',
): Promise<{ status: number; text: string }> {
  const all = {
    host: 'localhost',
    connection: 'close',
    ...(body === '' ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
    ...headers,
  };
  const line = new Line(
    to,
    `${head} HTTP/1.1\r\n${Object.entries(all)
      .map(([name, value]) => `${name}: ${value}\r\n`)
      .join('')}\r\n${body}`,
  );
  await line.closed;
  return { status: Number(/^HTTP\/1\.1 (\d{3})/.exec(line.received)?.[1] ?? 0), text: line.received };
}

export function bearer(token: string): Record<string, string> {
  return { authorization: `Bearer ${token}` };
}
