// Owns what listens: makes it what the parameters say, at once and as one act, or leaves it as it was. Connections that came
// through a listener live on when it moves; which sessions may not stay is told to their owner afterwards.
import type { Socket } from 'node:net';
import { textOf } from '../../shared/errors.ts';
import type { ParameterValues } from '../parameters/definitions.ts';
import type { ParameterFault } from '../parameters/errors.ts';
import { isCoded } from '../../shared/errors.ts';
import { hasIpv6, loopbackAddresses, openBinding, type Binding, type BindingPlan } from './bind.ts';

export const LISTENERS = ['plain', 'secure', 'https', 'http'] as const;
export type ListenerName = (typeof LISTENERS)[number];

/** Which parameter names a listener's port. */
const PORT_PARAMETER = { plain: 'websocket.port', secure: 'websocket.secure.port', https: 'https.port', http: 'http.port' } as const satisfies Record<ListenerName, keyof ParameterValues>;

/** How each is called in messages. */
const TITLES: Record<ListenerName, string> = { plain: 'the plain WebSocket', secure: 'the secure WebSocket', https: 'HTTPS administration', http: 'HTTP administration' };

/** The server certificate that the listeners show: staged and checked first, written last. */
export interface CertificatePort<Staged> {
  stage(values: ParameterValues): Promise<Staged>;
  /** Handshakes from now on show it. */
  show(staged: Staged): void;
  adopt(staged: Staged): Promise<void>;
  current(): Staged | undefined;
}

export interface ReconcileOptions<Staged> {
  /** Where the agents' listeners are bound when they are open to other hosts; empty: all addresses. */
  readonly bindAddresses: readonly string[];
  /** The same for HTTPS administration. */
  readonly adminBindAddresses: readonly string[];
  readonly accept: Readonly<Record<ListenerName, (socket: Socket) => void>>;
  readonly certificate: CertificatePort<Staged>;
  /** The listeners are as `values` say: whoever may not stay is told and ended. */
  readonly onApplied: (values: ParameterValues) => void;
  readonly log: { info(facts: object, text: string): void; error(facts: object, text: string): void };
}

export interface ListeningState {
  readonly listener: ListenerName;
  readonly addresses: readonly string[];
  readonly port: number;
  readonly encrypted: boolean;
  /** In words: who is served there, and how encrypted. */
  readonly text: string;
}

/** A listener that could neither move nor go back is tried again so often. */
const REOPEN_MS = 1_000;

export class Listeners<Staged> {
  readonly #options: ReconcileOptions<Staged>;
  readonly #bindings = new Map<ListenerName, Binding>();
  /** Listeners that should be there and are not, with the reason; a timer tries again. */
  readonly #missing = new Map<ListenerName, string>();
  readonly #reopening = new Map<ListenerName, NodeJS.Timeout>();
  #stopped = false;

  constructor(options: ReconcileOptions<Staged>) {
    this.#options = options;
  }

