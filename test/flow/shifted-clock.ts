// Loaded into a process before its program (node --import): its wall clock is that of the host with the milliseconds
// that the file in SHIFT_FILE names, read at each look, so that a test sets the clock of a running process. Monotonic
// clocks and timers stay. Intervals of SHIFT_FAST_MS run every 200 ms; the file beside counts how often.
import { appendFileSync, readFileSync } from 'node:fs';

const file = process.env['SHIFT_FILE'] ?? '';
const fast = new Set((process.env['SHIFT_FAST_MS'] ?? '').split(',').map(Number));
const FAST_MS = 200;

const { now } = Date;
Date.now = () => now() + Number(readFileSync(file, 'utf8'));
globalThis.Date = new Proxy(Date, {
  construct: (target, args: unknown[], newTarget) =>
    Reflect.construct(target, args.length === 0 ? [target.now()] : args, newTarget) as object,
});

const { setInterval: every } = globalThis;
globalThis.setInterval = Object.assign(
  (run: (...args: unknown[]) => void, ms?: number, ...args: unknown[]) =>
    ms === undefined || !fast.has(ms)
      ? every(run, ms, ...args)
      : every(() => {
          run(...args);
          appendFileSync(`${file}.${ms}`, '.');
        }, FAST_MS),
  every,
);
