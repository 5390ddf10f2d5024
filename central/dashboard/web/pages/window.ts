// Which rows of a long table are drawn: those in sight and some around them, with space for the others, so that ten
// thousand rows cost as much as a hundred.
import { useEffect, useState } from 'preact/hooks';

interface Window {
  readonly first: number;
  readonly last: number;
  /** Pixels of the rows before and behind. */
  readonly before: number;
  readonly after: number;
}

/** Shorter tables are drawn whole: the browser's search finds all of their rows. */
const WHOLE = 200;
/** Few: a jump to another part of the table draws all rows of the window in one frame. */
const AROUND = 12;
/** Rows by which the window moves. */
const STEP = 10;
const ROW_PIXELS = 36;

export function useWindow(body: { readonly current: HTMLElement | null }, count: number): Window {
  const [{ at, height }, move] = useState({ at: 0, height: ROW_PIXELS });
  useEffect(() => {
    if (count <= WHOLE) return undefined;
    const look = (): void => {
      const { current } = body;
      if (current === null) return;
      const row = current.querySelector<HTMLElement>('tr.go');
      const measured = row?.offsetHeight ?? ROW_PIXELS;
      const above = Math.max(0, -current.getBoundingClientRect().top);
      const next = Math.floor(above / measured / STEP) * STEP;
      move((before) => (before.at === next && before.height === measured ? before : { at: next, height: measured }));
    };
    look();
    addEventListener('scroll', look, { passive: true });
    addEventListener('resize', look);
    return () => {
      removeEventListener('scroll', look);
      removeEventListener('resize', look);
    };
  }, [body, count]);
  if (count <= WHOLE) return { first: 0, last: count, before: 0, after: 0 };
  const inSight = Math.ceil(innerHeight / height);
  const first = Math.max(0, Math.min(at - AROUND, count - 1));
  const last = Math.min(count, at + inSight + STEP + AROUND);
  return { first, last, before: first * height, after: (count - last) * height };
}
