// A drain, as all nodes show it.
export const DRAIN_STATES = ['draining', 'drained', 'canceled'] as const;
export type DrainState = (typeof DRAIN_STATES)[number];

export interface DrainCounts {
  /** Had no session when the drain began. */
  readonly offlineCount: number;
  /** Still have the session that the drain ends. */
  readonly waitingCount: number;
  /** Their session ended, and they have not connected again. */
  readonly awayCount: number;
  readonly reconnectedCount: number;
}

export interface Drain extends DrainCounts {
  readonly id: string;
  readonly state: DrainState;
  readonly stateChangedAt: number;
  readonly createdAt: number;
  readonly createdBy: string;
  readonly selectors: readonly string[];
  readonly scope: string | null;
  readonly withinSeconds: number;
  readonly retryAfterSeconds: number;
  readonly agentCount: number;
}
