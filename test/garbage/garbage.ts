// What the garbage tests share: their seed, sockets that say anything, what is not a frame, and the honest agent beside
// them whom nothing of it may disturb. What is sent is each test's own.
import { deepEqual, equal, ok } from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { connect as tlsConnect } from 'node:tls';
import * as fc from 'fast-check';
import { CentralProcess, until, type AgentProcess, type Cleanup, type Running } from '../flow/processes.ts';
import { Consumer, onlineAgent, Producer, storedEvents, takenCommands } from '../reliability/traffic.ts';

/** All that is random here comes from it: with QUEUEGATE_SEED=N a run sends the same garbage again. */
export const SEED = Number(process.env['QUEUEGATE_SEED'] ?? Math.floor(Math.random() * 0x7fff_ffff));
/** So many times as much of what is random: for a long run. */
const TIMES = Number(process.env['QUEUEGATE_TIMES'] ?? 1);
/** Where a heap grows without bound, the process dies of it within the test instead of within a night. */
const HEAP = '--max-old-space-size=192';
/**
 * Resident memory that is garbage of its own kind: what V8 and malloc keep for the next time. Without bounds it is
 * gigabytes.
 */
const MAX_GROWTH_BYTES = 200 * 1024 * 1024;
/** Connections of the tests themselves that come and go: kept alive by fetch. */
const FD_SLACK = 12;

export function printSeed(): void {
  process.stdout.write(`garbage of seed ${SEED} (QUEUEGATE_SEED)\n`);
}

/** So many values of an arbitrary, the same for the same seed. */
export function samples<T>(arbitrary: fc.Arbitrary<T>, count: number): T[] {
  return fc.sample(arbitrary, { seed: SEED, numRuns: count * TIMES });
}

/** Checks each value in one of the lanes: those go side by side, what is in one of them goes one after the other. */
export async function inLanes<T, L>(
  values: readonly T[],
  lanes: readonly L[],
  check: (value: T, lane: L) => Promise<void>,
): Promise<void> {
  const next = values.entries();
  await Promise.all(
    lanes.map(async (lane) => {
      for (const [index, value] of next) {
        try {
          await check(value, lane);
        } catch (error) {
          throw new Error(`value ${index} of seed ${SEED}: ${JSON.stringify(value).slice(0, 2_000)}`, { cause: error });
        }
      }
    }),
  );
}

/**
 * A Central whose heap is bounded, with these parameters from its start on (the times of its HTTP servers are taken
 * there).
 */
export async function boundedCentral(
  cleanup: Cleanup,
  parameters: Readonly<Record<string, unknown>>,
): Promise<CentralProcess> {
  const folder = await cleanup.folder();
  const first = await CentralProcess.start(cleanup, folder);
  const changed = await first.change(parameters);
  if (changed.status !== 200) throw new Error(`parameters: ${JSON.stringify(changed.body)}`);
  await first.stop();
  return await CentralProcess.start(cleanup, folder, [], { NODE_OPTIONS: HEAP });
}

export interface Knock {
  /** Inside TLS, which has to show a certificate of this root (PEM). */
  readonly root?: string | undefined;
  /** Keeps its side open after it has spoken: the other end has to make the end. */
  readonly stay?: boolean;
  /** What it waits for before it goes, else the end of the connection. */
  readonly until?: RegExp;
}

const KNOCK_MS = 20_000;

/** Opens a connection, says `bytes` and nothing more, and gives all that came back until the connection was closed. */
export async function knock(
  port: number,
  bytes: string | Uint8Array | readonly (string | Uint8Array)[],
  { root, stay = false, until: enough }: Knock = {},
): Promise<string> {
  const socket =
    root === undefined
      ? connect(port, '127.0.0.1')
      : tlsConnect({ port, host: '127.0.0.1', servername: 'localhost', ca: root });
  return await new Promise((resolve, reject) => {
    const said: Buffer[] = [];
    const text = (): string => Buffer.concat(said).toString('latin1');
    const timer = setTimeout(() => {
      socket.destroy();
      reject(new Error(`the connection is still open; it said ${JSON.stringify(text())}`));
    }, KNOCK_MS);
    socket.on('error', () => undefined);
    socket.on('data', (chunk: Buffer) => {
      said.push(chunk);
      if (enough?.test(text()) === true) socket.destroy();
    });
    socket.on('close', () => {
      clearTimeout(timer);
      resolve(text());
    });
    socket.on(root === undefined ? 'connect' : 'secureConnect', () => {
      for (const part of Array.isArray(bytes)
        ? (bytes as readonly (string | Uint8Array)[])
        : [bytes as string | Uint8Array])
        socket.write(part);
      if (!stay) socket.end();
    });
  });
}

