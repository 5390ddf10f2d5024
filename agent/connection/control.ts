// Dispatches the control frames, which travel beside the messages, to the renewal of the certificate, to the trust
// updates, to the reports of consumers and of expired commands, and to the releases.
import type { X509Certificate } from 'node:crypto';
import type {
  AgentControl,
  CentralControl,
  ExpiredRecorded,
  ReleaseCancel,
  ReleaseOffer,
  Renewed,
  RenewRefused,
  RenewNow,
  Trust,
} from '../../shared/wire/messages.ts';
import type { AgentKey } from '../identity/identity.ts';

export type SendControl = (frame: AgentControl) => void;

/** What renewal and trust may ask of the connection. */
export interface ControlLine {
  /** The key that Central welcomed. */
  readonly key: AgentKey;
  /** Central's, of the welcome: milliseconds since 1970-01-01T00:00:00Z. */
  readonly time: number;
  /** The certificates by which Central is known on it, its own first; none on a plain line. */
  shown(): readonly X509Certificate[];
  /**
   * The same as Central presents it now, on a connection that ends after the handshake: the session may be older.
   * Errors: those of the connection.
   */
  shownNow(): Promise<readonly X509Certificate[]>;
}

/** None of them may throw or reject; what goes wrong is theirs to tell. */
export interface RenewalControl {
  /** Central has welcomed this agent, which came with `key`; `send` is good until `onOffline`. */
  onOnline(send: SendControl, key: AgentKey): void;
  onFrame(frame: Renewed | RenewRefused | RenewNow): void;
  onOffline(): void;
}

export interface TrustControl {
  onOnline(send: SendControl, line: ControlLine): void;
  /** Its signature has been verified. */
  onFrame(frame: Trust): void;
  onOffline(): void;
}

interface ConsumersControl {
  onOnline(send: SendControl): void;
  onOffline(): void;
}

interface ExpiredControl extends ConsumersControl {
  onFrame(frame: ExpiredRecorded): void;
}

export interface ReleasesControl {
  onOnline(send: SendControl, line: Pick<ControlLine, 'time'>): void;
  onFrame(frame: ReleaseOffer | ReleaseCancel): void;
  onOffline(): void;
}

export interface Control {
  /** What the hello names: Central asks for nothing else. */
  readonly capabilities: readonly string[];
  onOnline(send: SendControl, line: ControlLine): void;
  onFrame(frame: CentralControl): void;
  onOffline(): void;
}

export function createControl({
  renewal,
  trust,
  consumers,
  expired,
  releases,
}: {
  readonly renewal: RenewalControl;
  readonly trust: TrustControl;
  readonly consumers: ConsumersControl;
  readonly expired: ExpiredControl;
  readonly releases: ReleasesControl;
}): Control {
  return {
    capabilities: ['renewal', 'trust', 'consumers', 'expired', 'deduplication', 'releases.1'],
    onOnline(send, line): void {
      renewal.onOnline(send, line.key);
      trust.onOnline(send, line);
      consumers.onOnline(send);
      expired.onOnline(send);
      releases.onOnline(send, line);
    },
    onFrame(frame): void {
      switch (frame.type) {
        case 'trust':
          return trust.onFrame(frame);
        case 'expired-recorded':
          return expired.onFrame(frame);
        case 'release-offer':
        case 'release-cancel':
          return releases.onFrame(frame);
        default:
          return renewal.onFrame(frame);
      }
    },
    onOffline(): void {
      renewal.onOffline();
      trust.onOffline();
      consumers.onOffline();
      expired.onOffline();
      releases.onOffline();
    },
  };
}

const nothing = { capabilities: [], onOnline: () => undefined, onFrame: () => undefined, onOffline: () => undefined };

/** For a connection that ignores control frames, such as the doctor's. */
export const NO_CONTROL: Control = nothing;
