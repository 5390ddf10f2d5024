// Distinguishes clones from flapping lines. A daemon draws a random boot id at each start. Two boot ids of one key that
// alternate are two running copies; one that reconnects again and again is a bad line, and boot ids that never return
// are a restarting daemon.

/** More alternations than this within the period are clones. */
export const CLONE_TURNS = 5;
export const CLONE_PERIOD_MS = 60_000;
/** Of one agent; those that were seen last. */
const MAX_BOOTS = 16;

export interface BootHistory {
  current: string;
  /** Boots seen within the period with the time each was last seen; bounded, since old ones are dropped. */
  seen: Map<string, number>;
  /** Times at which a boot came back that was not the current one. */
  turns: number[];
}

export function newHistory(bootId: string, at: number): BootHistory {
  return { current: bootId, seen: new Map([[bootId, at]]), turns: [] };
}

/** Adds a proven hello to the history of its agent; true when its boot ids alternate too often. */
export function addBoot(history: BootHistory, bootId: string, now: number): boolean {
  const { seen } = history;
  for (const [known, at] of seen) if (now - at > CLONE_PERIOD_MS && known !== history.current) seen.delete(known);
  history.turns = history.turns.filter((at) => now - at <= CLONE_PERIOD_MS);
  if (bootId !== history.current && seen.has(bootId)) history.turns.push(now);
  history.current = bootId;
  // The newest last.
  seen.delete(bootId);
  seen.set(bootId, now);
  for (const oldest of seen.keys()) {
    if (seen.size <= MAX_BOOTS) break;
    seen.delete(oldest);
  }
  return history.turns.length > CLONE_TURNS;
}

export function historyText({ current, seen, turns }: BootHistory): string {
  return JSON.stringify({ current, seen: [...seen], turns });
}

/** As `historyText` wrote it. */
export function historyOf(written: string): BootHistory {
  const { seen, ...rest } = JSON.parse(written) as Omit<BootHistory, 'seen'> & {
    readonly seen: readonly (readonly [string, number])[];
  };
  return { ...rest, seen: new Map(seen) };
}
