// Binds, moves and closes the listeners as the parameters say: all of them or none. Connections stay open when their
// listener moves; afterwards `onApplied` ends the sessions that are no longer allowed.
import type { Socket } from 'node:net';
import { isCoded, textOf } from '../../shared/errors.ts';
import type { ParameterValues } from '../parameters/definitions.ts';
import type { ParameterFault } from '../parameters/errors.ts';
import { problemFault, problemOf, type Problem } from '../problems.ts';
import {
  addressesBehind,
  HeldPorts,
  hasIpv6,
  loopbackAddresses,
  openBinding,
  type Binding,
  type BindingPlan,
} from './bind.ts';

export const LISTENERS = ['ws', 'wss', 'https', 'http', 'services'] as const;
export type ListenerName = (typeof LISTENERS)[number];

/** Which parameter names a listener's port. */
const PORT_PARAMETER = {
  ws: 'websocket.port',
  wss: 'websocket.secure.port',
  https: 'https.port',
  http: 'http.port',
  services: 'services.port',
} as const satisfies Record<ListenerName, keyof ParameterValues>;

/** Names for messages. */
const TITLES: Record<ListenerName, string> = {
  ws: 'the WebSocket (ws)',
  wss: 'the WebSocket (wss)',
  https: 'HTTPS administration',
  http: 'HTTP administration',
  services: 'the port of services',
};

/** The server certificate that the listeners show: staged and checked first, written last. */
export interface CertificatePort<Staged> {
  stage(values: ParameterValues): Promise<Staged>;
  /** New handshakes show it. */
  show(staged: Staged): void;
  adopt(staged: Staged): Promise<void>;
  current(): Staged | undefined;
}

interface ReconcileOptions<Staged> {
  /** Where the agents' listeners are bound when they are open to other hosts; empty: all addresses. */
  readonly bindAddresses: readonly string[];
  /** The same for HTTPS administration. */
  readonly adminBindAddresses: readonly string[];
  readonly accept: Readonly<Record<ListenerName, (socket: Socket) => void>>;
  readonly certificate: CertificatePort<Staged>;
  /** The listeners are as `values` say: ends the sessions that are no longer allowed. */
  readonly onApplied: (values: ParameterValues) => void;
  readonly log: { info(facts: object, text: string): void; error(facts: object, text: string): void };
  readonly now?: () => number;
}

interface ListeningState {
  readonly listener: ListenerName;
  readonly addresses: readonly string[];
  readonly port: number;
  readonly encrypted: boolean;
  /** For display: where it listens, and how it is encrypted. */
  readonly text: string;
}

/** How often a port that another process holds is tried again. */
const REOPEN_MS = 1_000;

/** A listener that should be open and is not. */
interface Missing {
  /** The requested plan; its port may be 0. */
  readonly plan: BindingPlan;
  /** The port to bind. */
  readonly port: number;
  readonly error: unknown;
}

export class Listeners<Staged> {
  readonly #options: ReconcileOptions<Staged>;
  readonly #bindings = new Map<ListenerName, Binding>();
  /** A timer tries each again. */
  readonly #missing = new Map<ListenerName, Missing>();
  readonly #reopening = new Map<ListenerName, NodeJS.Timeout>();
  /** For the problems; also while a change retries it. */
  readonly #missingSince = new Map<ListenerName, number>();
  readonly #now: () => number;
  readonly #held = new HeldPorts();
  #stoppedAt: number | undefined;

  constructor(options: ReconcileOptions<Staged>) {
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /**
   * Opens everything for the first time. A port that another process holds is tried until it is free, and a problem
   * until then: any account of this host can hold one, and must not keep Central from starting. Throws port_refused;
   * then nothing listens.
   */
  async start(values: ParameterValues): Promise<void> {
    try {
      for (const [listener, plan] of this.#plans(values)) {
        try {
          this.#bindings.set(listener, await openBinding(plan, this.#options.accept[listener]));
        } catch (error) {
          if (!isCoded(error, 'port_taken')) throw error;
          this.#retryLater(listener, plan, plan.port, error);
        }
      }
    } catch (error) {
      this.stop();
      throw error;
    }
  }

  /** Checks ports and certificate; returns faults of the parameters. Changes nothing. */
  async check(next: ParameterValues, now: ParameterValues): Promise<ParameterFault[]> {
    return await this.#check(next, now, async (plan) =>
      (await openBinding(plan, (socket) => socket.destroy())).close(),
    );
  }

