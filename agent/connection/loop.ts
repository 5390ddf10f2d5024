// Decides when to dial: each host of Central in turn, full jitter between rounds, no sooner than Central asked, and
// after a terminal refusal only once something has changed. A session that lived long enough resets the backoff.
import { setTimeout as delay } from 'node:timers/promises';
import { PROVEN_LIFE_MS, type Backoff } from '../../shared/backoff.ts';
import { isCoded, type CodedError } from '../../shared/errors.ts';
import { watchCuts } from './cuts.ts';
import type { ConnectionEnd, DialPlan } from './connection.ts';

interface ConnectionLoopPorts {
  /**
   * What to dial, in order: created for each round from the files on disk. May reject with an error that the operator
   * has to fix.
   */
  plans(): Promise<DialPlan[]>;
  connect(plan: DialPlan, signal: AbortSignal): Promise<ConnectionEnd>;
  /** Resolves when identity, truststore or configuration changed on disk. */
  changed(signal: AbortSignal): Promise<void>;
  readonly backoff: Backoff;
  /** What happened and what comes next, for log and status. */
  onState(state: LoopState): void;
}

export type LoopState =
  | { readonly state: 'connecting' }
  | ({ readonly state: 'waiting'; readonly retryInMs: number } & Failure)
  /** Nothing more is dialled until something changes. */
  | ({ readonly state: 'stopped-by-refusal' } & Failure);

interface Failure {
  readonly reason: CodedError;
  /** The code of Central's refusal, if it said one. */
  readonly refusedWith: string | undefined;
}

/** Runs until `signal` is aborted. */
export async function connectionLoop(ports: ConnectionLoopPorts, signal: AbortSignal): Promise<void> {
  const named = watchCuts();
  while (!signal.aborted) {
    ports.onState({ state: 'connecting' });
    const round = named(await dialRound(ports, signal));
    if (signal.aborted) return;
    const { reason, refusedWith } = round;
    if (round.terminal) {
      ports.onState({ state: 'stopped-by-refusal', reason, refusedWith });
      await ports.changed(signal);
      ports.backoff.reset();
      continue;
    }
    if (round.onlineMs >= PROVEN_LIFE_MS) ports.backoff.reset();
    const retryInMs = ports.backoff.next(round.retryAfterMs);
    ports.onState({ state: 'waiting', reason, refusedWith, retryInMs });
    await waitOrChange(ports, retryInMs, signal);
  }
}

/** Dials each host once; the first that gives a session ends the round when that session ends. */
async function dialRound(ports: ConnectionLoopPorts, signal: AbortSignal): Promise<ConnectionEnd> {
  let plans: DialPlan[];
  try {
    plans = await ports.plans();
  } catch (error) {
    // A truststore that cannot be read, no identity yet: only a person can fix it, and its change is noticed.
    // Enrollment by the one-time file may fail because Central is not there yet: that is tried again.
    if (!isCoded(error)) throw error;
    return { reason: error, terminal: !error.retryable, retryAfterMs: 0, onlineMs: 0 };
  }
  let last: ConnectionEnd | undefined;
  for (const plan of plans) {
    const end = await ports.connect(plan, signal);
    if (signal.aborted || end.onlineMs > 0) return end;
    // Of several hosts the longest wait counts, so that a busy Central is not dialled through another name; and only
    // when all of them refuse for good is there nothing more to dial.
    last = {
      ...end,
      retryAfterMs: Math.max(end.retryAfterMs, last?.retryAfterMs ?? 0),
      terminal: end.terminal && (last?.terminal ?? true),
    };
  }
  if (last === undefined) throw new Error('a round without a host');
  return last;
}

/** A change on disk ends the wait: an operator who corrects a truststore does not wait five minutes to see it work. */
async function waitOrChange(ports: ConnectionLoopPorts, ms: number, signal: AbortSignal): Promise<void> {
  const over = new AbortController();
  const either = AbortSignal.any([signal, over.signal]);
  try {
    await Promise.race([delay(ms, undefined, { signal: either }), ports.changed(either)]);
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    over.abort();
  }
}

/**
 * Connects with the next key of a renewal as soon as it has a certificate; with the current one when Central does not
 * know the next (it was restored from an older backup).
 */
export async function connectWithKeys(
  plan: DialPlan,
  connect: (plan: DialPlan) => Promise<ConnectionEnd>,
): Promise<ConnectionEnd> {
  const { next, ...current } = plan;
  if (next === undefined) return await connect(current);
  const end = await connect({ ...current, ...next });
  return end.refusedWith === 'agent_key_mismatch' ? await connect(current) : end;
}
