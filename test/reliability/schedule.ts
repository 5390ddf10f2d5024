// Decides which process is killed and when: made from a seed alone, so that the seed of a failure brings the same
// schedule again.

export interface Kill {
  /**
   * From when the time counts: from the restart of the last victim, so that a process is met while it comes up, or from
   * when all are online.
   */
  readonly from: 'restart' | 'online';
  readonly afterMs: number;
  readonly victim: string;
  /** How long the victim stays away. */
  readonly downMs: number;
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** One kill in three is Central's: it takes longest to come back, and both directions of all agents go through it. */
export function killSchedule(seed: number, kills: number, agents: readonly string[]): Kill[] {
  const random = randomOf(seed);
  return Array.from({ length: kills }, () => {
    const from = random() < 0.25 ? 'restart' : 'online';
    const afterMs = Math.round(random() * 1000);
    const victim = random() < 1 / 3 ? 'central' : (agents[Math.floor(random() * agents.length)] ?? 'central');
    return { from, afterMs, victim, downMs: Math.round(random() * 200) };
  });
}
