// Sends agents the trust bundle: after each welcome, and whenever the bundle changes, to those that have not
// acknowledged exactly it. Records their answers: taken, or refused and why. Waits for no agent: a bounded number at a
// time, one pass over the sessions.
import { textOf } from '../../../shared/errors.ts';
import type { CentralControl, Trusted, TrustRefused } from '../../../shared/wire/messages.ts';
import { trustTranscript } from '../../../shared/wire/proof.ts';
import type { CertificateStore } from '../../store/certificate-store.ts';
import type { SharedChange } from '../../store/nodes/node-store.ts';
import type { NoteQueue } from '../../store/nodes/note-queue.ts';
import type { TrustBundle } from './trust-bundle.ts';

/** The part of a session that is needed here (central/sessions/session.ts). */
export interface TrustSession {
  readonly facts: {
    readonly agentId: string;
    readonly agentName: string;
    readonly sessionId: string;
    readonly capabilities: readonly string[];
  };
  sendControl(frame: CentralControl): void;
}

/** Each Central sends the bundle over its own sessions; `online` knows the agents of every Central. */
interface TrustSessions {
  each(act: (session: TrustSession) => void): void;
  of(agentId: string): TrustSession | undefined;
  online(): Promise<readonly TrustSession['facts'][]>;
}

interface TrustPublicationOptions {
  readonly bundle: Pick<TrustBundle, 'pem' | 'thumbprints'>;
  readonly certificates: Pick<CertificateStore, 'recordTrust' | 'trustOf'>;
  /** Signs with Central's signing key; base64. */
  readonly sign: (transcript: string) => string;
  readonly sessions: TrustSessions;
  /** Other nodes show why agents here lack a root. */
  readonly notes: Pick<NoteQueue, 'add'>;
  /** The bundle changed; must not throw. */
  readonly onChanged: () => void;
  readonly log: {
    info(facts: object, text: string): void;
    warn(facts: object, text: string): void;
    error(facts: object, text: string): void;
  };
  readonly now: () => number;
  /** Runs once after so many milliseconds; the answer cancels it. */
  readonly after: (ms: number, run: () => void) => () => void;
}

/** Why an agent refused the bundle. */
export interface Refusal {
  readonly code: string;
  readonly detail: string;
  readonly hint: string;
  readonly at: number;
}

/** What a node tells the others of an agent. Null: it refuses nothing any more. */
interface Told {
  readonly refusal?: Refusal | null;
  readonly isUnsupported?: boolean;
}

const CAPABILITY = 'trust';
/** 5,000 agents in ten seconds; each costs a read and a signature, beside the other work of Central. */
const AGENTS_PER_TICK = 50;
const TICK_MS = 100;
/** How soon a change is noticed, whatever caused it. */
const LOOK_MS = 1_000;
/** A truststore that was repaired meanwhile is updated without a new connection of the agent. */
const AGAIN_MS = 600_000;
const TELL_MS = 60_000;

export class TrustPublication {
  readonly #options: TrustPublicationOptions;
  readonly #due = new Set<string>();
  /**
   * The roots that a session was sent last: no others are recorded of its answer. An agent that names the root of a
   * rotation that is only prepared, or of a retired one, would count as ready for steps that have not begun.
   */
  readonly #sent = new WeakMap<TrustSession, ReadonlySet<string>>();
  /** By agent. The bundle is sent again at the next welcome, so that a restart loses this for a short time only. */
  readonly #refusals = new Map<string, Refusal>();
  /** By agent: when its refusal was last reported to the other nodes. */
  readonly #toldAt = new Map<string, number>();
  /** Agents that are, or were last, at other nodes with a version that takes no roots. */
  readonly #unsupported = new Set<string>();
  /** Agents whose answer is being written, with the newest one that came meanwhile: one write at a time. */
  readonly #writing = new Map<string, { next: readonly string[] | undefined }>();
  #published: string;
  /**
   * What a session was sent last, perhaps before the look that finds the change: it may be withdrawn before that look.
   */
  #lastSent: string;
  #againAt: number;
  #state: 'new' | 'running' | 'stopped' = 'new';
  #cancelTick: (() => void) | undefined;
  #cancelLook: (() => void) | undefined;

  constructor(options: TrustPublicationOptions) {
    this.#options = options;
    this.#published = options.bundle.thumbprints().join();
    this.#lastSent = this.#published;
    this.#againAt = options.now() + AGAIN_MS;
  }

