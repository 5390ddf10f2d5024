// The time since this host booted, and which boot it was: what no setting of the clock moves.
import { readFileSync } from 'node:fs';
import { uptime } from 'node:os';

/** The kernel of Linux names each boot (random(4)); other systems do not. */
const BOOT_ID = '/proc/sys/kernel/random/boot_id';

/** Milliseconds since boot, with the time in which the host was suspended. */
export function sinceBootMs(): number {
  return uptime() * 1000;
}

/** Null where the system does not say. */
export function bootId(): string | null {
  try {
    return readFileSync(BOOT_ID, 'utf8').trim().slice(0, 64);
  } catch {
    // Best effort: without it, each start counts as a boot of its own, and less is known of the time before it.
    return null;
  }
}
