// The stream of changes (GET /watch): opened once for all pages, resumed where it was cut, and "reset" where Central no
// longer knows what changed in between.
import { addressOf, centralNow, get, Refused } from './api.ts';
import { store } from './store.ts';
import type { Login } from './types.ts';

export interface WatchEvent {
  readonly noun: 'agent' | 'change' | 'node' | 'parameter' | 'rollout' | 'task';
  /** Undefined: it was deleted. */
  readonly state: unknown;
  readonly id: string;
}

export interface LiveMark {
  readonly isLive: boolean;
  /** Central's time when the stream was last known to be whole. */
  readonly asOf: number;
}

export const liveMark = store<LiveMark>({ isLive: false, asOf: 0 });

const NOUNS = ['agent', 'change', 'node', 'parameter', 'rollout', 'task'] as const;
const FIRST_RETRY_MS = 1_000;
const MAX_RETRY_MS = 15_000;

const listeners = new Set<(event: WatchEvent) => void>();
const resets = new Set<() => void>();

let source: EventSource | undefined;
let position: string | undefined;
let retryMs = FIRST_RETRY_MS;
let timer: ReturnType<typeof setTimeout> | undefined;
let isWanted = false;

/** Calls `act` for each change. Returns what ends it. */
export function onChange(act: (event: WatchEvent) => void): () => void {
  listeners.add(act);
  return () => listeners.delete(act);
}

/** Calls `act` when lists have to be read again. Returns what ends it. */
export function onReset(act: () => void): () => void {
  resets.add(act);
  return () => resets.delete(act);
}

export function startWatching(): void {
  isWanted = true;
  if (source === undefined) open();
}

export function stopWatching(): void {
  isWanted = false;
  position = undefined;
  clearTimeout(timer);
  source?.close();
  source = undefined;
}

function open(): void {
  clearTimeout(timer);
  const stream = new EventSource(addressOf('/watch', { after: position }));
  source = stream;
  stream.addEventListener('open', () => {
    retryMs = FIRST_RETRY_MS;
    liveMark.set({ isLive: true, asOf: centralNow() });
  });
  stream.addEventListener('error', () => cut(stream));
  // Its token was deleted or has expired: what follows is the sign-in page, at once.
  stream.addEventListener('end', () => cut(stream, 0));
  stream.addEventListener('reset', (event) => {
    keep(event);
    for (const act of resets) act();
  });
  for (const noun of NOUNS) {
    stream.addEventListener(`${noun}.updated`, (event) => tell(event, noun, false));
    stream.addEventListener(`${noun}.deleted`, (event) => tell(event, noun, true));
  }
}

function keep({ lastEventId }: MessageEvent<string>): void {
  if (lastEventId !== '') position = lastEventId;
}

function tell(event: MessageEvent<string>, noun: WatchEvent['noun'], isDeleted: boolean): void {
  keep(event);
  const data = JSON.parse(event.data) as { readonly id?: string; readonly name?: string };
  const id = data.id ?? data.name ?? '';
  for (const act of listeners) act({ noun, id, state: isDeleted ? undefined : data });
}

/** An EventSource of a browser gives up after an answer that is not a stream: this one tries again by itself. */
function cut(stream: EventSource, afterMs = retryMs): void {
  stream.close();
  if (source !== stream) return;
  source = undefined;
  const { isLive, asOf } = liveMark.get();
  liveMark.set({ isLive: false, asOf: isLive ? centralNow() : asOf });
  if (!isWanted) return;
  timer = setTimeout(() => void retry(), afterMs);
  retryMs = Math.min(retryMs * 2, MAX_RETRY_MS);
}

/** A stream does not say why it was refused; this request does, and ends at the sign-in page where the session ended. */
async function retry(): Promise<void> {
  try {
    await get<Login>('/login');
  } catch (error) {
    if (error instanceof Refused && error.problem.status === 401) {
      location.reload();
      return;
    }
  }
  if (isWanted && source === undefined) open();
}
