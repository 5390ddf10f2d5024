// The states of agents: their words, meanings and shapes, how urgent each is, and the groups that filter them.
import type { IconName } from './parts/icon.tsx';

export type Meaning = 'ok' | 'warn' | 'bad' | 'info' | 'quiet';

export interface StateLook {
  readonly word: string;
  readonly meaning: Meaning;
  readonly icon: IconName;
}

const STATES: Readonly<Record<string, StateLook>> = {
  misconfigured: { word: 'Misconfigured', meaning: 'bad', icon: 'misconfigured' },
  unauthenticated: { word: 'Unauthenticated', meaning: 'bad', icon: 'lock' },
  quarantined: { word: 'Quarantined', meaning: 'bad', icon: 'quarantined' },
  dropped: { word: 'Dropped', meaning: 'bad', icon: 'dropped' },
  degraded: { word: 'Degraded', meaning: 'warn', icon: 'degraded' },
  throttled: { word: 'Throttled', meaning: 'warn', icon: 'throttled' },
  pending: { word: 'Pending', meaning: 'info', icon: 'clock' },
  enrolled: { word: 'Enrolled', meaning: 'info', icon: 'connecting' },
  draining: { word: 'Draining', meaning: 'info', icon: 'draining' },
  disconnected: { word: 'Disconnected', meaning: 'quiet', icon: 'disconnected' },
  disabled: { word: 'Disabled', meaning: 'quiet', icon: 'disabled' },
  revoked: { word: 'Revoked', meaning: 'quiet', icon: 'revoked' },
  online: { word: 'Online', meaning: 'ok', icon: 'online' },
};

/** The most urgent first. */
export const STATE_ORDER: readonly string[] = Object.keys(STATES);

export function lookOf(state: string): StateLook {
  return STATES[state] ?? { word: state, meaning: 'quiet', icon: 'todo' };
}

export function urgency(state: string): number {
  const at = STATE_ORDER.indexOf(state);
  return at === -1 ? STATE_ORDER.length : at;
}

export interface StateGroup {
  readonly id: string;
  readonly label: string;
  readonly icon: IconName;
  readonly meaning: Meaning;
  has(state: string): boolean;
}

const among =
  (...states: readonly string[]) =>
  (state: string): boolean =>
    states.includes(state);

export const GROUPS: readonly StateGroup[] = [
  {
    id: 'action',
    label: 'Need action',
    icon: 'warn',
    meaning: 'warn',
    has: (state) => ['bad', 'warn'].includes(lookOf(state).meaning),
  },
  { id: 'live', label: 'Online', icon: 'online', meaning: 'ok', has: among('online', 'degraded') },
  {
    id: 'offline',
    label: 'Offline',
    icon: 'disconnected',
    meaning: 'quiet',
    has: among('disconnected', 'dropped', 'misconfigured', 'unauthenticated', 'quarantined', 'throttled'),
  },
  {
    id: 'moving',
    label: 'Not yet connected',
    icon: 'connecting',
    meaning: 'info',
    has: among('pending', 'enrolled', 'draining'),
  },
  { id: 'out', label: 'Out of service', icon: 'disabled', meaning: 'quiet', has: among('disabled', 'revoked') },
];

/** Of a value in the address: a state or a group. */
export function stateFilter(value: string): (state: string) => boolean {
  const group = GROUPS.find(({ id }) => id === value);
  return group === undefined ? (state) => state === value : (state) => group.has(state);
}
