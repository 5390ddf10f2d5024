// Owns which part of Central is asked about a frame beside the messages: renewal of certificates, or trust.
import type { AgentControl, Installed, Renew, Trusted, TrustRefused } from '../../shared/wire/messages.ts';
import type { Session } from './session.ts';
import type { ControlPort } from './sessions.ts';

/** None of them may throw or reject; what goes wrong is theirs to tell. */
export interface RenewalFrames {
  /** The session stands. */
  onOpened(session: Session): void;
  onFrame(session: Session, frame: Renew | Installed): void;
}

export interface TrustFrames {
  /** The session stands: the agent may not yet have what it is to trust. */
  onOpened(session: Session): void;
  onFrame(session: Session, frame: Trusted | TrustRefused): void;
}

export function createControl({ renewal, trust }: { readonly renewal: RenewalFrames; readonly trust: TrustFrames }): ControlPort {
  return {
    onOpened(session): void {
      renewal.onOpened(session);
      trust.onOpened(session);
    },
    onFrame(session, frame: AgentControl): void {
      switch (frame.type) {
        case 'renew':
        case 'installed':
          return renewal.onFrame(session, frame);
        case 'trusted':
        case 'trust-refused':
          return trust.onFrame(session, frame);
      }
    },
  };
}
