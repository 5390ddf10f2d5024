// Tells clones from flapping lines. A daemon draws a random `boot` at each start. Two boots of one key that take turns are two
// running copies; one boot that comes back again and again is a bad line, and boots that never return are a restarting daemon.

/** More turns than this within the period are no coincidence. */
export const CLONE_TURNS = 5;
export const CLONE_PERIOD_MS = 60_000;
/** How long both are held back: long enough for a person to notice, short enough not to need one. */
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

  /** Notes a proven hello; true when this agent's boots alternate too often. */
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

  /** Forgets an agent that was removed. */
  forget(agentId: string): void {
    this.#agents.delete(agentId);
  }
}
