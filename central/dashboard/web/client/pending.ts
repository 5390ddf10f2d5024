// The change that waits for a confirmation, if there is one: on every page until it is confirmed or rolled back.
import { centralNow, get } from './api.ts';
import { store } from './store.ts';
import type { Change, Page } from './types.ts';
import { onChange, onReset } from './watch.ts';

export const pendingChange = store<Change | null>(null);

/** How a change ended that was pending here; null: none did since the page was opened. */
export const endedChange = store<Change | null>(null);

/** How many of its agents have to be back. */
export function neededOf({ agentCount, requiredShare }: Change): number {
  return Math.ceil(agentCount * requiredShare);
}

/** "08:42". */
export function leftOf({ expiresAt }: Change): string {
  const seconds = Math.max(0, Math.ceil((Date.parse(expiresAt) - centralNow()) / 1000));
  return `${String(Math.floor(seconds / 60)).padStart(2, '0')}:${String(seconds % 60).padStart(2, '0')}`;
}

function take(change: Change): void {
  const before = pendingChange.get();
  if (change.state === 'pending') return pendingChange.set(change);
  if (before?.id !== change.id) return;
  pendingChange.set(null);
  endedChange.set(change);
}

export async function readPending(): Promise<void> {
  const { data } = await get<Page<Change>>('/changes', { state: 'pending' });
  const [first] = data.items;
  const before = pendingChange.get();
  if (first !== undefined) pendingChange.set(first);
  else if (before !== null) take((await get<Change>(`/changes/${before.id}`)).data);
}

export function startPending(): void {
  onChange(({ noun, state }) => {
    if (noun === 'change' && state !== undefined) take(state as Change);
  });
  const read = (): void => void readPending().catch(() => undefined);
  onReset(read);
  read();
  // The counts of those who are back are not changes of their own.
  setInterval(() => {
    if (pendingChange.get() !== null && !document.hidden) read();
  }, 2_000);
}
