// A tick each second, for ages and countdowns; a hidden tab has none.
import { useEffect, useReducer } from 'preact/hooks';

/** A new rendering every `seconds`. */
export function useTick(seconds = 1): void {
  const [, again] = useReducer<number, void>((count) => count + 1, 0);
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) again();
    }, seconds * 1000);
    return () => clearInterval(timer);
  }, [seconds]);
}