export interface HttpAnswer {
  readonly status: number;
  readonly type: string | undefined;
  // Problem documents and answers of many shapes; each test says what it expects of them.
  // oxlint-disable-next-line typescript/no-explicit-any
  readonly body: any;
}

/** The first HTTP answer in what a connection said. */
export function httpAnswer(text: string): HttpAnswer {
  const [, status = '0', head = '', body = ''] = /^HTTP\/1\.1 (\d{3}) ?(.*?)\r\n\r\n(.*)$/s.exec(text) ?? [];
  const type = /^content-type: ([^;\r]*)/im.exec(head)?.[1];
  const whole = /^transfer-encoding: chunked/im.test(head)
    ? unchunked(body)
    : body.slice(0, Number(/^content-length: (\d+)/im.exec(head)?.[1] ?? body.length));
  return {
    status: Number(status),
    type,
    body: type?.endsWith('json') === true ? (JSON.parse(whole) as unknown) : whole,
  };
}

/** A problem document that arrived whole. */
const ANSWERED = /^HTTP\/1\.1 \d{3} .*?\r\n\r\n.*\}$/s;

/**
 * The HTTP answer to `bytes`. The connection stays open until it came: a client that closes its side behind its request
 * may get none, because Node takes that for a client that goes away.
 */
export async function answerTo(
  port: number,
  bytes: Parameters<typeof knock>[1],
  options: Omit<Knock, 'stay'> = {},
): Promise<HttpAnswer> {
  return httpAnswer(await knock(port, bytes, { until: ANSWERED, ...options, stay: true }));
}

function unchunked(body: string): string {
  const [, size = '0', rest = ''] = /^([0-9a-f]+)\r\n(.*)$/is.exec(body) ?? [];
  const bytes = Number.parseInt(size, 16);
  return bytes === 0 ? '' : rest.slice(0, bytes) + unchunked(rest.slice(bytes + 2));
}

export interface RawFrame {
  readonly opcode?: number;
  readonly last?: boolean;
  /** The three reserved bits; 4 is "compressed". */
  readonly reserved?: number;
  readonly masked?: boolean;
  readonly payload?: Uint8Array;
  /** What the header claims, where that is not the truth. */
  readonly claims?: bigint;
  /** Bytes of the length field: 0, 2 or 8; a longer one than is needed is against RFC 6455 section 5.2. */
  readonly lengthBytes?: 0 | 2 | 8;
}

/** The bytes of a WebSocket frame (RFC 6455 section 5.2), right or wrong. The mask is zero. */
export function rawFrame({
  opcode = 1,
  last = true,
  reserved = 0,
  masked = true,
  payload = new Uint8Array(),
  claims,
  lengthBytes,
}: RawFrame): Buffer {
  const length = claims ?? BigInt(payload.length);
  const size = lengthBytes ?? (length < 126n ? 0 : length < 65_536n ? 2 : 8);
  const head = Buffer.alloc(2 + size + (masked ? 4 : 0));
  head[0] = (last ? 0x80 : 0) | (reserved << 4) | opcode;
  head[1] = (masked ? 0x80 : 0) | (size === 0 ? Number(length) : size === 2 ? 126 : 127);
  if (size === 2) head.writeUInt16BE(Number(length), 2);
  if (size === 8) head.writeBigUInt64BE(length, 2);
  return Buffer.concat([head, payload]);
}

/** JSON that is an array in an array, so many times. */
export function nested(levels: number): string {
  return '['.repeat(levels) + ']'.repeat(levels);
}

/** The TCP or TLS socket under a WebSocket: only there can be written what no WebSocket would send. */
export function carrierOf(webSocket: object): Socket {
  const { _socket: socket } = webSocket as { readonly _socket?: Socket };
  if (socket === undefined) throw new Error('no socket');
  return socket;
}

interface Resources {
  readonly rssBytes: number;
  readonly fds: number;
}

async function resourcesOf({ child }: Running): Promise<Resources> {
  const [status, fds] = await Promise.all([
    readFile(`/proc/${child.pid}/status`, 'utf8'),
    readdir(`/proc/${child.pid}/fd`),
  ]);
  return { rssBytes: Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) * 1024, fds: fds.length };
}

