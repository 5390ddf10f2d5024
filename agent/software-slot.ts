// What the launcher started this process from (deploy/queue-agent/launch), as it says in the environment.
import type { Hello } from '../shared/wire/messages.ts';

/** Digests; null: of the package. */
export type SoftwarePair = Pick<Hello['releases'], 'program' | 'runtime'>;

export interface SoftwareSlot {
  /** With slots/ and state/. */
  readonly folder: string;
  /** This process is the trial of a candidate. */
  readonly isCandidate: boolean;
  readonly pair: SoftwarePair;
}

/** Undefined: this process was not started by the launcher. */
export function softwareSlot(environment: Readonly<Record<string, string | undefined>>): SoftwareSlot | undefined {
  const folder = environment['QUEUE_AGENT_SOFTWARE_FOLDER'];
  const [, role, program, runtime] =
    /^(candidate|current) (factory|[0-9a-f]{64}) (factory|[0-9a-f]{64})$/.exec(environment['QUEUE_AGENT_SLOT'] ?? '') ??
    [];
  if (!folder || program === undefined || runtime === undefined) return undefined;
  return {
    folder,
    isCandidate: role === 'candidate',
    pair: { program: digestOf(program), runtime: digestOf(runtime) },
  };
}

function digestOf(word: string): string | null {
  return word === 'factory' ? null : word;
}
