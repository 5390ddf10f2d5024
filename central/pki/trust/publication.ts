// Owns that agents trust what they are to trust: after each welcome, and whenever the trust bundle changes, those that have not
// said that they have just that are told again. What they answer is kept: taken, or refused and why. Nobody is waited for: so
// many agents at a time, one pass over the sessions.
import { textOf } from '../../../shared/errors.ts';
import type { CentralControl, Trusted, TrustRefused } from '../../../shared/wire/messages.ts';
import { trustTranscript } from '../../../shared/wire/proof.ts';
import type { CertificateStore } from '../../store/certificate-store.ts';
import type { TrustBundle } from './trust-bundle.ts';

/** What is asked of a session (central/sessions/session.ts). */
export interface TrustSession {
  readonly facts: {
    readonly agentId: string;
    readonly agentName: string;
    readonly sessionId: string;
    readonly capabilities: readonly string[];
  };
  sendControl(frame: CentralControl): void;
}

export interface TrustSessions {
  online(): readonly { readonly agentId: string }[];
  of(agentId: string): TrustSession | undefined;
}

export interface TrustPublicationOptions {
  readonly bundle: Pick<TrustBundle, 'pem' | 'thumbprints'>;
  /** Thumbprints of every root that Central has, the bundle's and others: only of these it believes that an agent has them. */
  readonly known: () => readonly string[];
  readonly certificates: Pick<CertificateStore, 'recordTrust' | 'trustOf'>;
  /** Signs with Central's signing key; base64. */
  readonly sign: (transcript: string) => string;
  readonly sessions: TrustSessions;
  /** The bundle is another one now; must not throw. */
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

/** Why an agent has not taken what it was told. */
export interface Refusal {
  readonly code: string;
  readonly detail: string;
  readonly hint: string;
  readonly at: number;
}

const CAPABILITY = 'trust';
/** 5,000 agents in ten seconds; each costs a read and a signature, beside everything else that goes on. */
const AGENTS_PER_TICK = 50;
const TICK_MS = 100;
/** How soon a change is seen, whoever made it. */
const LOOK_MS = 1_000;
/** A truststore that somebody fixed meanwhile is filled without the agent connecting anew. */
const AGAIN_MS = 600_000;

export class TrustPublication {
  readonly #options: TrustPublicationOptions;
  readonly #due = new Set<string>();
  /** By agent; what is refused still is told again at the next welcome, so that a restart forgets nothing for long. */
  readonly #refusals = new Map<string, Refusal>();
  /** Agents whose answer is being written, with the newest one that came meanwhile: one write at a time. */
  readonly #writing = new Map<string, { next: readonly string[] | undefined }>();
  #published: string;
  #againAt: number;
  #state: 'new' | 'running' | 'stopped' = 'new';
  #cancelTick: (() => void) | undefined;
  #cancelLook: (() => void) | undefined;

  constructor(options: TrustPublicationOptions) {
    this.#options = options;
    this.#published = options.bundle.thumbprints().join();
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

  /** The session stands: its agent may not have what it is to trust. */
  onOpened(session: TrustSession): void {
    this.#tell([session.facts.agentId]);
  }

  onFrame({ facts: { agentId, agentName } }: TrustSession, frame: Trusted | TrustRefused): void {
    const { known, log, now } = this.#options;
    if (frame.type === 'trust-refused') {
      const { code, detail, hint } = frame;
      if (this.#refusals.get(agentId)?.code !== code)
        log.warn({ agent: agentId, name: agentName, code, detail }, 'an agent does not take what it is to trust');
      this.#refusals.set(agentId, { code, detail, hint, at: now() });
      return;
    }
    this.#refusals.delete(agentId);
    const roots = new Set(known());
    this.#write(
      agentId,
      frame.thumbprints.filter((thumbprint) => roots.has(thumbprint)),
    );
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
        // It is told again at its next welcome, and answers again. A removed agent has no row.
        log.warn({ agent: agentId, error: textOf(error) }, 'not noted what an agent trusts');
      })
      .finally(() => {
        this.#writing.delete(agentId);
        if (writing.next !== undefined) this.#write(agentId, writing.next);
      });
  }

  /** What an agent that is online and lacks something has said; undefined: nothing yet. */
  refusalOf(agentId: string): Refusal | undefined {
    return this.#refusals.get(agentId);
  }

  /** False for one of a version that is told nothing; undefined for one that is not online. */
  isTold(agentId: string): boolean | undefined {
    return this.#options.sessions.of(agentId)?.facts.capabilities.includes(CAPABILITY);
  }

  /** Looks for a change of the bundle, whoever made it. */
  #look(): void {
    const { bundle, sessions, onChanged, log, now, after } = this.#options;
    this.#cancelLook = after(LOOK_MS, () => this.#look());
    const thumbprints = bundle.thumbprints();
    const changed = thumbprints.join() !== this.#published;
    if (!changed && now() < this.#againAt) return;
    this.#againAt = now() + AGAIN_MS;
    this.#tell(sessions.online().map(({ agentId }) => agentId));
    if (!changed) return;
    this.#published = thumbprints.join();
    log.info({ roots: thumbprints }, 'agents are told what to trust from now on');
    onChanged();
  }

  #tell(agentIds: readonly string[]): void {
    for (const id of agentIds) this.#due.add(id);
    if (this.#due.size > 0 && this.#state !== 'stopped')
      this.#cancelTick ??= this.#options.after(TICK_MS, () => void this.#tick());
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
          // The store; it ends Central by itself when it cannot go on.
          log.error({ agent: agentId, error: textOf(error) }, 'an agent could not be told what to trust');
        }
      }),
    );
    this.#cancelTick = undefined;
    this.#tell([]);
  }

  async #tellOne(agentId: string, certificates: string, thumbprints: readonly string[]): Promise<void> {
    const { certificates: store, sessions, sign } = this.#options;
    const trusted = await store.trustOf(agentId);
    if (
      trusted !== null &&
      trusted.length === thumbprints.length &&
      thumbprints.every((thumbprint) => trusted.includes(thumbprint))
    )
      return;
    const session = sessions.of(agentId);
    if (session === undefined || !session.facts.capabilities.includes(CAPABILITY)) return;
    session.sendControl({
      type: 'trust',
      pem: certificates,
      signature: sign(trustTranscript(session.facts.sessionId, certificates)),
    });
  }
}
