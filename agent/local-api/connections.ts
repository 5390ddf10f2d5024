// Bounds what connections to the local API may hold: newcomers (who have not shown a valid token yet) by themselves, so
// that they take nothing from programs with a token; and for those requests in a row, waiting requests, announced
// bodies and unread answers.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { whenClosed } from '../../shared/http/closed.ts';
import { watchParser } from '../../shared/http/parser.ts';
import { Mutex } from '../../shared/mutex.ts';
import { agentFault } from '../errors.ts';
import { endUnanswered } from './answers.ts';

export interface LocalLimits {
  /**
   * With authority, over all listeners. Local programs are few; a leak of connections in one of them must not take the
   * daemon along.
   */
  readonly connections: number;
  /** Without authority yet, per listener; above it the oldest ones give way. */
  readonly newcomers: number;
  /** From the connection to a valid token. */
  readonly newcomerMs: number;
  /** Requests that a connection sends before it has read the answer to the first one. HTTP clients send one. */
  readonly pipelined: number;
  /** Requests that wait for a command. */
  readonly waiting: number;
  /** Of bodies that are being received. */
  readonly bodyBytes: number;
  /** Of answers that are not read yet. */
  readonly unreadBytes: number;
  /** From the answer to its end. */
  readonly readMs: number;
}

export const LOCAL_LIMITS: LocalLimits = {
  connections: 256,
  newcomers: 128,
  newcomerMs: 5_000,
  pipelined: 8,
  waiting: 128,
  bodyBytes: 32 * 1024 * 1024,
  unreadBytes: 32 * 1024 * 1024,
  readMs: 30_000,
};

/** What all listeners of one API share. */
export class LocalShares {
  readonly limits: LocalLimits;
  readonly #members = new Set<Socket>();
  #waiting = 0;
  #bodyBytes = 0;
  #unreadBytes = 0;
  readonly #reading = new Mutex();

  constructor(limits: LocalLimits = LOCAL_LIMITS) {
    this.limits = limits;
  }

