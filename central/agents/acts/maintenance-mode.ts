// Maintenance mode: while it is enabled, every agent is sent away with a time to try again, in place of a rule in a
// firewall. It is kept in the store, so that agents stay away while Central is upgraded, until an administrator
// disables it.
import { refusal } from '../../../shared/wire/refusals.ts';
import type { CodedError } from '../../../shared/errors.ts';
import { auditEntry, type Actor } from '../../audit.ts';
import type { CentralEvents, Events } from '../../events.ts';
import { problemFault, problemOf, type Problem } from '../../problems.ts';
import type { MaintenanceState, MaintenanceStore } from '../../store/store.ts';

interface MaintenanceModeOptions {
  readonly store: { readonly maintenance: MaintenanceStore };
  readonly events: Pick<Events<CentralEvents>, 'emit'>;
  readonly now: () => number;
}

/** What is absent stays. */
interface MaintenanceChange {
  readonly enabled?: boolean | undefined;
  readonly retryAfterSeconds?: number | undefined;
}

export class MaintenanceMode {
  readonly #options: MaintenanceModeOptions;
  #state: MaintenanceState;

  private constructor(options: MaintenanceModeOptions, state: MaintenanceState) {
    this.#options = options;
    this.#state = state;
  }

  static async open(options: MaintenanceModeOptions): Promise<MaintenanceMode> {
    return new MaintenanceMode(options, await options.store.maintenance.load());
  }

  get state(): MaintenanceState {
    return this.#state;
  }

  /** What an agent is refused with; undefined: agents are admitted. */
  refusal(): CodedError | undefined {
    const { enabledAt, retryAfterSeconds: seconds } = this.#state;
    return enabledAt === null ? undefined : refusal('maintenance', { seconds });
  }

  /** On disk when it resolves; the sessions are ending by then. */
  async change({ enabled, retryAfterSeconds }: MaintenanceChange, actor: Actor): Promise<MaintenanceState> {
    const { store, events, now } = this.#options;
    const before = this.#state;
    const isEnabled = enabled ?? before.enabledAt !== null;
    const next = {
      enabledAt: isEnabled ? (before.enabledAt ?? now()) : null,
      retryAfterSeconds: retryAfterSeconds ?? before.retryAfterSeconds,
    };
    const action = isEnabled ? 'maintenance.enable' : 'maintenance.disable';
    const detail = isEnabled ? { retryAfterSeconds: next.retryAfterSeconds } : {};
    await store.maintenance.save(next, auditEntry(actor, action, detail, now()));
    this.#state = next;
    if (isEnabled && before.enabledAt === null) events.emit('maintenanceEnabled');
    return next;
  }

  /** Another node may have changed it. */
  async follow(): Promise<void> {
    const before = this.#state;
    this.#state = await this.#options.store.maintenance.load();
    if (this.#state.enabledAt !== null && before.enabledAt === null) this.#options.events.emit('maintenanceEnabled');
  }

  /** For the status. */
  problems(): Problem[] {
    const { enabledAt } = this.#state;
    return enabledAt === null ? [] : [problemOf(problemFault('maintenance_enabled', {}), enabledAt)];
  }
}
