// The output of a task as it is read: the end of it in memory, as text that can be shown; a line that is cut is continued
// where it was.
import { useEffect, useRef, useState } from 'preact/hooks';
import { getBytes, problemOf, Refused } from '../../client/api.ts';
import type { ProblemDocument } from '../../client/types.ts';
import { visible } from '../../format.ts';
import type { Channel } from './shapes.ts';

/** So much of the end is read and shown. */
export const SHOWN_BYTES = 256 * 1024;
const PAINT_MS = 250;
const MAX_RETRY_MS = 15_000;

export interface Reading {
  readonly task: string;
  readonly channel: Channel;
  /** Begin behind so many bytes. */
  readonly fromBytes: number;
  readonly isFollowing: boolean;
}

/** Lines that are laid out once: what follows does not change them. */
export interface Block {
  readonly number: number;
  readonly text: string;
}

export interface Output {
  readonly blocks: readonly Block[];
  /** How many are before them: nearly, since they were counted as text. */
  readonly skippedBytes: number;
  /** How many were read, those before included. */
  readonly bytes: number;
  readonly isWhole: boolean;
  /** The line was cut, or the agent is away for a while: it goes on by itself. */
  readonly isCut: boolean;
  readonly problem: ProblemDocument | null;
}

const PASSING = new Set(['central_unreachable', 'agent_offline', 'task_output_failed', 'task_outputs_full']);

/** A block ends at the end of a line behind so much, and in a line that is longer than MAX_BLOCK. */
const [MIN_BLOCK, MAX_BLOCK] = [8 * 1024, 32 * 1024];

/** Text of bytes that come in parts, in blocks of whole lines: of what is long, the end. */
class Kept {
  readonly #decoder = new TextDecoder();
  readonly #blocks: Block[] = [];
  #open = '';
  #return = '';
  #number = 0;
  #length = 0;
  #skipped: number;

  constructor(fromBytes: number) {
    this.#skipped = fromBytes;
  }

  add(bytes: Uint8Array | undefined): void {
    const text = this.#return + this.#decoder.decode(bytes, { stream: bytes !== undefined });
    // As terminals and editors show the lines of Windows, also where one ends in the next part.
    this.#return = bytes !== undefined && text.endsWith('\r') ? '\r' : '';
    this.#open += visible((this.#return === '' ? text : text.slice(0, -1)).replaceAll('\r\n', '\n'));
    while (this.#open.length > MIN_BLOCK) {
      const line = this.#open.indexOf('\n', MIN_BLOCK);
      if (line === -1 && this.#open.length < MAX_BLOCK) break;
      const isLine = line !== -1 && line < MAX_BLOCK;
      const at = isLine ? line : MAX_BLOCK;
      if (this.#open.length < at) break;
      this.#close(this.#open.slice(0, at), isLine);
      this.#open = this.#open.slice(isLine ? at + 1 : at);
    }
  }

  #close(text: string, isLine: boolean): void {
    this.#blocks.push({ number: this.#number, text });
    this.#number += 1;
    this.#length += text.length;
    while (this.#length > SHOWN_BYTES) {
      const first = this.#blocks.shift();
      if (first === undefined) return;
      this.#length -= first.text.length;
      this.#skipped += new TextEncoder().encode(first.text).length + (isLine ? 1 : 0);
    }
  }

  get blocks(): readonly Block[] {
    return this.#open === '' ? [...this.#blocks] : [...this.#blocks, { number: this.#number, text: this.#open }];
  }

  get skippedBytes(): number {
    return this.#skipped;
  }
}

const nothing = (fromBytes: number): Output => ({
  blocks: [],
  skippedBytes: fromBytes,
  bytes: fromBytes,
  isWhole: false,
  isCut: false,
  problem: null,
});

/** Reads it, and again with another `reading` or `turn`; null: not now, and what was read stays. */
export function useOutput(reading: Reading | null, turn: number): Output {
  const [output, set] = useState<Output>(nothing(0));
  const key = reading === null ? null : `${turn} ${JSON.stringify(reading)}`;
  const latest = useRef(reading);
  latest.current = reading;
  useEffect(() => {
    if (latest.current === null) return undefined;
    const end = new AbortController();
    void read(latest.current, end.signal, set);
    return () => end.abort();
  }, [key]);
  return output;
}

async function read(reading: Reading, signal: AbortSignal, set: (output: Output) => void): Promise<void> {
  const { task, channel, fromBytes, isFollowing } = reading;
  const kept = new Kept(fromBytes);
  const shown: { -readonly [K in keyof Output]: Output[K] } = { ...nothing(fromBytes) };
  let paintedAt = 0;
  let timer: ReturnType<typeof setTimeout> | undefined;
  const paint = (): void => {
    clearTimeout(timer);
    timer = undefined;
    paintedAt = Date.now();
    if (!signal.aborted) set({ ...shown, blocks: kept.blocks, skippedBytes: kept.skippedBytes });
  };
  const later = (): void => {
    timer ??= setTimeout(paint, Math.max(0, paintedAt + PAINT_MS - Date.now()));
  };
  paint();
  for (let failures = 0; !signal.aborted;) {
    try {
      const query = { follow: isFollowing || null, offsetBytes: shown.bytes === 0 ? null : shown.bytes };
      for await (const bytes of getBytes(`/tasks/${encodeURIComponent(task)}/output/${channel}`, query, signal)) {
        kept.add(bytes);
        failures = 0;
        Object.assign(shown, { bytes: shown.bytes + bytes.length, isCut: false, problem: null });
        later();
      }
      kept.add(undefined);
      Object.assign(shown, { isWhole: true, isCut: false, problem: null });
      return paint();
    } catch (error) {
      if (signal.aborted) return;
      failures += 1;
      const isCut = !(error instanceof Refused);
      const mayPass = isCut || PASSING.has(error.problem.code);
      shown.isCut = isFollowing && mayPass;
      shown.problem = isCut && isFollowing ? null : problemFor(error);
      paint();
      // What is read once more is compared with the report as a whole; it is asked for by a person.
      if (!isFollowing || !mayPass) return;
      const seconds = error instanceof Refused ? (error.retryAfter ?? 0) : 0;
      await pause(Math.min(MAX_RETRY_MS, Math.max(seconds * 1000, 500 * 2 ** Math.min(failures, 6))), signal);
    }
  }
}

/** A line that was cut says nothing of itself. */
function problemFor(error: unknown): ProblemDocument {
  if (error instanceof Refused) return error.problem;
  return {
    ...problemOf(error),
    code: 'task_output_cut',
    detail: 'The output was cut before its end.',
    hint: 'Read it again. If it is cut again, see the log of the agent.',
  };
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}
