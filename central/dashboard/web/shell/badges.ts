// The counts beside the names of pages in the side bar: how many problems, how many halted rollouts.
import { store } from '../client/store.ts';

export interface Badge {
  readonly count: number;
  /** "warn", or "" for bad. */
  readonly level: 'warn' | '';
  /** What is counted, for programs that read the page aloud. */
  readonly word: string;
}

export const badges = store<Readonly<Record<string, Badge>>>({});

export function setBadge(page: string, badge: Badge): void {
  const before = badges.get()[page];
  if (before?.count === badge.count && before.level === badge.level) return;
  badges.set({ ...badges.get(), [page]: badge });
}
