// Keeps garbage from piling up in the main thread's heap. What lives for some seconds (the connections of strangers, above all) moves to
// the old generation, and V8 collects that for the first time when it has grown by hundreds of MiB: a flood made Central half as large
// again, with garbage alone (measured: 28 MiB in use, 81 MiB held). V8's own setting for this (--heap-growing-percent) counts for the
// threads of the store too, and takes a quarter of the throughput of events.
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/** A collection stops the event loop for some 30 ms: no more often than this, and only when there is something to gain. */
const LOOK_MS = 5_000;
const LEAST_GROWTH = 12 * 1024 * 1024;
const GROWTH_SHARE = 1 / 3;
/** With more in use than this a collection takes longer, and what a flood adds is little beside it: V8 decides alone. */
const MAX_IN_USE = 64 * 1024 * 1024;

/** To be called once, when everything that stays is there. */
export function boundGarbage(lookMs: number = LOOK_MS): void {
  const collect = collector();
  if (collect === undefined) return;
  collect();
  let inUse = oldBytes();
  setInterval(() => {
    const held = oldBytes();
    const isDue = held - inUse > Math.max(LEAST_GROWTH, inUse * GROWTH_SHARE) && inUse <= MAX_IN_USE;
    if (isDue) collect();
    // After a collection by V8 less is held than before, and that is in use. What grows slowly may be in use as well: one collection shows it.
    if (isDue || held < inUse || inUse > MAX_IN_USE) inUse = oldBytes();
  }, lookMs).unref();
}

function oldBytes(): number {
  return getHeapSpaceStatistics().find(({ space_name: name }) => name === 'old_space')?.space_used_size ?? 0;
}

/** V8 gives its collector to contexts that are made while this flag is set. Undefined where it does not any more. */
function collector(): (() => void) | undefined {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('globalThis.gc');
  setFlagsFromString('--no-expose-gc');
  return typeof collect === 'function' ? () => void collect() : undefined;
}
