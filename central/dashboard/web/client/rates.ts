// Messages per second and the age of the oldest one that waits, from the metrics of Central. A rate needs two readings:
// before the second one, and for a token with a scope, it is not known.
import { getText } from './api.ts';
import { store } from './store.ts';

export interface Rates {
  /** Messages per second from agents, and to agents; null: not known yet. */
  readonly up: number | null;
  readonly down: number | null;
  /** Messages that wait, of all agents together. */
  readonly waiting: number;
  /** Seconds; null: none waits. */
  readonly oldestSeconds: number | null;
  /** Seconds over which the rates were measured. */
  readonly overSeconds: number;
}

interface Reading {
  readonly at: number;
  readonly up: number;
  readonly down: number;
}

/** Longer ago is of no interest: the rate of a minute. */
const KEPT_MS = 60_000;
/** Less would show the chance of a moment. */
const LEAST_MS = 1_500;

/** Kept while other pages are shown. */
const readings = store<readonly Reading[]>([]);

/** Reads the metrics once. Errors: Refused. */
export async function readRates(signal: AbortSignal): Promise<Rates> {
  const text = await getText('/metrics', signal);
  const now = { at: Date.now(), up: valueOf(text, UP), down: valueOf(text, DOWN) };
  // Counters begin again with Central.
  const before = readings
    .get()
    .filter(({ at, up, down }) => now.at - at <= KEPT_MS && up <= now.up && down <= now.down);
  readings.set([...before, now]);
  const first = before.find(({ at }) => now.at - at >= LEAST_MS);
  const seconds = first === undefined ? 0 : (now.at - first.at) / 1_000;
  const waiting = valueOf(text, 'queuegate_outbox_messages');
  return {
    up: first === undefined ? null : (now.up - first.up) / seconds,
    down: first === undefined ? null : (now.down - first.down) / seconds,
    waiting,
    oldestSeconds: waiting === 0 ? null : valueOf(text, 'queuegate_outbox_age_seconds'),
    overSeconds: Math.round(seconds),
  };
}

const UP = 'queuegate_messages_received_total';
const DOWN = 'queuegate_messages_accepted_total{outcome="stored"}';

/** The value of one row of the text format of Prometheus; 0 where a counter has no row yet. */
function valueOf(text: string, row: string): number {
  const line = text.split('\n').find((one) => one.startsWith(`${row} `));
  const value = Number(line?.slice(row.length + 1));
  return line === undefined || !Number.isFinite(value) ? 0 : value;
}
