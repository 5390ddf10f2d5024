// Writes the log of a daemon to its standard output without ever blocking or ending the daemon: when the disk of the
// log is full, or the reader of a pipe has stopped, lines are lost and counted, and the first line that can be written
// again says how many.
import { closeSync, constants, fstatSync, openSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { isatty } from 'node:tty';

/** What waits for a reader that pauses: some thousand lines. */
const MAX_WAITING_BYTES = 1024 * 1024;
/** How soon a pipe or a terminal that was full is tried again. */
const RETRY_MS = 100;
/** How soon after lines were lost their count is tried to be written, when no other line comes before. */
const REPORT_MS = 5_000;

/**
 * Writes what fits and returns how many bytes that were. Throws EAGAIN when nothing fits now, anything else when it
 * cannot write.
 */
type WriteBytes = (bytes: Uint8Array) => number;

interface LogOutputOptions {
  readonly write: WriteBytes;
  /** The line (with its line feed) that says how many were lost; `code`: of the error that lost the last one. */
  readonly report: (lostLines: number, code: string) => string;
}

export interface LostLines {
  /** Since the start. */
  readonly lines: number;
  /** When the last one was lost, in milliseconds since 1970. */
  readonly at: number;
  /** The error that lost it, such as ENOSPC. */
  readonly code: string;
}

export class LogOutput {
  readonly #options: LogOutputOptions;
  #waiting: Buffer[] = [];
  #waitingBytes = 0;
  /** The first of what waits is a report, of so many lines lost since the start. */
  #waitingReport: number | undefined;
  /** A part of the first of what waits is written. */
  #isPartial = false;
  /** A part of the last line is written, and the rest was lost: the next one must begin on its own. */
  #isTorn = false;
  #lostLines = 0;
  #reportedLines = 0;
  #lostAt = 0;
  #lostBy = '';
  #timer: NodeJS.Timeout | undefined;

  constructor(options: LogOutputOptions) {
    this.#options = options;
  }

  lost(): LostLines {
    return { lines: this.#lostLines, at: this.#lostAt, code: this.#lostBy };
  }

  /** Takes a line with its line feed, or several that belong together. Never throws. */
  write(line: string): void {
    this.#addReport();
    const bytes = Buffer.from(line);
    if (this.#waitingBytes + bytes.length > MAX_WAITING_BYTES) this.#lose(1, 'EAGAIN');
    else this.#add(bytes);
    this.flush();
  }

  /** Writes what can be written now. */
  flush(): void {
    clearTimeout(this.#timer);
    try {
      do {
        while (this.#waiting[0] !== undefined) this.#writePiece(this.#waiting[0]);
      } while (this.#addReport());
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? 'EIO';
      if (code !== 'EAGAIN') this.#loseAll(code);
      this.#timer = setTimeout(() => this.flush(), code === 'EAGAIN' ? RETRY_MS : REPORT_MS).unref();
    }
  }

  #add(bytes: Buffer): void {
    this.#waiting.push(bytes);
    this.#waitingBytes += bytes.length;
  }

  /** The report belongs where the gap is: behind what was kept, before what comes next. */
  #addReport(): boolean {
    const lines = this.#lostLines - this.#reportedLines;
    if (lines === 0 || this.#waiting.length > 0) return false;
    this.#add(Buffer.from(`${this.#isTorn ? '\n' : ''}${this.#options.report(lines, this.#lostBy)}`));
    this.#waitingReport = this.#lostLines;
    return true;
  }

  #writePiece(next: Buffer): void {
    const written = this.#options.write(next);
    const rest = next.subarray(written);
    this.#waitingBytes -= written;
    this.#isPartial = rest.length > 0;
    if (this.#isPartial) {
      this.#waiting[0] = rest;
      return;
    }
    this.#waiting.shift();
    if (this.#waitingReport === undefined) return;
    this.#reportedLines = this.#waitingReport;
    this.#waitingReport = undefined;
    this.#isTorn = false;
  }

  #loseAll(code: string): void {
    const lines = this.#waiting.length - (this.#waitingReport === undefined ? 0 : 1);
    if (lines > 0) this.#lose(lines, code);
    this.#isTorn ||= this.#isPartial;
    this.#isPartial = false;
    this.#waiting = [];
    this.#waitingBytes = 0;
    this.#waitingReport = undefined;
  }

  #lose(lines: number, code: string): void {
    this.#lostLines += lines;
    this.#lostAt = Date.now();
    this.#lostBy = code;
  }
}

/** Writes to a file descriptor without waiting for its reader. A file takes bytes or fails at once. */
export function writeWithoutWaiting(fd: number): WriteBytes {
  const kind = fstatSync(fd);
  if (kind.isFile()) return (bytes) => writeSync(fd, bytes);
  const own = reopenNonBlocking(fd);
  if (own !== undefined) return isatty(own) ? writeUntilClosed(own) : (bytes) => writeSync(own, bytes);
  // A socket, as of the journal of systemd: it cannot be opened again, and Node writes to it without waiting.
  const socket = new Socket({ fd, readable: false, writable: true });
  let failure: Error | undefined;
  socket.on('error', (error) => (failure = error));
  socket.unref();
  return (bytes) => {
    if (failure !== undefined) throw failure;
    if (socket.writableNeedDrain) throw Object.assign(new Error('the reader does not read'), { code: 'EAGAIN' });
    socket.write(bytes);
    return bytes.length;
  };
}

/** Writes to a terminal. Once it is closed (EIO) it never comes back: it is not held open, and what follows is lost. */
function writeUntilClosed(terminal: number): WriteBytes {
  let failure: unknown;
  return (bytes) => {
    if (failure !== undefined) throw failure;
    try {
      return writeSync(terminal, bytes);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EIO') {
        failure = error;
        closeSync(terminal);
      }
      throw error;
    }
  };
}

/**
 * A pipe or a terminal is opened again: without waiting for ourselves, and unchanged for the processes that share it.
 */
function reopenNonBlocking(fd: number): number | undefined {
  try {
    return openSync(`/proc/self/fd/${fd}`, constants.O_WRONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  } catch {
    return undefined; // A socket, another system, or a pipe of another account.
  }
}
