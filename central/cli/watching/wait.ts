// The option --wait: a command returns when what it began has reached its final state. Central's listeners may move
// meanwhile: that it cannot be reached for a while does not end the waiting.
import { setTimeout as delay } from 'node:timers/promises';
import { EXIT_UNREACHABLE, exitStatusOf } from '../../../shared/terminal/exit-status.ts';
import type { Tagged } from '../client.ts';
import type { CommandCall, CommandOption } from '../command.ts';
import { cliFault } from '../errors.ts';
import { recordOf, shown } from '../print.ts';
import { pendingText } from '../terms.ts';

export const WAIT = {
  wait: {
    type: 'string',
    value: 'DURATION',
    isOptional: true,
    doc: 'return at the final state, or after 10m or this time, with exit status 8',
  },
} as const satisfies Readonly<Record<string, CommandOption>>;

const DEFAULT_SECONDS = 600;
const LOOK_MS = 1_000;
/** Between answers that Central gives when something has changed. */
const PAUSE_MS = 100;

interface Awaited {
  /** Of REST. */
  readonly path: string;
  /** For messages: `The change c-1`. */
  readonly what: string;
  /** The command that shows it. */
  readonly command: string;
  /** Its states that change by themselves or by somebody else. */
  readonly passing: readonly string[];
  /**
   * Central answers when it has changed (waitSeconds). Otherwise it is read each second: of a change, since its request
   * could hold the listener that the change takes away.
   */
  readonly isAwaited?: boolean;
}

/** How long a line waits, in seconds; undefined: it does not. Errors: usage. */
export function waitSeconds(call: Pick<CommandCall, 'text' | 'seconds'>): number | undefined {
  const text = call.text('wait');
  if (text === undefined) return undefined;
  return text === '' ? DEFAULT_SECONDS : call.seconds('wait');
}

/** What is there in its final state. Errors: wait_timeout, those of the requests. */
export async function waitForEnd(
  call: Pick<CommandCall, 'client' | 'signal'>,
  seconds: number,
  { path, what, command, passing, isAwaited = false }: Awaited,
): Promise<Readonly<Record<string, unknown>>> {
  const until = performance.now() + seconds * 1000;
  let known: Tagged | undefined;
  for (let state: unknown = 'unknown'; ;) {
    let pauseMs = LOOK_MS;
    try {
      const value: unknown = isAwaited
        ? (known = await call.client.changed(path, known, (until - performance.now()) / 1000)).value
        : await call.client.request('GET', path);
      const found = recordOf(value);
      ({ state } = found);
      if (!passing.includes(shown(state))) return found;
      if (isAwaited) pauseMs = PAUSE_MS;
    } catch (error) {
      if (call.signal.aborted || exitStatusOf(error) !== EXIT_UNREACHABLE) throw error;
    }
    const leftMs = until - performance.now();
    if (leftMs <= 0) throw cliFault('wait_timeout', { what, seconds, state: shown(state), command });
    await delay(Math.min(pauseMs, leftMs), undefined, { signal: call.signal });
  }
}

/** Of an act that can wait for a confirmation. Errors: usage. */
export function checkWait(call: Pick<CommandCall, 'complain' | 'seconds' | 'text'>): void {
  if (waitSeconds(call) !== undefined && call.text('confirm-within') === undefined)
    throw call.complain('--wait has no effect without --confirm-within');
}

/** The report of such an act; with --wait, once its change is confirmed or rolled back, which fails the command. */
export async function awaitChange(
  call: CommandCall,
  report: Readonly<Record<string, unknown>>,
): Promise<Readonly<Record<string, unknown>>> {
  const seconds = waitSeconds(call);
  if (seconds === undefined || report['change'] === null) return report;
  for (const line of pendingText(report['change'])) call.notice(line);
  return { ...report, change: await changeAtEnd(call, seconds, shown(recordOf(report['change'])['id'])) };
}

/** A change once it is not pending any more; the command fails when it was rolled back. */
export async function changeAtEnd(
  call: CommandCall,
  seconds: number,
  id: string,
): Promise<Readonly<Record<string, unknown>>> {
  const path = `/changes/${encodeURIComponent(id)}`;
  const awaited = {
    path,
    what: `The change ${id}`,
    command: `changes show ${id}`,
    passing: ['pending'],
  };
  const change = await waitForEnd(call, seconds, awaited);
  if (change['state'] !== 'confirmed') call.fail();
  return change;
}
