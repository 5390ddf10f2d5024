// The changes of a collection as Central streams them (GET /watch), for --watch: they say when to read again. A stream
// that was cut continues at its position; while there is none, what is watched is read every two seconds.
import type { Readable } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { EXIT_UNREACHABLE, exitStatusOf } from '../../../shared/terminal/exit-status.ts';
import type { Client } from '../client.ts';
import type { WatchedCollection } from '../command.ts';

interface ChangeStreamOptions {
  readonly client: Pick<Client, 'download'>;
  readonly collection: WatchedCollection;
  readonly signal: AbortSignal;
  readonly timing?: ChangeStreamTiming;
}

interface ChangeStreamTiming {
  /** Between two readings while there is no stream. */
  readonly pollMs: number;
  /** While there is one: bytes of a download and positions in logs are not announced. */
  readonly openMs: number;
  /** Before a stream that was cut is opened again; doubled up to `maxRetryMs` while that fails. */
  readonly retryMs: number;
  readonly maxRetryMs: number;
  /** A stream is never silent for so long: Central sends a comment every 15 seconds. */
  readonly silentMs: number;
}

const TIMING: ChangeStreamTiming = {
  pollMs: 2_000,
  openMs: 10_000,
  retryMs: 1_000,
  maxRetryMs: 30_000,
  silentMs: 45_000,
};
/** Of a line: more than the longest `id:` and `event:`. The data is not used. */
const MAX_LINE_LENGTH = 64;

export class ChangeStream {
  readonly #options: ChangeStreamOptions;
  readonly #timing: ChangeStreamTiming;
  #after: string | undefined;
  #isOpen = false;
  #hasNews = false;
  #wake: (() => void) | undefined;
  #isStarted = false;

  constructor(options: ChangeStreamOptions) {
    this.#options = options;
    this.#timing = options.timing ?? TIMING;
  }

  /**
   * Resolves when something changed since the last call, when the stream was opened or cut, or when it is time to read
   * again without that. The first call opens the stream. Errors: the signal was aborted.
   */
  async next(): Promise<void> {
    const { signal } = this.#options;
    if (!this.#isStarted) void this.#run();
    this.#isStarted = true;
    if (!this.#hasNews) {
      const ended = new AbortController();
      this.#wake = (): void => ended.abort();
      const longestMs = this.#isOpen ? this.#timing.openMs : this.#timing.pollMs;
      await delay(longestMs, undefined, { signal: AbortSignal.any([signal, ended.signal]) }).catch(() => undefined);
      this.#wake = undefined;
    }
    signal.throwIfAborted();
    this.#hasNews = false;
  }

  /** Until the signal is aborted, or Central says that there is no such stream for this token. */
  async #run(): Promise<void> {
    const { signal } = this.#options;
    const { retryMs, maxRetryMs } = this.#timing;
    for (let pauseMs = retryMs; !signal.aborted; pauseMs = Math.min(2 * pauseMs, maxRetryMs)) {
      try {
        await this.#read();
        pauseMs = retryMs;
      } catch (error) {
        // Whatever else it is, reading without the stream shows it too.
        if (!this.#isOpen && exitStatusOf(error) !== EXIT_UNREACHABLE) return;
        if (this.#isOpen) pauseMs = retryMs;
      }
      if (this.#isOpen) {
        this.#isOpen = false;
        this.#announce();
      }
      await delay(pauseMs, undefined, { signal }).catch(() => undefined);
    }
  }

  /** One stream until it ends. Errors: those of the request, and of a stream that is cut or silent. */
  async #read(): Promise<void> {
    const { client, collection } = this.#options;
    const query = { collections: collection, after: this.#after };
    const stream = await client.download('/watch', { query }, 'GET');
    this.#isOpen = true;
    this.#announce();
    let [id, isEvent]: [string | undefined, boolean] = [undefined, false];
    for await (const line of linesOf(stream, this.#timing.silentMs)) {
      if (line.startsWith('id: ')) id = line.slice('id: '.length);
      else if (line.startsWith('event: ')) isEvent = true;
      else if (line === '') {
        // Only with its empty line an event is whole (HTML Standard, section 9.2.6).
        this.#after = id ?? this.#after;
        if (isEvent) this.#announce();
        [id, isEvent] = [undefined, false];
      }
    }
  }

  #announce(): void {
    this.#hasNews = true;
    this.#wake?.();
  }
}

/** The beginnings of its lines. Errors: those of the stream; silence. */
async function* linesOf(stream: Readable, silentMs: number): AsyncGenerator<string, void, undefined> {
  const silence = setTimeout(() => stream.destroy(new Error(`silent for ${silentMs} ms`)), silentMs);
  try {
    let line = '';
    for await (const piece of stream.setEncoding('utf8') as AsyncIterable<string>) {
      silence.refresh();
      const parts = piece.split('\n');
      for (const [index, part] of parts.entries()) {
        line = (line + part.slice(0, MAX_LINE_LENGTH)).slice(0, MAX_LINE_LENGTH);
        if (index === parts.length - 1) continue;
        yield line;
        line = '';
      }
    }
  } finally {
    clearTimeout(silence);
  }
}
