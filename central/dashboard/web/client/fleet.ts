// All agents of the token in memory: read page by page once, then kept by the stream. Those who show them are notified
// at most four times a second, and not at all in a hidden tab.
import { pages, problemOf } from './api.ts';
import { store } from './store.ts';
import type { Agent, ProblemDocument } from './types.ts';
import { onChange, onReset } from './watch.ts';

export interface Fleet {
  readonly agents: ReadonlyMap<string, Agent>;
  /** All pages were read. */
  readonly isWhole: boolean;
  readonly problem: ProblemDocument | null;
}

const PAGE = 1_000;
const PAINT_MS = 250;
const AGAIN_MS = 10_000;

let agents = new Map<string, Agent>();
let isWhole = false;
let isStarted = false;
let reading: AbortController | undefined;
let timer: ReturnType<typeof setTimeout> | undefined;

export const fleet = store<Fleet>({ agents, isWhole, problem: null });

/** Reads the agents if that was not begun yet. */
export function startFleet(): void {
  if (isStarted) return;
  isStarted = true;
  onReset(() => void read());
  onChange(({ noun, id, state }) => {
    if (noun !== 'agent') return;
    if (state === undefined) agents.delete(id);
    else agents.set(id, state as Agent);
    later();
  });
  document.addEventListener('visibilitychange', later);
  void read();
}

export function readFleet(): void {
  void read();
}

function later(): void {
  if (document.hidden) return;
  timer ??= setTimeout(() => paint(null), PAINT_MS);
}

function paint(problem: ProblemDocument | null): void {
  clearTimeout(timer);
  timer = undefined;
  fleet.set({ agents, isWhole, problem });
}

async function read(): Promise<void> {
  reading?.abort();
  const end = new AbortController();
  reading = end;
  const found = new Map<string, Agent>();
  try {
    for await (const items of pages<Agent>('/agents', { limit: PAGE }, end.signal)) {
      for (const agent of items) found.set(agent.id, agent);
      if (!isWhole) {
        agents = found;
        paint(null);
      }
    }
    agents = found;
    isWhole = true;
    paint(null);
  } catch (error) {
    if (end.signal.aborted) return;
    paint(problemOf(error));
    setTimeout(() => {
      if (reading === end) void read();
    }, AGAIN_MS);
  }
}
