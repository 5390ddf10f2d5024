// Decides which part of Central handles a frame beside the messages (renewal of certificates, or trust), and whether an agent may send
// it now: each answer needs a question, so that an agent cannot make Central write more often than Central asks.
import type {
  AgentControl,
  CentralControl,
  RenewInstalled,
  Renew,
  Trusted,
  TrustRefused,
} from '../../shared/wire/messages.ts';
import type { Session } from './session.ts';
import type { ControlPort } from './sessions.ts';

/** None of them may throw or reject; what goes wrong is theirs to tell. */
export interface RenewalFrames {
  /** The session stands. */
  onOpened(session: Session): void;
  onFrame(session: Session, frame: Renew | RenewInstalled): void;
}

export interface TrustFrames {
  /** The session stands: the agent may not yet have what it is to trust. */
  onOpened(session: Session): void;
  onFrame(session: Session, frame: Trusted | TrustRefused): void;
}

/** The questions and answers of one session. */
export class ControlLedger {
  /** `trust` frames without an answer. An agent that is asked again before it has answered may answer both, or only the last one. */
  #trust = 0;
  /** `renewed` frames of which the agent has not said that it has the certificate. */
  #renewed = 0;
  #renewing = false;

  /** Central says this now. */
  sent({ type }: CentralControl): void {
    if (type === 'trust') this.#trust += 1;
    if (type === 'renewed') this.#renewed += 1;
    if (type === 'renewed' || type === 'renew-refused') this.#renewing = false;
  }

  /** Notes a frame of the agent. What is wrong with it, when it may not come now. */
  received({ type }: AgentControl): string | undefined {
    switch (type) {
      case 'trusted':
      case 'trust-refused':
        if (this.#trust === 0) return `${type} without a trust frame before it`;
        this.#trust -= 1;
        return undefined;
      case 'renew-installed':
        if (this.#renewed === 0) return 'renew-installed without a renewed frame before it';
        this.#renewed -= 1;
        return undefined;
      case 'renew':
        if (this.#renewing) return 'renew before the renew frame before it was answered';
        this.#renewing = true;
        return undefined;
    }
  }
}

export function createControl({
  renewal,
  trust,
}: {
  readonly renewal: RenewalFrames;
  readonly trust: TrustFrames;
}): ControlPort {
  return {
    onOpened(session): void {
      renewal.onOpened(session);
      trust.onOpened(session);
    },
    onFrame(session, frame: AgentControl): void {
      switch (frame.type) {
        case 'renew':
        case 'renew-installed':
          return renewal.onFrame(session, frame);
        case 'trusted':
        case 'trust-refused':
          return trust.onFrame(session, frame);
      }
    },
  };
}
