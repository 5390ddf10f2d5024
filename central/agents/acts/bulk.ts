// Does one act to several agents, each on its own: what one of them refuses stops no other.
import { isCoded, type CodedError } from '../../../shared/errors.ts';
import type { SelectedAgent } from '../../store/agent-store.ts';

/** Acts in progress: the store commits what arrives together as one. */
const AT_ONCE = 64;

export interface BulkOutcome {
  readonly agent: Pick<SelectedAgent, 'id' | 'name'>;
  /** Null: done. */
  readonly refused: CodedError | null;
}

/** In the order of the agents. Errors: what is not coded, a defect or a failed store; then the rest is left out. */
export async function actOnEach(
  agents: readonly SelectedAgent[],
  act: (agent: SelectedAgent) => Promise<unknown>,
): Promise<BulkOutcome[]> {
  const outcomes: BulkOutcome[] = [];
  for (let first = 0; first < agents.length; first += AT_ONCE)
    outcomes.push(...(await Promise.all(agents.slice(first, first + AT_ONCE).map((agent) => outcomeOf(agent, act)))));
  return outcomes;
}

async function outcomeOf(agent: SelectedAgent, act: (agent: SelectedAgent) => Promise<unknown>): Promise<BulkOutcome> {
  const { id, name } = agent;
  try {
    await act(agent);
    return { agent: { id, name }, refused: null };
  } catch (error) {
    // A full outbox is that of one agent.
    if (!isCoded(error) || (error.status >= 500 && error.code !== 'outbox_full')) throw error;
    return { agent: { id, name }, refused: error };
  }
}
