// Keeps garbage from piling up in the main thread's heap, and V8 from collecting all of it for little. What lives for
// some seconds (the connections of strangers, above all) moves to the old generation, and V8 collects that for the
// first time when it has grown by hundreds of MiB: a flood made Central half as large again, with garbage alone
// (measured: 28 MiB in use, 81 MiB held). From then on it is the reverse: 8 MiB of buffers for reading are enough,
// which a minor collection frees within the second. With 230 connections per second V8 collected once a second, and on
// a host with two processors its four threads kept the event loop waiting for up to 16 ms at a time.
import { constants, PerformanceObserver, type PerformanceNodeEntry } from 'node:perf_hooks';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * A collection stops the event loop for some 30 ms: no more often than this, and only when there is something to gain.
 */
const LOOK_MS = 2_000;
const LEAST_GROWTH = 16 * 1024 * 1024;
const GROWTH_SHARE = 1 / 3;
/** Collections by V8 between two looks: with more it has too little room for what is thrown away at once. */
const MOST_BY_V8 = 1;
/**
 * With more in use than this a collection takes longer, and what a flood adds is little beside it: V8 decides alone.
 */
const MAX_IN_USE = 64 * 1024 * 1024;

/**
 * What the heap may grow by after a collection that is made here before V8 collects by itself. Set during that
 * collection only: it counts for the threads of the store too, and takes a quarter of the throughput of events.
 */
const ROOM_PERCENT = 100;

/** To be called once, when everything that stays is there. */
export function boundGarbage(lookMs: number = LOOK_MS): void {
  const collect = collector();
  if (collect === undefined) return;
  let byV8 = 0;
  const count = new PerformanceObserver((list) => (byV8 += list.getEntries().filter(isMadeByV8).length));
  count.observe({ entryTypes: ['gc'] });
  collect();
  let inUse = oldBytes();
  setInterval(() => {
    const held = oldBytes();
    const hasGrown = held - inUse > Math.max(LEAST_GROWTH, inUse * GROWTH_SHARE);
    const isDue = inUse <= MAX_IN_USE && (hasGrown || byV8 > MOST_BY_V8);
    byV8 = 0;
    if (isDue) collect();
    // After a collection by V8 less is held than before, and that is in use. What grows slowly may be in use as well:
    // one collection shows it.
    if (isDue || held < inUse || inUse > MAX_IN_USE) inUse = oldBytes();
  }, lookMs).unref();
}

function isMadeByV8(entry: PerformanceEntry): boolean {
  const { kind, flags } = (entry as PerformanceNodeEntry).detail as { readonly kind: number; readonly flags: number };
  return kind === constants.NODE_PERFORMANCE_GC_MAJOR && (flags & constants.NODE_PERFORMANCE_GC_FLAGS_FORCED) === 0;
}

function oldBytes(): number {
  return getHeapSpaceStatistics().find(({ space_name: name }) => name === 'old_space')?.space_used_size ?? 0;
}

/** V8 gives its collector to contexts that are made while this flag is set. Undefined where it does not any more. */
function collector(): (() => void) | undefined {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('globalThis.gc');
  setFlagsFromString('--no-expose-gc');
  if (typeof collect !== 'function') return undefined;
  return () => {
    setFlagsFromString(`--heap-growing-percent=${ROOM_PERCENT}`);
    collect();
    setFlagsFromString('--heap-growing-percent=0');
  };
}