/** Lines of a pino log; other lines are left out. */
export function logOf(process_: Running): Record<string, unknown>[] {
  return process_.stdout
    .split('\n')
    .slice(0, -1)
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** pino's number for an error. What peers send is never one. */
const LEVEL_ERROR = 50;

/** Nothing unforeseen: no error in the log, nothing on stderr, no stack anywhere. */
export function assertCleanLog(process_: Running): void {
  deepEqual(
    logOf(process_).filter((line) => Number(line['level']) >= LEVEL_ERROR || 'stack' in line),
    [],
  );
  equal(process_.stderr, '');
  ok(!/^\s+at .*:\d+:\d+\)?$/m.test(process_.stdout), 'a stack was printed');
}

/**
 * An honest agent under load in both directions, and the Central it is at, beside whatever else is done to that
 * Central.
 */
export class Bystander {
  readonly central: CentralProcess;
  readonly agent: AgentProcess;
  readonly id: string;
  readonly #up: Producer;
  readonly #down: Producer;
  readonly #consumer: Consumer;
  readonly #session: unknown;
  readonly #before: Resources;

  private constructor(
    central: CentralProcess,
    agent: AgentProcess,
    id: string,
    parts: { up: Producer; down: Producer; consumer: Consumer; session: unknown; before: Resources },
  ) {
    this.central = central;
    this.agent = agent;
    this.id = id;
    this.#up = parts.up;
    this.#down = parts.down;
    this.#consumer = parts.consumer;
    this.#session = parts.session;
    this.#before = parts.before;
  }

  static async start(cleanup: Cleanup, central: CentralProcess): Promise<Bystander> {
    const { agent, id } = await onlineAgent(cleanup, central, 'bystander');
    const up = Producer.events(agent, 'up', { pauseMs: 40 });
    const down = Producer.commands(central, id, 'down', { pauseMs: 40 });
    const consumer = new Consumer(agent);
    // Warm: what every Central grows by when it begins to work is not growth by garbage.
    await Promise.all([up.further(200), down.further(200)]);
    return new Bystander(central, agent, id, {
      up,
      down,
      consumer,
      session: await sessionOf(central, id),
      before: await resourcesOf(central.process),
    });
  }

  /** Both directions go on, in the same session as at the beginning. */
  async goesOn(): Promise<void> {
    const taken = this.#consumer.taken.length;
    const stored = (await this.central.events(`&agent=${this.id}&type=tick`)).length;
    await Promise.all([this.#up.further(5), this.#down.further(5)]);
    await takenCommands(this.#consumer, taken + 5);
    await storedEvents(this.central, this.id, stored + 5);
    deepEqual(await sessionOf(this.central, this.id), this.#session);
  }

  /** It goes on, and Central is what it was: alive, its log clean, its file descriptors and its memory back. */
  async undisturbed(): Promise<void> {
    await this.goesOn();
    ok(this.central.process.running, 'Central ended');
    assertCleanLog(this.central.process);
    const { fds, rssBytes } = this.#before;
    let now = await resourcesOf(this.central.process);
    await until(
      async () => {
        now = await resourcesOf(this.central.process);
        return now.fds <= fds + FD_SLACK && now.rssBytes <= rssBytes + MAX_GROWTH_BYTES ? true : undefined;
      },
      30_000,
      () =>
        `${now.fds} file descriptors, where there were ${fds}; ${now.rssBytes} bytes resident, where there were ${rssBytes}`,
    );
  }

  /** The end of the load: whatever was accepted is there, once and in order. */
  async lostNothing(): Promise<void> {
    await Promise.all([this.#up.stop(), this.#down.stop()]);
    deepEqual(await storedEvents(this.central, this.id, this.#up.accepted.length), this.#up.accepted);
    deepEqual(await takenCommands(this.#consumer, this.#down.accepted.length), this.#down.accepted);
    await this.#consumer.stop();
  }

  /** Bytes that Central is larger by now. */
  async growth(): Promise<number> {
    return (await resourcesOf(this.central.process)).rssBytes - this.#before.rssBytes;
  }
}

async function sessionOf(central: CentralProcess, id: string): Promise<unknown> {
  const { body } = await central.rest('GET', `/agents/${id}`);
  return { epoch: body.epoch, session: body.session?.id, endedAt: body.session?.endedAt };
}
