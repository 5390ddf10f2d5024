// Finds the agent of a reference: by its exact id, otherwise by its exact name, otherwise by a beginning of its id.
// REST and the command line resolve all references here.
import { CodedError, type ProblemDetails } from '../../shared/errors.ts';
import { storeFault, STORE_ERRORS } from '../store/errors.ts';
import type { AgentRecord, AgentStore } from '../store/agent-store.ts';

/** How many matching agents an ambiguous reference lists. */
const MAX_CANDIDATES = 10;

interface AgentCandidate {
  readonly id: string;
  readonly name: string;
}

/** More than one agent matches; `candidates` are the first ones. */
export class AgentAmbiguous extends CodedError {
  readonly candidates: readonly AgentCandidate[];

  constructor(reference: string, candidates: readonly AgentCandidate[]) {
    super('agent_ambiguous', STORE_ERRORS.agent_ambiguous, { found: reference });
    this.candidates = candidates.map(({ id, name }) => ({ id, name }));
  }

  override get problem(): ProblemDetails {
    return { members: { candidates: this.candidates } };
  }
}

/** Errors: agent_unknown, agent_ambiguous. */
export async function findAgent(agents: Pick<AgentStore, 'findByReference'>, reference: string): Promise<AgentRecord> {
  const found = await agents.findByReference(reference, MAX_CANDIDATES);
  const [one, ...others] = found;
  if (one === undefined) throw storeFault('agent_unknown', { id: reference });
  if (others.length > 0) throw new AgentAmbiguous(reference, found);
  return one;
}

/**
 * The id to filter records by. A deleted agent is found by its whole id as long as it has left records, also when that
 * is the beginning of another id; when it is another agent's name, the reference is ambiguous. Errors: agent_unknown,
 * agent_ambiguous.
 */
export async function findAgentId(
  agents: Pick<AgentStore, 'findByReference' | 'hasLeftRecords'>,
  reference: string,
): Promise<string> {
  const found = await agents.findByReference(reference, MAX_CANDIDATES);
  const [one, ...others] = found;
  if (one?.id === reference) return one.id;
  if (await agents.hasLeftRecords(reference)) {
    if (one === undefined || one.name.toLowerCase() !== reference.toLowerCase()) return reference;
    throw new AgentAmbiguous(reference, [one, { id: reference, name: '(removed)' }]);
  }
  if (one === undefined) throw storeFault('agent_unknown', { id: reference });
  if (others.length > 0) throw new AgentAmbiguous(reference, found);
  return one.id;
}
