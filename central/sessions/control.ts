// Dispatches control frames (renewal of certificates, trust, consumers, expired commands, releases, services, tasks) to the part of
// Central that handles them.
import type {
  AgentControl,
  Consumers,
  ExpiredCommands,
  RenewInstalled,
  Renew,
  Trusted,
  TrustRefused,
} from '../../shared/wire/messages.ts';
import type { ReleaseMeasured, ReleaseState } from '../../shared/wire/release-frames.ts';
import type { DeviceRequest } from '../../shared/wire/devices/frames.ts';
import type { ServicesReport } from '../../shared/wire/services/frames.ts';
import type { TaskHandlers, TaskReports } from '../../shared/wire/tasks/frames.ts';
import type { Session } from './session.ts';
import type { ControlPort } from './sessions.ts';

/** The methods must not throw or reject; they log their own failures. */
export interface RenewalFrames {
  /** A session opened. */
  onOpened(session: Session): void;
  onFrame(session: Session, frame: Renew | RenewInstalled): void;
}

interface TrustFrames {
  /** A session opened: the agent may not have the present trust bundle yet. */
  onOpened(session: Session): void;
  onFrame(session: Session, frame: Trusted | TrustRefused): void;
}

interface ConsumerFrames {
  onFrame(session: Session, frame: Consumers): void;
}

interface ExpiredFrames {
  onFrame(session: Session, frame: ExpiredCommands): void;
}

interface ReleaseFrames {
  /** A session opened: the agent may have missed what it was offered. */
  onOpened(session: Session): void;
  onFrame(session: Session, frame: ReleaseState | ReleaseMeasured): void;
}

interface ServiceFrames {
  onFrame(session: Session, frame: ServicesReport): void;
}

interface DeviceFrames {
  onFrame(session: Session, frame: DeviceRequest): void;
}

interface TaskFrames {
  /** A session opened: the agent may have missed what is canceled. */
  onOpened(session: Session): void;
  onFrame(session: Session, frame: TaskHandlers | TaskReports): void;
}

export function createControl({
  renewal,
  trust,
  consumers,
  expired,
  releases,
  services,
  tasks,
  devices,
}: {
  readonly renewal: RenewalFrames;
  readonly trust: TrustFrames;
  readonly consumers: ConsumerFrames;
  readonly expired: ExpiredFrames;
  readonly releases: ReleaseFrames;
  readonly services: ServiceFrames;
  readonly tasks: TaskFrames;
  readonly devices: DeviceFrames;
}): ControlPort {
  return {
    onOpened(session): void {
      renewal.onOpened(session);
      trust.onOpened(session);
      releases.onOpened(session);
      tasks.onOpened(session);
    },
    onFrame(session, frame: AgentControl): void {
      switch (frame.type) {
        case 'renew':
        case 'renew-installed':
          return renewal.onFrame(session, frame);
        case 'trusted':
        case 'trust-refused':
          return trust.onFrame(session, frame);
        case 'consumers':
          return consumers.onFrame(session, frame);
        case 'expired':
          return expired.onFrame(session, frame);
        case 'release-state':
        case 'release-measured':
          return releases.onFrame(session, frame);
        case 'services':
          return services.onFrame(session, frame);
        case 'task-handlers':
        case 'task-states':
          return tasks.onFrame(session, frame);
        case 'device-request':
          return devices.onFrame(session, frame);
      }
    },
  };
}
