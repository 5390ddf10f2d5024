// Owns which part of the agent is asked about a frame beside the messages: renewal of its certificate, or trust.
import type { AgentControl, CentralControl, Renewed, RenewalRefused, RenewNow, Trust } from '../shared/wire/messages.ts';
import type { AgentKey } from './identity.ts';

export type SendControl = (frame: AgentControl) => void;

/** None of them may throw or reject; what goes wrong is theirs to tell. */
export interface RenewalControl {
  /** Central has welcomed this agent, which came with `key`; `send` is good until `onOffline`. */
  onOnline(send: SendControl, key: AgentKey): void;
  onFrame(frame: Renewed | RenewalRefused | RenewNow): void;
  onOffline(): void;
}

export interface TrustControl {
  onOnline(send: SendControl): void;
  onFrame(frame: Trust): void;
  onOffline(): void;
}

export interface Control {
  /** What the hello names: Central asks for nothing else. */
  readonly capabilities: readonly string[];
  onOnline(send: SendControl, key: AgentKey): void;
  onFrame(frame: CentralControl): void;
  onOffline(): void;
}

export function createControl({ renewal, trust }: { readonly renewal: RenewalControl; readonly trust: TrustControl }): Control {
  return {
    capabilities: ['renewal', 'trust'],
    onOnline(send, key): void {
      renewal.onOnline(send, key);
      trust.onOnline(send);
    },
    onFrame(frame): void {
      return frame.type === 'trust' ? trust.onFrame(frame) : renewal.onFrame(frame);
    },
    onOffline(): void {
      renewal.onOffline();
      trust.onOffline();
    },
  };
}

const nothing = { capabilities: [], onOnline: () => undefined, onFrame: () => undefined, onOffline: () => undefined };

/** For a connection that keeps nothing of what it is told, such as the doctor's. */
export const NO_CONTROL: Control = nothing;