  /** The same, and keeps the free ports that `next` needs until it is applied, or released. */
  async hold(next: ParameterValues, now: ParameterValues): Promise<ParameterFault[]> {
    this.release();
    const faults = await this.#check(next, now, (plan) => this.#held.hold(plan));
    faults.push(...(await this.#holdBeside(next)));
    if (faults.length > 0 || this.#stoppedAt !== undefined) this.release();
    return faults;
  }

  /** Of a port that this process has on other addresses already, and so cannot hold as a whole: the rest. */
  async #holdBeside(next: ParameterValues): Promise<ParameterFault[]> {
    const faults: ParameterFault[] = [];
    for (const [listener, plan] of this.#plans(next)) {
      const bound = this.#bindings.get(listener);
      const port = plan.port === 0 && bound?.plan.port === 0 ? bound.port : plan.port;
      if (port === 0 || this.#isBound(listener, plan) || this.#missing.has(listener)) continue;
      if (!plan.addresses.some((address) => this.#holds(address, port))) continue;
      const behind = addressesBehind(plan.addresses);
      // Single addresses were held by the check, unless it did not know the port.
      if (behind === plan.addresses && plan.port !== 0) continue;
      const addresses = behind.filter((address) => !this.#holds(address, port));
      try {
        if (addresses.length > 0) await this.#held.hold({ ...plan, addresses, port });
      } catch (error) {
        // An address that cannot be bound by itself may be part of a wildcard all the same.
        if (isCoded(error, 'port_taken')) faults.push(portFault(listener, port, error.message));
        else if (!isCoded(error)) throw error;
      }
    }
    return faults;
  }

  release(): void {
    this.#held.release();
  }

  async #check(
    next: ParameterValues,
    now: ParameterValues,
    probe: (plan: BindingPlan) => Promise<void>,
  ): Promise<ParameterFault[]> {
    const faults: ParameterFault[] = [];
    try {
      if (certificateChanged(next, now)) await this.#options.certificate.stage(next);
    } catch (error) {
      if (!isCoded(error)) throw error;
      const parameter =
        error.code === 'distinguished_name_bad'
          ? 'certificate.distinguishedName'
          : 'certificate.subjectAlternativeNames';
      faults.push({
        parameter,
        found: JSON.stringify(next[parameter]),
        allowed: 'what a server certificate can be made with',
        text: error.message,
      });
    }
    for (const [listener, plan] of this.#plans(next)) {
      // A missing listener on the same port is retried anyway: it must not keep other parameters from being changed.
      if (this.#isBound(listener, plan) || this.#missing.get(listener)?.plan.port === plan.port) continue;
      // An address and port that this process holds itself cannot be probed; apply closes it first, and goes back if
      // that fails.
      const probed = plan.addresses.filter((address) => !this.#holds(address, plan.port));
      try {
        if (probed.length > 0) await probe({ ...plan, addresses: probed });
      } catch (error) {
        if (!isCoded(error)) throw error;
        faults.push(portFault(listener, plan.port, error.message));
      }
    }
    return faults;
  }

  /** Moves all listeners and swaps the certificate, or throws with everything as it was. */
  async apply(next: ParameterValues, now: ParameterValues): Promise<void> {
    const { certificate, log } = this.#options;
    const before = certificate.current();
    const staged = certificateChanged(next, now) ? await certificate.stage(next) : undefined;
    try {
      await this.#move(this.#plans(next));
    } finally {
      this.release();
    }
    if (staged !== undefined) {
      certificate.show(staged);
      try {
        await certificate.adopt(staged);
      } catch (error) {
        if (before !== undefined) certificate.show(before);
        await this.#move(this.#plans(now));
        throw error;
      }
    }
    log.info(
      {
        listens: this.listening().map(
          ({ listener, addresses, port }) => `${listener} ${addresses.join(',')} port ${port}`,
        ),
      },
      'listeners applied',
    );
    this.#options.onApplied(next);
  }

  /** Sentences: what would listen where. */
  describe(next: ParameterValues): string[] {
    const plans = this.#plans(next);
    return LISTENERS.map((listener) => {
      const plan = plans.get(listener);
      if (plan === undefined) return `${capital(TITLES[listener])} is off.`;
      return sentence(
        listener,
        plan.addresses,
        plan.port === 0 ? (this.#bindings.get(listener)?.port ?? 0) : plan.port,
      );
    });
  }

  /** What listens now, in words. */
  words(): string[] {
    return this.listening().map(({ text }) => text);
  }

  listening(): ListeningState[] {
    return LISTENERS.flatMap((listener) => {
      const binding = this.#bindings.get(listener);
      if (binding === undefined) return [];
      const { addresses } = binding.plan;
      return [
        {
          listener,
          addresses,
          port: binding.port,
          encrypted: isEncrypted(listener),
          text: sentence(listener, addresses, binding.port),
        },
      ];
    });
  }

  /** That Central stops: a balancer that keeps its connection learns it while the sessions end. */
  stopping(): Problem[] {
    return this.#stoppedAt === undefined ? [] : [problemOf(problemFault('central_stopping', {}), this.#stoppedAt)];
  }

  /** Which of these listeners should be open and are not, and why. */
  problems(listeners: readonly ListenerName[] = LISTENERS): Problem[] {
    return [...this.#missing]
      .filter(([listener]) => listeners.includes(listener))
      .map(([listener, { error }]) =>
        problemOf(
          problemFault('listener_not_open', { listener: capital(TITLES[listener]), found: textOf(error) }),
          this.#missingSince.get(listener) ?? this.#now(),
          { kind: 'listener', id: listener, name: TITLES[listener] },
        ),
      );
  }

  port(listener: ListenerName): number | undefined {
    return this.#bindings.get(listener)?.port;
  }

  stop(): void {
    this.#stoppedAt ??= this.#now();
    this.#clearTimers();
    this.release();
    this.#closeAll();
  }

  #plans(values: ParameterValues): Map<ListenerName, BindingPlan> {
    const everywhere = hasIpv6() ? ['::'] : ['0.0.0.0'];
    const open = (addresses: readonly string[]): string[] => {
      if (addresses.length === 0 || addresses.includes('::')) return everywhere;
      if (addresses.includes('0.0.0.0')) return ['0.0.0.0'];
      return [...addresses];
    };
    const plans = new Map<ListenerName, BindingPlan>();
    const add = (listener: ListenerName, addresses: readonly string[]): void => {
      plans.set(listener, { listener: TITLES[listener], addresses, port: values[PORT_PARAMETER[listener]] });
    };
    const agents = open(this.#options.bindAddresses);
    const loopback = loopbackAddresses();
    // Unencrypted off: bound to loopback, on the same port, and never closed. On: the Central agent still finds it on
    // loopback.
    const unencrypted = values['websocket.enabled']
      ? agents.some((address) => address === '::' || address === '0.0.0.0')
        ? agents
        : [...new Set([...agents, ...loopback])]
      : loopback;
    add('ws', unencrypted);
    if (values['websocket.secure.enabled']) add('wss', agents);
    add('https', open(this.#options.adminBindAddresses));
    add('http', loopback);
    if (values['services.port'] !== 0) add('services', agents);
    return plans;
  }

  #isBound(listener: ListenerName, plan: BindingPlan): boolean {
    const bound = this.#bindings.get(listener);
    return (
      bound !== undefined && bound.plan.port === plan.port && bound.plan.addresses.join() === plan.addresses.join()
    );
  }

  /** True when a binding of this process blocks this address and port. */
  #holds(address: string, port: number): boolean {
    for (const binding of this.#bindings.values()) {
      if (binding.port !== port && !(port === 0 && binding.plan.port === 0)) continue;
      if (overlaps(binding.plan.addresses, [address])) return true;
    }
    return false;
  }

  /**
   * First opens what no present binding blocks, so that no port is closed for a moment; then closes what blocks, opens
   * the rest, and closes what is left over. On failure closes the new ones and opens the old ones again.
   */
  async #move(plans: ReadonlyMap<ListenerName, BindingPlan>): Promise<void> {
    const { accept } = this.#options;
    // No timer may open meanwhile what this moves.
    this.#clearTimers();
    const leaving = new Map<ListenerName, Binding>();
    const coming = new Map<ListenerName, BindingPlan>();
    for (const listener of LISTENERS) {
      const plan = plans.get(listener);
      const bound = this.#bindings.get(listener);
      if (plan !== undefined && this.#isBound(listener, plan)) continue;
      if (bound !== undefined) leaving.set(listener, bound);
      // A node that takes any free port keeps the one it has when only the addresses change.
      if (plan !== undefined)
        coming.set(listener, plan.port === 0 && bound?.plan.port === 0 ? { ...plan, port: bound.port } : plan);
    }
    const opened = new Map<ListenerName, Binding>();
    const stillMissing = new Map<ListenerName, Missing>();
    const closed = new Map<ListenerName, Binding>();
    const inTheWay = (plan: BindingPlan): boolean =>
      [...leaving.values()].some(
        (binding) => binding.port === plan.port && overlaps(binding.plan.addresses, plan.addresses),
      );
    try {
      const later: [ListenerName, BindingPlan][] = [];
      for (const [listener, plan] of coming) {
        const missing = this.#missing.get(listener);
        if (inTheWay(plan)) later.push([listener, plan]);
        // It is retried, on the new addresses.
        else if (missing?.plan.port === plan.port) stillMissing.set(listener, { ...missing, plan });
        else
          opened.set(listener, this.#held.take(plan, accept[listener]) ?? (await openBinding(plan, accept[listener])));
      }
      // What is left of them could be in the way of the rest.
      this.release();
      for (const [listener, binding] of leaving) {
        if (!later.some(([, plan]) => plan.port === binding.port)) continue;
        binding.close();
        closed.set(listener, binding);
      }
      for (const [listener, plan] of later) opened.set(listener, await openBinding(plan, accept[listener]));
    } catch (error) {
      for (const binding of opened.values()) binding.close();
      for (const [listener, { plan, port }] of closed) await this.#reopen(listener, plan, port);
      for (const [listener, { plan, port, error: before }] of this.#missing)
        if (!this.#reopening.has(listener)) this.#retryLater(listener, plan, port, before);
      throw error;
    }
    for (const [listener, binding] of leaving) {
      if (!closed.has(listener)) binding.close();
      this.#bindings.delete(listener);
    }
    for (const [listener, binding] of opened) {
      // The plan stays what was asked for, also where the port was kept.
      this.#bindings.set(listener, { ...binding, plan: plans.get(listener) ?? binding.plan });
    }
    // A missing listener that was disabled or moved must not be retried.
    for (const listener of LISTENERS) {
      this.#clearMissing(listener);
      if (!stillMissing.has(listener)) this.#missingSince.delete(listener);
    }
    for (const [listener, { plan, port }] of stillMissing) await this.#reopen(listener, plan, port);
  }

  /**
   * Opens a listener that has no binding. While another process holds the port it is retried, and health reports it.
   * `due` is the timer that called: a change of the listener since then has cleared it.
   */
  async #reopen(listener: ListenerName, plan: BindingPlan, port: number, due?: NodeJS.Timeout): Promise<void> {
    const isOver = (): boolean => this.#stoppedAt !== undefined || this.#reopening.get(listener) !== due;
    const { log, accept } = this.#options;
    try {
      const binding = await openBinding({ ...plan, port }, accept[listener]);
      if (isOver()) return binding.close();
      this.#bindings.set(listener, { ...binding, plan });
      this.#missingSince.delete(listener);
      if (due !== undefined) log.info({ listener, port: binding.port }, 'a listener has its port now');
      this.#clearMissing(listener);
    } catch (error) {
      if (isOver()) return;
      this.#bindings.delete(listener);
      this.#retryLater(listener, plan, port, error);
    }
  }

  #retryLater(listener: ListenerName, plan: BindingPlan, port: number, error: unknown): void {
    // One line, not one a second.
    if (!this.#missing.has(listener))
      this.#options.log.error({ listener, error: textOf(error) }, 'a listener does not have its port; trying again');
    this.#missing.set(listener, { plan, port, error });
    if (!this.#missingSince.has(listener)) this.#missingSince.set(listener, this.#now());
    const timer: NodeJS.Timeout = setTimeout(() => void this.#reopen(listener, plan, port, timer), REOPEN_MS);
    this.#reopening.set(listener, timer);
  }

  #clearMissing(listener: ListenerName): void {
    clearTimeout(this.#reopening.get(listener));
    this.#reopening.delete(listener);
    this.#missing.delete(listener);
  }

  #clearTimers(): void {
    for (const timer of this.#reopening.values()) clearTimeout(timer);
    this.#reopening.clear();
  }

  #closeAll(): void {
    for (const binding of this.#bindings.values()) binding.close();
    this.#bindings.clear();
  }
}

function portFault(listener: ListenerName, port: number, text: string): ParameterFault {
  return {
    parameter: PORT_PARAMETER[listener],
    found: String(port),
    allowed: 'a port that is free on this host',
    text,
  };
}

function certificateChanged(next: ParameterValues, now: ParameterValues): boolean {
  return (
    ['certificate.distinguishedName', 'certificate.subjectAlternativeNames', 'certificate.lifetimeDays'] as const
  ).some((name) => JSON.stringify(next[name]) !== JSON.stringify(now[name]));
}

/**
 * True when two sets of addresses overlap. A wildcard overlaps with everything (127.0.0.1 cannot be bound beside it:
 * tried).
 */
function overlaps(some: readonly string[], others: readonly string[]): boolean {
  const wild = (addresses: readonly string[]): boolean => addresses.includes('::') || addresses.includes('0.0.0.0');
  return wild(some) || wild(others) || some.some((address) => others.includes(address));
}

function sentence(listener: ListenerName, addresses: readonly string[], port: number): string {
  const loopback = addresses.every((address) => address === '127.0.0.1' || address === '::1');
  const where =
    addresses.includes('::') || addresses.includes('0.0.0.0')
      ? 'on all addresses'
      : `on ${addresses.join(' and ')}${loopback ? ' only' : ''}`;
  const how = isEncrypted(listener)
    ? 'encrypted (TLS 1.2 and 1.3)'
    : loopback
      ? 'unencrypted, for this host only'
      : 'UNENCRYPTED';
  return `${capital(TITLES[listener])} listens ${where}, port ${port}: ${how}.`;
}

function isEncrypted(listener: ListenerName): boolean {
  return listener === 'wss' || listener === 'https' || listener === 'services';
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
