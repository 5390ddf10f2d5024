// Records what producers and consumers on both sides do: one list of deeds in the order in which they were
// seen. Checks nothing (history-checker.ts does).

/**
 * One deed. A `log` is one direction of one agent ("up branch-1"); a `message` is its (source, id) in one text.
 * Positions: `number` is the position in the sender's log, `cursor` the one in the receiver's.
 */
export type Deed =
  /** A producer is about to ask for it. Again for the same message when an answer did not come. */
  | { readonly deed: 'offered'; readonly log: string; readonly producer: string; readonly message: string }
  /** The producer was answered: it is on disk. `number` is null when a duplicate's number is no longer known. */
  | {
      readonly deed: 'accepted';
      readonly log: string;
      readonly producer: string;
      readonly message: string;
      readonly outcome: 'stored' | 'duplicate';
      readonly number: number | null;
    }
  /** A consumer will read this log to its end; what it never receives is lost. */
  | { readonly deed: 'follows'; readonly consumer: string; readonly log: string }
  /**
   * A consumer was given it. Again at the same cursor until its acknowledgement was seen. `number` is null where it is
   * not known.
   */
  | {
      readonly deed: 'received';
      readonly consumer: string;
      readonly log: string;
      readonly message: string;
      readonly cursor: number;
      readonly number: number | null;
    }
  /** The consumer's acknowledgement through this cursor was answered (for a reader of cursors: it keeps the cursor). */
  | { readonly deed: 'settled'; readonly consumer: string; readonly through: number }
  /** A process was killed. Says nothing about any log; it is in the story of a fault. */
  | { readonly deed: 'killed'; readonly process: string };

export class History {
  readonly #deeds: Deed[] = [];
  readonly #names = new Map<string, string>();

  get deeds(): readonly Deed[] {
    return this.#deeds;
  }

  /** The name of a message, one text in memory however many deeds tell of it: a long run has millions. */
  nameOf(source: string, id: string): string {
    const name = messageName(source, id);
    const known = this.#names.get(name);
    if (known !== undefined) return known;
    this.#names.set(name, name);
    return name;
  }

  write(deed: Deed): void {
    this.#deeds.push(deed);
  }
}

/** One text for (source, id); the length tells where the source ends. */
export function messageName(source: string, id: string): string {
  return `${source.length}:${source} ${id}`;
}

/** What happened to one message, and the kills in between, one deed a line, to find out why. */
export function storyOf(deeds: readonly Deed[], message: string): string {
  const about = deeds
    .map((deed, at) => ({ deed, at }))
    .filter(({ deed }) => 'message' in deed && deed.message === message);
  const [first, last] = [about[0]?.at ?? 0, about.at(-1)?.at ?? 0];
  const lines: { readonly text: string; readonly at: number; times: number }[] = [];
  for (const [at, deed] of deeds.entries()) {
    if (!('message' in deed && deed.message === message) && !(deed.deed === 'killed' && at > first && at < last))
      continue;
    const text = JSON.stringify(deed);
    const before = lines.at(-1);
    // A producer that reaches no one offers again and again.
    if (before?.text === text) before.times += 1;
    else lines.push({ text, at, times: 1 });
  }
  return lines.map(({ text, at, times }) => `  ${at} ${text}${times === 1 ? '' : ` (${times} times)`}`).join('\n');
}