  /** Throws local_busy when as many programs are connected as may be. */
  join(socket: Socket): void {
    if (this.#members.has(socket)) return;
    if (this.#members.size >= this.limits.connections)
      throw agentFault('local_busy', { found: `${this.#members.size} connections are open` });
    this.#members.add(socket);
    socket.once('close', () => this.#members.delete(socket));
  }

  /** Runs `wait` unless too many requests wait already. Throws local_busy. */
  async waiting<T>(wait: () => Promise<T>): Promise<T> {
    if (this.#waiting >= this.limits.waiting)
      throw agentFault('local_busy', { found: `${this.#waiting} requests wait for commands` });
    this.#waiting += 1;
    try {
      return await wait();
    } finally {
      this.#waiting -= 1;
    }
  }

  /** Takes a share for the body of a request until its response is closed. Throws local_busy. */
  receiving(request: IncomingMessage, response: ServerResponse, maxBodyBytes: number): void {
    const announced = request.headers['content-length'];
    const bytes =
      announced === undefined
        ? request.headers['transfer-encoding'] === undefined
          ? 0
          : maxBodyBytes
        : Math.min(Number(announced), maxBodyBytes);
    if (this.#bodyBytes > 0 && this.#bodyBytes + bytes > this.limits.bodyBytes)
      throw agentFault('local_busy', { found: `${this.#bodyBytes} bytes are being received` });
    this.#bodyBytes += bytes;
    whenClosed(response, () => (this.#bodyBytes -= bytes));
  }

  /**
   * Reads what an answer consists of, and counts it until its response is closed. Throws local_busy.
   */
  async answering<T>(response: ServerResponse, read: () => Promise<T>, bytesOf: (found: T) => number): Promise<T> {
    const { found, release } = await this.holding(read, bytesOf);
    whenClosed(response, release);
    return found;
  }

  /**
   * Reads what is to be sent, and counts it until `release` is called. One after another: each sees what those before
   * it hold. Throws local_busy.
   */
  async holding<T>(
    read: () => Promise<T>,
    bytesOf: (found: T) => number,
  ): Promise<{ readonly found: T; readonly release: () => void }> {
    return await this.#reading.runExclusive(async () => {
      if (this.#unreadBytes >= this.limits.unreadBytes)
        throw agentFault('local_busy', { found: `${this.#unreadBytes} bytes of answers are not read yet` });
      const found = await read();
      const bytes = bytesOf(found);
      this.#unreadBytes += bytes;
      return { found, release: () => void (this.#unreadBytes -= bytes) };
    });
  }
}

/** The connections of one listener that have shown no valid token yet, oldest first. */
export class Newcomers {
  readonly #limits: LocalLimits;
  readonly #sockets = new Map<Socket, NodeJS.Timeout>();
  #evicting = false;

  constructor(limits: LocalLimits) {
    this.#limits = limits;
  }

  add(socket: Socket): void {
    this.#sockets.set(socket, setTimeout(() => timeOut(socket), this.#limits.newcomerMs).unref());
    socket.once('close', () => this.remove(socket));
    if (this.#sockets.size <= this.#limits.newcomers || this.#evicting) return;
    // Many are accepted at once, and read only in the next round of the event loop: a program that sent its token right
    // away must not be the oldest before that. So the places may be exceeded for two rounds, by what the kernel's queue
    // holds.
    this.#evicting = true;
    setImmediate(() => setImmediate(() => this.#evict()));
  }

  #evict(): void {
    this.#evicting = false;
    for (const oldest of this.#sockets.keys()) {
      if (this.#sockets.size <= this.#limits.newcomers) return;
      oldest.destroy();
      this.remove(oldest);
    }
  }

  /** It has shown a valid token, or is closed. */
  remove(socket: Socket): void {
    clearTimeout(this.#sockets.get(socket));
    this.#sockets.delete(socket);
  }
}

/** As a request whose headers do not come (RFC 9110 section 15.5.9). */
function timeOut(socket: Socket): void {
  endUnanswered(socket, agentFault('local_request_timeout', {}));
}

/** The requests of one connection: one after another, the next when the answer to the one before has been read. */
export class RequestQueue {
  readonly #socket: Socket;
  readonly #limits: LocalLimits;
  readonly #requests: (() => Promise<void>)[] = [];
  #running = false;
  /** In this round of the event loop, also those that Node answers itself. */
  #parsed = 0;

  constructor(socket: Socket, limits: LocalLimits) {
    this.#socket = socket;
    this.#limits = limits;
    watchParser(socket, () => this.#mayBegin());
  }

  /** 64 KiB hold a thousand requests: made all at once, those of 200 connections took 4 s and 700 MiB. */
  #mayBegin(): boolean {
    if (this.#parsed === 0) setImmediate(() => (this.#parsed = 0));
    this.#parsed += 1;
    const { pipelined } = this.#limits;
    if (!this.#socket.destroyed && this.#parsed <= pipelined + 1 && this.#requests.length < pipelined) return true;
    this.#socket.destroy();
    return false;
  }

  /** A connection that sends too many requests ahead is closed. */
  add(response: ServerResponse, run: () => Promise<void>): void {
    if (this.#requests.length >= this.#limits.pipelined) return void this.#socket.destroy();
    this.#requests.push(async () => {
      await run();
      await this.#read(response);
    });
    if (!this.#running) void this.#work();
  }

  async #work(): Promise<void> {
    this.#running = true;
    for (
      let next = this.#requests.shift();
      next !== undefined && !this.#socket.destroyed;
      next = this.#requests.shift()
    )
      await next();
    this.#running = false;
  }

  /** Resolves when the answer has gone out; a peer that does not read it loses the connection. */
  #read(response: ServerResponse): Promise<void> {
    if (response.closed || this.#socket.destroyed) return Promise.resolve();
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#socket.destroy(), this.#limits.readMs).unref();
      response.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }
}

/** Slows wrong tokens down, and reports them once per interval with their number. */
export class WrongTokens {
  readonly #now: () => number;
  readonly #report: (count: number) => void;
  #windowFrom = 0;
  #inWindow = 0;
  #reportedAt: number | undefined;
  #unreported = 0;

  constructor(now: () => number, report: (count: number) => void) {
    this.#now = now;
    this.#report = report;
  }

  /**
   * Resolves when the refusal may be sent, or when the peer has left: 3,600 that leave in a second held 500 MiB for the
   * rest of their time.
   */
  slow(response: ServerResponse): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, this.add()).unref();
      whenClosed(response, () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  /** For how long the refusal is held back, in milliseconds. */
  add(): number {
    const now = this.#now();
    if (now - this.#windowFrom >= WINDOW_MS || now < this.#windowFrom) [this.#windowFrom, this.#inWindow] = [now, 0];
    this.#inWindow += 1;
    this.#unreported += 1;
    if (this.#reportedAt === undefined || now - this.#reportedAt >= REPORT_MS || now < this.#reportedAt) {
      this.#report(this.#unreported);
      [this.#reportedAt, this.#unreported] = [now, 0];
    }
    return this.#inWindow > AT_ONCE ? DELAY_MS : 0;
  }
}

const WINDOW_MS = 10_000;
/** A program with a stale token tries a few times, and its author reads the answer. */
const AT_ONCE = 20;
const DELAY_MS = 1_000;
const REPORT_MS = 60_000;
