// Distinguishes clones from flapping lines. A daemon draws a random boot id at each start. Two boot ids of one key that
// alternate are two running copies; one that reconnects again and again is a bad line, and boot ids that never return
// are a restarting daemon.

/** More alternations than this within the period are clones. */
export const CLONE_TURNS = 5;
const CLONE_PERIOD_MS = 60_000;
/** How long both are refused: long enough to be noticed, short enough to need no administrator. */
export const QUARANTINE_MS = 600_000;

interface History {
  current: string;
  /** Boots seen within the period with the time each was last seen; bounded, since old ones are dropped. */
  seen: Map<string, number>;
  /** Times at which a boot came back that was not the current one. */
  turns: number[];
}

export class CloneWatch {
  readonly #agents = new Map<string, History>();

  /** Records a proven hello; true when this agent's boot ids alternate too often. */
  sawBoot(agentId: string, bootId: string, now: number): boolean {
    const history = this.#agents.get(agentId);
    if (history === undefined) {
      this.#agents.set(agentId, { current: bootId, seen: new Map([[bootId, now]]), turns: [] });
      return false;
    }
    for (const [known, at] of history.seen)
      if (now - at > CLONE_PERIOD_MS && known !== history.current) history.seen.delete(known);
    history.turns = history.turns.filter((at) => now - at <= CLONE_PERIOD_MS);
    if (bootId !== history.current && history.seen.has(bootId)) history.turns.push(now);
    history.current = bootId;
    history.seen.set(bootId, now);
    if (history.turns.length <= CLONE_TURNS) return false;
    this.#agents.delete(agentId);
    return true;
  }

  /** True when this boot cannot be the other one of two that alternate: it is the first one, or the last one again. */
  isSteady(agentId: string, bootId: string): boolean {
    const history = this.#agents.get(agentId);
    return history === undefined || history.current === bootId;
  }

  /** Forgets a deleted agent. */
  forget(agentId: string): void {
    this.#agents.delete(agentId);
  }
}
