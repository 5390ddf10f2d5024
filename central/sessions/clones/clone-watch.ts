// The boots of the agents of one process that has the store for itself: who uses which key from where, since its start.
import { addBoot, newHistory, type BootHistory } from '../../store/agents/boot-history.ts';

export class CloneWatch {
  readonly #agents = new Map<string, BootHistory>();

  /** Records a proven hello; true when this agent's boot ids alternate too often. */
  sawBoot(agentId: string, bootId: string, now: number): boolean {
    const history = this.#agents.get(agentId);
    if (history === undefined) {
      this.#agents.set(agentId, newHistory(bootId, now));
      return false;
    }
    if (!addBoot(history, bootId, now)) return false;
    this.#agents.delete(agentId);
    return true;
  }

  /** True when this boot cannot be the other one of two that alternate: it is the first one, or the last one again. */
  isSteady(agentId: string, bootId: string): boolean {
    const history = this.#agents.get(agentId);
    return history === undefined || history.current === bootId;
  }

  /** Forgets a deleted agent. */
  forget(agentId: string): void {
    this.#agents.delete(agentId);
  }
}
