// What the page Nodes uses of the answers of REST, and what is wrong with a node.
import type { IconName } from '../../parts/icon.tsx';
import type { Meaning } from '../../states.ts';

export interface CentralNode {
  readonly name: string;
  readonly state: 'alive' | 'dead' | 'stopped';
  readonly leader: boolean;
  readonly version: string;
  readonly address: string | null;
  readonly startedAt: string;
  readonly lastSeenAt: string;
  /** Positive: ahead of PostgreSQL. */
  readonly clockOffsetSeconds: number;
  readonly sessionCount: number;
  readonly appliedParameters: number;
  /** Since when no agent is admitted there. */
  readonly drainedAt: string | null;
}

interface Look {
  readonly word: 'alive' | 'drained' | 'dead' | 'stopped';
  readonly meaning: Meaning;
  readonly icon: IconName;
}

export function lookOfNode({ state, drainedAt }: CentralNode): Look {
  if (state === 'dead') return { word: 'dead', meaning: 'bad', icon: 'dropped' };
  if (state === 'stopped') return { word: 'stopped', meaning: 'quiet', icon: 'disconnected' };
  if (drainedAt !== null) return { word: 'drained', meaning: 'warn', icon: 'draining' };
  return { word: 'alive', meaning: 'ok', icon: 'online' };
}

/** Beyond this, a node says so in its health. */
const MAX_OFFSET_SECONDS = 2;

export function isClockOff({ clockOffsetSeconds }: CentralNode): boolean {
  return Math.abs(clockOffsetSeconds) > MAX_OFFSET_SECONDS;
}

/** It applies older parameters than another one. */
export function isBehind(node: CentralNode, nodes: readonly CentralNode[]): boolean {
  if (node.state !== 'alive') return false;
  return nodes.some(({ state, appliedParameters }) => state === 'alive' && appliedParameters > node.appliedParameters);
}
