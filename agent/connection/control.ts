// Dispatches the control frames, which travel beside the messages, to the renewal of the certificate, to the trust
// updates, to the reports of consumers and of expired commands, to the releases, and to the tasks.
import type { X509Certificate } from 'node:crypto';
import type {
  AgentControl,
  CentralControl,
  ExpiredRecorded,
  Renewed,
  RenewRefused,
  RenewNow,
  Trust,
} from '../../shared/wire/messages.ts';
import { TASKS_CAPABILITY, type TaskCancel, type TaskReportsRecorded } from '../../shared/wire/tasks/frames.ts';
import { TASK_LOG } from '../../shared/wire/tasks/log-stream.ts';
import { DEVICES_CAPABILITY, type DeviceAnswer } from '../../shared/wire/devices/frames.ts';
import type { ReleaseCancel, ReleaseMeasure, ReleaseOffer } from '../../shared/wire/release-frames.ts';
import type { Stream } from '../../shared/session/streams/stream.ts';
import { STREAMS_CAPABILITY } from '../../shared/session/streams/frames.ts';
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

interface TasksControl extends ConsumersControl {
  onFrame(frame: TaskCancel | TaskReportsRecorded): void;
}

interface DevicesControl extends ConsumersControl {
  onFrame(frame: DeviceAnswer): void;
}

export interface ReleasesControl {
  onOnline(send: SendControl, line: Pick<ControlLine, 'time'>): void;
  onFrame(frame: ReleaseOffer | ReleaseCancel | ReleaseMeasure): void;
  onOffline(): void;
}

/** What a stream of Central may be for, by its `kind`. */
interface StreamUsers {
  /** A request to a service of this host, or a WebSocket of it. */
  readonly http: ServicesControl;
  /** What a program wrote. */
  readonly taskLogs: StreamUser;
}

interface ServicesControl extends StreamUser, ConsumersControl {}

interface StreamUser {
  /** Must not throw. */
  onStream(stream: Stream, open: Readonly<Record<string, unknown>>): void;
}

export interface Control {
  /** What the hello names: Central asks for nothing else. */
  readonly capabilities: readonly string[];
  onOnline(send: SendControl, line: ControlLine): void;
  onFrame(frame: CentralControl): void;
  /** Central has opened a stream. */
  onStream(stream: Stream, open: Readonly<Record<string, unknown>>): void;
  onOffline(): void;
}

const CAPABILITIES = [
  'renewal',
  'trust',
  'consumers',
  'expired',
  'deduplication',
  'releases.1',
  'releases.measure',
  STREAMS_CAPABILITY,
  TASKS_CAPABILITY,
  DEVICES_CAPABILITY,
] as const;

export function createControl({
  renewal,
  trust,
  consumers,
  expired,
  releases,
  streams,
  tasks,
  devices,
}: {
  readonly renewal: RenewalControl;
  readonly trust: TrustControl;
  readonly consumers: ConsumersControl;
  readonly expired: ExpiredControl;
  readonly releases: ReleasesControl;
  readonly streams: StreamUsers;
  readonly tasks: TasksControl;
  readonly devices: DevicesControl;
}): Control {
  return {
    capabilities: CAPABILITIES,
    onOnline(send, line): void {
      renewal.onOnline(send, line.key);
      trust.onOnline(send, line);
      consumers.onOnline(send);
      expired.onOnline(send);
      releases.onOnline(send, line);
      streams.http.onOnline(send);
      tasks.onOnline(send);
      devices.onOnline(send);
    },
    onFrame(frame): void {
      switch (frame.type) {
        case 'trust':
          return trust.onFrame(frame);
        case 'expired-recorded':
          return expired.onFrame(frame);
        case 'release-offer':
        case 'release-cancel':
        case 'release-measure':
          return releases.onFrame(frame);
        case 'task-states-recorded':
        case 'task-cancel':
          return tasks.onFrame(frame);
        case 'device-issued':
        case 'device-refused':
          return devices.onFrame(frame);
        default:
          return renewal.onFrame(frame);
      }
    },
    onStream(stream, open): void {
      if (open['kind'] === 'http' || open['kind'] === 'upgrade') streams.http.onStream(stream, open);
      else if (open['kind'] === TASK_LOG) streams.taskLogs.onStream(stream, open);
      else stream.reset('kind_unknown');
    },
    onOffline(): void {
      renewal.onOffline();
      trust.onOffline();
      consumers.onOffline();
      expired.onOffline();
      releases.onOffline();
      streams.http.onOffline();
      tasks.onOffline();
      devices.onOffline();
    },
  };
}

const nothing = {
  capabilities: [],
  onOnline: () => undefined,
  onFrame: () => undefined,
  onStream: (stream: Stream) => stream.reset('kind_unknown'),
  onOffline: () => undefined,
};

/** For a connection that ignores control frames, such as the doctor's. */
export const NO_CONTROL: Control = nothing;
