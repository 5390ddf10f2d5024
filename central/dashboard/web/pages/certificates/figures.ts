// How far a rotation of the authority is, in numbers.
import type { Phase, Rotation } from './shapes.ts';

const PHASES: readonly Phase[] = ['idle', 'prepared', 'published', 'switched', 'retired'];

/** How far a rotation is, in numbers. */
export function figuresOf({ phase, trust, certificates }: Rotation) {
  const onWss = trust.registeredCount - trust.unencryptedCount;
  return {
    at: PHASES.indexOf(phase),
    trusting: { count: onWss - trust.missingCount, of: onWss, unencrypted: trust.unencryptedCount },
    renewed: {
      count: certificates.renewedCount,
      of: certificates.renewedCount + certificates.missingCount,
    },
    /** Whom the next step would cut off, as far as the counts say. */
    missing: phase === 'switched' ? Math.max(trust.missingCount, certificates.missingCount) : trust.missingCount,
  };
}
