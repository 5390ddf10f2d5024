// What was just done, in one line: seen, and announced.
import type { JSX } from 'preact';
import { store, useStore } from '../client/store.ts';
import { oneLine } from '../format.ts';
import { T } from '../strings.ts';
import { Icon } from './icon.tsx';

const SHOWN_MS = 6_000;

const shown = store<string>('');
let timer: ReturnType<typeof setTimeout> | undefined;

/** Announces a text without showing it. */
export function announce(text: string): void {
  const live = document.getElementById('live');
  if (live !== null) live.textContent = oneLine(text);
}

export function say(text: string): void {
  announce(text);
  shown.set(text);
  clearTimeout(timer);
  timer = setTimeout(() => shown.set(''), SHOWN_MS);
}

export function Toast(): JSX.Element | null {
  const text = useStore(shown);
  if (text === '') return null;
  return (
    <section class="toast" aria-label={T.lastAct}>
      <Icon name="good" className="ok" />
      <span>{oneLine(text)}</span>
      <button class="btn sm icon plain" type="button" aria-label={T.dismiss} onClick={() => shown.set('')}>
        <Icon name="x" />
      </button>
    </section>
  );
}