  /** Opens everything for the first time. Throws port_taken and the like; then nothing listens. */
  async start(values: ParameterValues): Promise<void> {
    try {
      for (const [listener, plan] of this.#plans(values)) this.#bindings.set(listener, await openBinding(plan, this.#options.accept[listener]));
    } catch (error) {
      this.#closeAll();
      throw error;
    }
  }

  /** What cannot be bound, and whether a certificate can be made: as faults of the parameters; changes nothing. */
  async check(next: ParameterValues, now: ParameterValues): Promise<ParameterFault[]> {
    const faults: ParameterFault[] = [];
    try {
      if (certificateChanged(next, now)) await this.#options.certificate.stage(next);
    } catch (error) {
      if (!isCoded(error)) throw error;
      const parameter = error.code === 'distinguished_name_bad' ? 'certificate.distinguishedName' : 'certificate.subjectAlternativeNames';
      faults.push({ parameter, found: JSON.stringify(next[parameter]), allowed: 'what a server certificate can be made with', text: error.message });
    }
    for (const [listener, plan] of this.#plans(next)) {
      if (this.#stands(listener, plan)) continue;
      // An address and port that this process holds itself cannot be probed; apply closes it first, and goes back if that fails.
      const probed = plan.addresses.filter((address) => !this.#holds(address, plan.port));
      try {
        if (probed.length > 0) (await openBinding({ ...plan, addresses: probed }, (socket) => socket.destroy())).close();
      } catch (error) {
        if (!isCoded(error)) throw error;
        faults.push({ parameter: PORT_PARAMETER[listener], found: String(plan.port), allowed: 'a port that is free on this host', text: error.message });
      }
    }
    return faults;
  }

  /** Moves all listeners and swaps the certificate, or throws with everything as it was. */
  async apply(next: ParameterValues, now: ParameterValues): Promise<void> {
    const { certificate, log } = this.#options;
    const before = certificate.current();
    const staged = certificateChanged(next, now) ? await certificate.stage(next) : undefined;
    await this.#move(this.#plans(next));
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
    log.info({ listens: this.listening().map(({ listener, addresses, port }) => `${listener} ${addresses.join(',')} port ${port}`) }, 'listeners applied');
    this.#options.onApplied(next);
  }

  /** Sentences: what would listen where. */
  describe(next: ParameterValues): string[] {
    const plans = this.#plans(next);
    return LISTENERS.map((listener) => {
      const plan = plans.get(listener);
      if (plan === undefined) return `${capital(TITLES[listener])} is off.`;
      return sentence(listener, plan.addresses, plan.port === 0 ? (this.#bindings.get(listener)?.port ?? 0) : plan.port);
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
      return [{ listener, addresses, port: binding.port, encrypted: isEncrypted(listener), text: sentence(listener, addresses, binding.port) }];
    });
  }

  /** What should listen and does not; for health. */
  trouble(): string[] {
    return [...this.#missing].map(([listener, reason]) => `${capital(TITLES[listener])} does not listen: ${reason}`);
  }

  port(listener: ListenerName): number | undefined {
    return this.#bindings.get(listener)?.port;
  }

  stop(): void {
    this.#stopped = true;
    for (const timer of this.#reopening.values()) clearTimeout(timer);
    this.#reopening.clear();
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
    // Unencrypted off: loopback only, same port, never gone (DESIGN section 6). On: the Central agent still finds it on loopback.
    const plain = values['websocket.enabled'] ? (agents.some((address) => address === '::' || address === '0.0.0.0') ? agents : [...new Set([...agents, ...loopback])]) : loopback;
    add('plain', plain);
    if (values['websocket.secure.enabled']) add('secure', agents);
    add('https', open(this.#options.adminBindAddresses));
    add('http', loopback);
    return plans;
  }

  #stands(listener: ListenerName, plan: BindingPlan): boolean {
    const standing = this.#bindings.get(listener);
    return standing !== undefined && standing.plan.port === plan.port && standing.plan.addresses.join() === plan.addresses.join();
  }

  /** True when a binding of this process stands in the way of address and port. */
  #holds(address: string, port: number): boolean {
    for (const binding of this.#bindings.values()) {
      if (binding.port !== port && !(port === 0 && binding.plan.port === 0)) continue;
      if (overlaps(binding.plan.addresses, [address])) return true;
    }
    return false;
  }

  /**
   * Opens what does not stand in its own way first, so that no port is gone for a moment; then closes what does, opens the
   * rest, and closes what is left over. On failure the new ones are closed and the old ones opened again.
   */
  async #move(plans: ReadonlyMap<ListenerName, BindingPlan>): Promise<void> {
    const { accept } = this.#options;
    const leaving = new Map<ListenerName, Binding>();
    const coming = new Map<ListenerName, BindingPlan>();
    for (const listener of LISTENERS) {
      const plan = plans.get(listener);
      const standing = this.#bindings.get(listener);
      if (plan !== undefined && this.#stands(listener, plan)) continue;
      if (standing !== undefined) leaving.set(listener, standing);
      // A node that takes any free port keeps the one it has when only the addresses change.
      if (plan !== undefined) coming.set(listener, plan.port === 0 && standing?.plan.port === 0 ? { ...plan, port: standing.port } : plan);
    }
    const opened = new Map<ListenerName, Binding>();
    const closed = new Map<ListenerName, Binding>();
    const inTheWay = (plan: BindingPlan): boolean => [...leaving.values()].some((binding) => binding.port === plan.port && overlaps(binding.plan.addresses, plan.addresses));
    try {
      const later: [ListenerName, BindingPlan][] = [];
      for (const [listener, plan] of coming) {
        if (inTheWay(plan)) later.push([listener, plan]);
        else opened.set(listener, await openBinding(plan, accept[listener]));
      }
      for (const [listener, binding] of leaving) {
        if (!later.some(([, plan]) => plan.port === binding.port)) continue;
        binding.close();
        closed.set(listener, binding);
      }
      for (const [listener, plan] of later) opened.set(listener, await openBinding(plan, accept[listener]));
    } catch (error) {
      for (const binding of opened.values()) binding.close();
      for (const [listener, binding] of closed) await this.#reopen(listener, binding);
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
    // All that should listen does now; what was missing and was switched off must not come back.
    for (const listener of LISTENERS) this.#clearMissing(listener);
  }

  /**
   * Back to where it was. Whoever took the port meanwhile may let it go: it is tried until then, and health says so. `due` is the
   * timer that called: a change that has made something else of the listener since then has cleared it.
   */
  async #reopen(listener: ListenerName, old: Binding, due?: NodeJS.Timeout): Promise<void> {
    const isOver = (): boolean => this.#stopped || this.#reopening.get(listener) !== due;
    try {
      const binding = await openBinding({ ...old.plan, port: old.port }, this.#options.accept[listener]);
      if (isOver()) return binding.close();
      this.#bindings.set(listener, { ...binding, plan: old.plan });
      this.#clearMissing(listener);
    } catch (error) {
      if (isOver()) return;
      this.#bindings.delete(listener);
      this.#missing.set(listener, textOf(error));
      this.#options.log.error({ listener, error: textOf(error) }, 'a listener could not go back to its port; trying again');
      const timer: NodeJS.Timeout = setTimeout(() => void this.#reopen(listener, old, timer), REOPEN_MS);
      this.#reopening.set(listener, timer);
    }
  }

  #clearMissing(listener: ListenerName): void {
    clearTimeout(this.#reopening.get(listener));
    this.#reopening.delete(listener);
    this.#missing.delete(listener);
  }

  #closeAll(): void {
    for (const binding of this.#bindings.values()) binding.close();
    this.#bindings.clear();
  }
}

function certificateChanged(next: ParameterValues, now: ParameterValues): boolean {
  return (['certificate.distinguishedName', 'certificate.subjectAlternativeNames', 'certificate.lifetimeDays'] as const).some((name) => JSON.stringify(next[name]) !== JSON.stringify(now[name]));
}

/** Do two sets of addresses meet? A wildcard meets everything (127.0.0.1 cannot be bound while it is: tried). */
function overlaps(some: readonly string[], others: readonly string[]): boolean {
  const wild = (addresses: readonly string[]): boolean => addresses.includes('::') || addresses.includes('0.0.0.0');
  return wild(some) || wild(others) || some.some((address) => others.includes(address));
}

function sentence(listener: ListenerName, addresses: readonly string[], port: number): string {
  const loopback = addresses.every((address) => address === '127.0.0.1' || address === '::1');
  const where = addresses.includes('::') || addresses.includes('0.0.0.0') ? 'on all addresses' : `on ${addresses.join(' and ')}${loopback ? ' only' : ''}`;
  const how = isEncrypted(listener) ? 'encrypted (TLS 1.2 and 1.3)' : loopback ? 'unencrypted, for this host only' : 'UNENCRYPTED';
  return `${capital(TITLES[listener])} listens ${where}, port ${port}: ${how}.`;
}

function isEncrypted(listener: ListenerName): boolean {
  return listener === 'secure' || listener === 'https';
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
