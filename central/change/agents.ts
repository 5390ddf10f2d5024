// Defines the agents that a change may cut off, and formats lists of them for sentences.

/** An agent with a session at this moment. */
export interface OnlineAgent {
  readonly agentId: string;
  readonly name: string;
  readonly listener: 'ws' | 'wss';
  readonly transport: 'ws' | 'wss';
  readonly address: string;
  readonly loopback: boolean;
  /** Central knew no certificate of it when it connected. */
  readonly byKeyAlone?: boolean;
  /** Start of its session, milliseconds since 1970. */
  readonly since: number;
}

export interface OnlineAgents {
  online(): Promise<readonly OnlineAgent[]>;
}

/** Names for a sentence; a long list is cut, the rest counted. */
export function namesOf(agents: readonly { readonly name: string }[], most = 10): string {
  const names = agents.slice(0, most).map(({ name }) => name);
  return agents.length > most ? `${names.join(', ')} and ${agents.length - most} more` : names.join(', ');
}

export function agentsText(count: number): string {
  return count === 1 ? '1 agent' : `${count} agents`;
}
