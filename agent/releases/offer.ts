// Decides whether an instruction of Central is for this agent, is newer than the last one, and is valid now. Its
// signature has been verified before (shared/releases/instruction.ts).
import type { CodedError } from '../../shared/errors.ts';
import type { Envelope } from '../../shared/releases/dsse.ts';
import { releaseFault } from '../../shared/releases/errors.ts';
import { INSTRUCTION, type Instruction } from '../../shared/releases/instruction.ts';
import { validate } from '../../shared/wire/json-schema.ts';

/**
 * Central's clock may be set by so much without a reconnect of its agents; and the time of a welcome is older than the
 * welcome.
 */
const CLOCK_TOLERANCE_MS = 60_000;

interface OfferContext {
  /** The id of this agent. */
  readonly agent: string;
  /** By Central's clock. */
  readonly now: number;
  readonly newest: Instruction | undefined;
}

/** Why an instruction is refused; undefined: it is not. */
export function faultOf(instruction: Instruction, { agent, now, newest }: OfferContext): CodedError | undefined {
  const refused = (found: string, action: string): CodedError =>
    releaseFault('instruction_refused', { release: instruction.release, found, action });
  if (instruction.agent !== agent)
    return refused(
      `it is for the agent ${instruction.agent}`,
      'Nothing was changed. Look for a device that changes traffic, or for two agents with one identity.',
    );
  if (newest !== undefined && instruction.generation <= newest.generation && !isSame(newest, instruction))
    return refused(
      `its generation ${instruction.generation} is not newer than ${newest.generation}`,
      'Start a new rollout. If Central was restored from a backup, its generations are older than those of its agents.',
    );
  if (instruction.notBefore > now + CLOCK_TOLERANCE_MS)
    return refused(`it is valid from ${timeOf(instruction.notBefore)} on`, 'Check the clock of Central.');
  if (instruction.expires <= now) return refused(`it expired at ${timeOf(instruction.expires)}`, 'Retry the rollout.');
  return undefined;
}

/** The same order once more; only its end, its rate and the time of its trial may differ. */
export function isSame(one: Instruction, other: Instruction): boolean {
  return (['kind', 'stage', 'agent', 'release', 'generation', 'rollout'] as const).every(
    (member) => one[member] === other[member],
  );
}

/** What an envelope claims that nothing proves, to say which offer is refused; undefined: it cannot be read. */
export function claimedInstruction({ payload }: Envelope): Instruction | undefined {
  try {
    const value: unknown = JSON.parse(Buffer.from(payload, 'base64').toString('utf8'));
    return validate(INSTRUCTION, value) === undefined ? (value as Instruction) : undefined;
  } catch {
    return undefined;
  }
}

function timeOf(time: number): string {
  return new Date(time).toISOString();
}
