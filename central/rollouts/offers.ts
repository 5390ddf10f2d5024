// Makes the frames that agents get: an instruction for one agent, signed with Central's signing key, with a ticket for
// its downloads.
import type { KeyObject } from 'node:crypto';
import { signInstruction } from '../../shared/releases/instruction.ts';
import type { ReleaseKind } from '../../shared/releases/manifest.ts';
import type { ReleaseCancel, ReleaseOffer } from '../../shared/wire/release-frames.ts';
import type { RolloutAgentRecord, RolloutRecord } from '../store/rollouts/rollout-store.ts';
import { rolloutId } from './errors.ts';

/** An agent that needs longer gets the instruction again, with another end. */
const VALID_MS = 24 * 3_600_000;
/** The time of an agent is that of its welcome, which was some seconds on its way. */
const EARLY_MS = 60_000;

interface OfferNeeds {
  readonly signingKey: { readonly key: KeyObject; readonly fingerprint: string };
  readonly tickets: { issue(agentId: string, digest: string): string };
  /** The clock of the welcome, by which agents tell whether an instruction is valid now. */
  readonly steady: () => number;
}

export interface Offers {
  offer(
    rollout: RolloutRecord,
    agent: Pick<RolloutAgentRecord, 'agentId' | 'generation' | 'target'>,
  ): ReleaseOffer | undefined;
  cancel(kind: ReleaseKind, generation: number): ReleaseCancel;
}

export function createOffers({ signingKey, tickets, steady }: OfferNeeds): Offers {
  return {
    offer(rollout, { agentId, target, generation }) {
      if (target === null || generation === null) return undefined;
      const { kind, stage, trialSeconds, bytesPerSecond } = rollout;
      const time = steady();
      const instruction = {
        kind,
        stage,
        agent: agentId,
        release: target,
        generation,
        notBefore: time - EARLY_MS,
        expires: time + VALID_MS,
        trialSeconds,
        bytesPerSecond,
        rollout: rolloutId(rollout),
      };
      return {
        type: 'release-offer',
        instruction: signInstruction(instruction, signingKey.key, signingKey.fingerprint),
        ticket: tickets.issue(agentId, target),
      };
    },
    cancel: (kind, generation) => ({ type: 'release-cancel', kind, generation }),
  };
}