  start(): void {
    if (this.#state !== 'new') return;
    this.#state = 'running';
    this.#cancelLook = this.#options.after(LOOK_MS, () => this.#look());
  }

  stop(): void {
    this.#state = 'stopped';
    this.#cancelLook?.();
    this.#cancelTick?.();
  }

  /** The session is open: its agent may not have the bundle. */
  onOpened(session: TrustSession): void {
    const { agentId, capabilities } = session.facts;
    if (!capabilities.includes(CAPABILITY)) this.#tellOthers(agentId, { isUnsupported: true });
    else if (this.#unsupported.delete(agentId)) this.#tellOthers(agentId, { isUnsupported: false });
    this.#tell([agentId]);
  }

  /** What other nodes told of their agents. */
  async follow(changes: readonly SharedChange[]): Promise<void> {
    for (const { id, body } of changes) {
      if (body === undefined) continue;
      // Written by `#tellOthers` of another node.
      const { refusal, isUnsupported } = JSON.parse(body) as Told;
      if (refusal === null) this.#refusals.delete(id);
      else if (refusal !== undefined) this.#refusals.set(id, refusal);
      if (isUnsupported === true) this.#unsupported.add(id);
      else if (isUnsupported === false) this.#unsupported.delete(id);
    }
  }

  onFrame(session: TrustSession, frame: Trusted | TrustRefused): void {
    const { log, now } = this.#options;
    const { agentId, agentName } = session.facts;
    if (frame.type === 'trust-refused') {
      const { code, detail, hint } = frame;
      if (this.#refusals.get(agentId)?.code !== code)
        log.warn({ agent: agentId, name: agentName, code, detail }, 'an agent refused the trust bundle');
      const refusal = { code, detail, hint, at: now() };
      this.#refusals.set(agentId, refusal);
      this.#tellRefusal(agentId, refusal);
      return;
    }
    const sent = this.#sent.get(session);
    if (sent === undefined) return;
    if (this.#refusals.delete(agentId) && this.#toldAt.delete(agentId)) this.#tellOthers(agentId, { refusal: null });
    const roots = new Set(frame.thumbprints);
    this.#write(agentId, [...roots.intersection(sent)]);
  }

  #write(agentId: string, thumbprints: readonly string[]): void {
    const running = this.#writing.get(agentId);
    if (running !== undefined) {
      running.next = thumbprints;
      return;
    }
    const writing: { next: readonly string[] | undefined } = { next: undefined };
    this.#writing.set(agentId, writing);
    const { certificates, log } = this.#options;
    certificates
      .recordTrust(agentId, thumbprints)
      .catch((error: unknown) => {
        // The agent gets the bundle again at its next welcome, and answers again. A removed agent has no row.
        log.warn({ agent: agentId, error: textOf(error) }, 'what an agent trusts could not be recorded');
      })
      .finally(() => {
        this.#writing.delete(agentId);
        if (writing.next !== undefined) this.#write(agentId, writing.next);
      });
  }

  /** The refusal of an agent that lacks a root; undefined: none. */
  refusalOf(agentId: string): Refusal | undefined {
    return this.#refusals.get(agentId);
  }

  /** Ids of the agents that are online with a version that takes no roots from Central. */
  async unsupported(): Promise<ReadonlySet<string>> {
    const online = await this.#options.sessions.online();
    const here = online.filter(({ capabilities }) => !capabilities.includes(CAPABILITY)).map(({ agentId }) => agentId);
    return new Set([...this.#unsupported, ...here]);
  }

  /** Looks for a change of the bundle, whatever caused it. */
  #look(): void {
    const { bundle, sessions, onChanged, log, now, after } = this.#options;
    this.#cancelLook = after(LOOK_MS, () => this.#look());
    const thumbprints = bundle.thumbprints();
    const changed = thumbprints.join() !== this.#published;
    const outdated = thumbprints.join() !== this.#lastSent;
    if (!changed && !outdated && now() < this.#againAt) return;
    this.#lastSent = thumbprints.join();
    this.#againAt = now() + AGAIN_MS;
    const agentIds: string[] = [];
    sessions.each(({ facts }) => agentIds.push(facts.agentId));
    this.#tell(agentIds);
    if (!changed) return;
    this.#published = thumbprints.join();
    log.info({ roots: thumbprints }, 'the trust bundle changed and is sent to the agents');
    onChanged();
  }

  #tell(agentIds: readonly string[]): void {
    for (const id of agentIds) this.#due.add(id);
    if (this.#due.size > 0 && this.#state !== 'stopped')
      this.#cancelTick ??= this.#options.after(TICK_MS, () => void this.#tick());
  }

  /** Once a minute, however often the agent refuses. */
  #tellRefusal(agentId: string, refusal: Refusal): void {
    if (refusal.at - (this.#toldAt.get(agentId) ?? -Infinity) < TELL_MS) return;
    this.#toldAt.set(agentId, refusal.at);
    this.#tellOthers(agentId, { refusal });
  }

  #tellOthers(agentId: string, told: Told): void {
    this.#options.notes.add('trust', agentId, told);
  }

  async #tick(): Promise<void> {
    const { bundle, log } = this.#options;
    const agentIds = [...this.#due].slice(0, AGENTS_PER_TICK);
    const [certificates, thumbprints] = [bundle.pem(), bundle.thumbprints()];
    await Promise.all(
      agentIds.map(async (agentId) => {
        this.#due.delete(agentId);
        try {
          await this.#tellOne(agentId, certificates, thumbprints);
        } catch (error) {
          // An error of the store, which ends Central when it cannot continue.
          log.error({ agent: agentId, error: textOf(error) }, 'an agent could not be sent the trust bundle');
        }
      }),
    );
    this.#cancelTick = undefined;
    this.#tell([]);
  }

  async #tellOne(agentId: string, certificates: string, thumbprints: readonly string[]): Promise<void> {
    const { certificates: store, sessions, sign } = this.#options;
    const trusted = await store.trustOf(agentId);
    const session = sessions.of(agentId);
    if (session === undefined || !session.facts.capabilities.includes(CAPABILITY)) return;
    // Another bundle was sent to this session, whose answer may still come: what is recorded is not what it will have.
    const outdated = this.#sent.get(session)?.symmetricDifference(new Set(thumbprints)).size ?? 0;
    if (outdated === 0 && trusted !== null && isSame(trusted, thumbprints)) return;
    this.#sent.set(session, new Set(thumbprints));
    this.#lastSent = thumbprints.join();
    session.sendControl({
      type: 'trust',
      pem: certificates,
      signature: sign(trustTranscript(session.facts.sessionId, certificates)),
    });
  }
}

function isSame(some: readonly string[], others: readonly string[]): boolean {
  return some.length === others.length && others.every((one) => some.includes(one));
}
