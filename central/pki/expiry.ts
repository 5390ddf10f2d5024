// Lists every certificate that matters: how many days each has left and where it is used; and warns before each
// expires, once per step. Their users renew them.
import type { X509Certificate } from 'node:crypto';
import { validityOf } from '../../shared/x509/validity.ts';
import type { Metrics } from '../metrics.ts';
import { problemFault, problemOf, type Problem } from '../problems.ts';
import type { CertificateStore, ExpiryWarning, IssuedCertificate } from '../store/certificate-store.ts';
import type { TrustBundle } from './trust/trust-bundle.ts';
import type { Authority } from './authority/authority.ts';
import { subjectOf, thumbprintOf } from './x509/certificate.ts';
import type { GenerationRole } from './authority/generations.ts';
import type { ServerIdentity } from './server/server-identity.ts';
import { chainOf } from './server/slots.ts';
import type { SigningCertificate } from './authority/signing-key.ts';

export const CERTIFICATE_KINDS = ['authority', 'server', 'signing', 'trust', 'agent'] as const;
type CertificateKind = (typeof CERTIFICATE_KINDS)[number];

export interface WatchedCertificate {
  readonly kind: CertificateKind;
  /** current, next, previous, prepared, staged; an agent's name; for trust the beginning of the thumbprint. */
  readonly slot: string;
  readonly subject: string;
  readonly thumbprint: string;
  readonly notBefore: number;
  readonly notAfter: number;
  /** Whole days; negative once it has ended. */
  readonly daysLeft: number;
  /** In words. */
  readonly usedFor: string;
  /** An agent's id. */
  readonly agent: string | null;
}

type CertificateFacts = Pick<WatchedCertificate, 'subject' | 'thumbprint' | 'notBefore' | 'notAfter'>;

interface ExpiryOptions {
  readonly authority: Authority;
  readonly identity: Pick<ServerIdentity, 'slots'>;
  readonly signing: Pick<SigningCertificate, 'current'>;
  readonly trust: TrustBundle;
  readonly certificates: Pick<CertificateStore, 'soonest' | 'countUntil' | 'expiryWarnings' | 'recordExpiryWarnings'>;
  readonly metrics: Metrics;
  readonly log: { warn(facts: object, text: string): void; error(facts: object, text: string): void };
  readonly now: () => number;
}

interface ListRequest {
  readonly kind?: CertificateKind | undefined;
  /** Only what ends within so many days. */
  readonly expiresWithinDays?: number | undefined;
  readonly after?: Place | undefined;
  readonly limit: number;
}

/** Where a page ended: the list is in this order. */
export interface Place {
  readonly notAfter: number;
  readonly thumbprint: string;
}

const DAY_MS = 86_400_000;
/** Days left at which it is said; 0: it has ended. Largest first. */
const WARN_AT_DAYS = [60, 30, 14, 7, 1, 0] as const;
/**
 * A certificate that renews automatically has a third of its life left by then: earlier warnings would be false alarms.
 */
const LIFE_LEFT_TO_WARN = 1 / 3;
/** A warning line names no more agents; the list has all. */
const NAMED_AGENTS = 10;
const PAGE = 1000;
/** Warnings are forgotten after this: longer than the longest time from the first warning to the end, and some. */
const FORGET_MS = 400 * DAY_MS;

/** What an authority of this role is for, in words. */
export const OF_GENERATION: Readonly<Record<GenerationRole, string>> = {
  prepared: 'waits to be published; no agent trusts it yet',
  next: 'is trusted by agents before it signs',
  current: 'signs the certificates of Central and of agents',
  previous: 'signs no more; what it signed is still trusted',
  retired: 'is no longer trusted; its key is kept for a rollback',
};
const OF_SLOT = {
  current: 'shown on the WebSocket (wss) and on HTTPS administration',
  staged: 'waits to be shown',
  previous: 'kept to go back to',
} as const;

export class Expiry {
  readonly #options: ExpiryOptions;
  #problems: Problem[] = [];
  /** Of Central's own certificates, as long as they are in use. */
  readonly #facts = new WeakMap<X509Certificate, CertificateFacts>();

  constructor(options: ExpiryOptions) {
    this.#options = options;
  }

  /** In order of their end; `next` is where the next page begins, null at the end. */
  async list({
    kind,
    expiresWithinDays,
    after,
    limit,
  }: ListRequest): Promise<{ readonly certificates: readonly WatchedCertificate[]; readonly next: Place | null }> {
    const until =
      expiresWithinDays === undefined ? Number.MAX_SAFE_INTEGER : this.#options.now() + expiresWithinDays * DAY_MS;
    const fits = ({ notAfter, thumbprint }: Place): boolean =>
      notAfter <= until &&
      (after === undefined ||
        notAfter > after.notAfter ||
        (notAfter === after.notAfter && thumbprint > after.thumbprint));
    const own = this.#own().filter(
      (certificate) => (kind === undefined || certificate.kind === kind) && fits(certificate),
    );
    // One more than asked for tells whether there is another page.
    const agents =
      kind !== undefined && kind !== 'agent'
        ? []
        : await this.#options.certificates.soonest({
            until,
            limit: limit + 1,
            ...(after === undefined ? {} : { after }),
          });
    const all = [...own, ...agents.map((issued) => this.#ofAgent(issued))].toSorted(
      (a, b) => a.notAfter - b.notAfter || (a.thumbprint < b.thumbprint ? -1 : 1),
    );
    const certificates = all.slice(0, limit);
    const last = certificates.at(-1);
    return {
      certificates,
      next: all.length > limit && last !== undefined ? { notAfter: last.notAfter, thumbprint: last.thumbprint } : null,
    };
  }

  /**
   * Sets the gauges: one line for each certificate of Central's own, and of all agents the soonest end and how many are
   * near it.
   */
  async measure(): Promise<void> {
    const { certificates, metrics, now } = this.#options;
    const { queuegate_certificate_expiry_seconds: expiry, queuegate_agent_certificates: agents } = metrics.instruments;
    const [soonest] = await certificates.soonest({ limit: 1 });
    const counts = await Promise.all(
      WARN_AT_DAYS.map(async (days) => ({ days, count: await certificates.countUntil(now() + days * DAY_MS) })),
    );
    expiry.reset();
    const left = (notAfter: number): number => Math.round((notAfter - now()) / 1000);
    // Two previous generations share a line: the one that ends sooner counts.
    const ends = Map.groupBy(this.#own(), ({ kind, slot }) => `${kind} ${slot}`);
    for (const [{ kind, slot, notAfter }] of [...ends.values()].map(
      (same) => same.toSorted((a, b) => a.notAfter - b.notAfter) as [WatchedCertificate],
    ))
      expiry.set({ kind, slot }, left(notAfter));
    if (soonest !== undefined) expiry.set({ kind: 'agent', slot: 'soonest' }, left(soonest.notAfter));
    for (const { days, count } of counts) agents.set({ expires_within_days: String(days) }, count);
    await this.#findOutOfDate();
  }

  /** What has expired or is not valid yet, as of the last measurement, for the status. */
  problems(): Problem[] {
    return this.#problems;
  }

  async #findOutOfDate(): Promise<void> {
    const { certificates, now } = this.#options;
    const own = this.#inUse().flatMap(({ kind, slot, subject, thumbprint, notBefore, notAfter, usedFor }) => {
      const facts = { kind, slot, subject, usedFor };
      const certificate = { kind: 'certificate', id: thumbprint, name: `${kind} ${slot}` } as const;
      if (notAfter <= now())
        return problemOf(
          problemFault('central_certificate_expired', { ...facts, notAfter: new Date(notAfter).toISOString() }),
          notAfter,
          certificate,
        );
      if (notBefore <= now()) return [];
      return problemOf(
        problemFault('central_certificate_not_yet_valid', { ...facts, notBefore: new Date(notBefore).toISOString() }),
        now(),
        certificate,
      );
    });
    const count = await certificates.countUntil(now());
    const first = count === 0 ? [] : await certificates.soonest({ until: now(), limit: NAMED_AGENTS });
    const names = [...first.map((issued) => this.#ofAgent(issued).slot), ...(count > first.length ? ['...'] : [])];
    const fault = problemFault('agent_certificates_expired', { count, agents: names.join(', ') });
    const [only] = count === 1 ? first : [];
    const subject = only === undefined ? undefined : ({ kind: 'agent', id: only.agentId, name: only.name } as const);
    this.#problems = count === 0 ? own : [...own, problemOf(fault, first[0]?.notAfter ?? now(), subject)];
  }

  /** Without the one that is kept for a rollback. */
  #inUse(): WatchedCertificate[] {
    return this.#own().filter(({ kind, slot }) => kind !== 'server' || slot !== 'previous');
  }

  /**
   * Says what comes near its end, each certificate once at each of the steps; a restart repeats none. Said first, then
   * recorded: where the lead moves in between, the next node says it once more. The other order could lose a warning.
   */
  async warn(): Promise<void> {
    const { certificates, now, log } = this.#options;
    const own = this.#inUse();
    const warnings: ExpiryWarning[] = [];
    for (const { certificate, days } of await this.#due(own)) {
      const { kind, slot, subject, thumbprint, notAfter, daysLeft, usedFor } = certificate;
      const facts = { kind, slot, subject, thumbprint, notAfter: new Date(notAfter).toISOString(), daysLeft, usedFor };
      if (days === 0) log.error(facts, 'a certificate has expired');
      else log.warn(facts, `a certificate expires within ${daysText(days)}`);
      warnings.push({ thumbprint, days, at: now() });
    }
    const ofAgents = new Map<number, string[]>();
    for await (const page of this.#endingAgents()) {
      for (const { certificate, days } of await this.#due(page)) {
        ofAgents.set(days, [...(ofAgents.get(days) ?? []), certificate.slot]);
        warnings.push({ thumbprint: certificate.thumbprint, days, at: now() });
      }
    }
    for (const [days, names] of ofAgents) {
      const facts = { kind: 'agent', count: names.length, agents: names.slice(0, NAMED_AGENTS) };
      if (days === 0) log.error(facts, 'certificates of agents have expired');
      else log.warn(facts, `certificates of agents expire within ${daysText(days)}`);
    }
    if (warnings.length > 0) await certificates.recordExpiryWarnings(warnings, now() - FORGET_MS);
  }

  /** Those of them that have reached a step without a warning yet. */
  async #due(
    watched: readonly WatchedCertificate[],
  ): Promise<{ readonly certificate: WatchedCertificate; readonly days: number }[]> {
    const warned = await this.#options.certificates.expiryWarnings(watched.map(({ thumbprint }) => thumbprint));
    return watched.flatMap((certificate, i) => {
      const days = this.#step(certificate);
      const before = warned[i] ?? Number.POSITIVE_INFINITY;
      return days === undefined || before <= days ? [] : [{ certificate, days }];
    });
  }

  /** The lowest step that has been reached. */
  #step({ notBefore, notAfter }: WatchedCertificate): number | undefined {
    const left = notAfter - this.#options.now();
    const worthSaying = (notAfter - notBefore) * LIFE_LEFT_TO_WARN;
    return WARN_AT_DAYS.findLast((days) => left <= days * DAY_MS && days * DAY_MS <= worthSaying);
  }

  async *#endingAgents(): AsyncGenerator<WatchedCertificate[]> {
    const until = this.#options.now() + WARN_AT_DAYS[0] * DAY_MS;
    for (let after: Place | undefined; ;) {
      const page = await this.#options.certificates.soonest({
        until,
        limit: PAGE,
        ...(after === undefined ? {} : { after }),
      });
      yield page.map((issued) => this.#ofAgent(issued));
      after = page.at(-1);
      if (page.length < PAGE) return;
    }
  }

  /** Each once, where it matters most. */
  #own(): WatchedCertificate[] {
    const { authority, identity, signing, trust } = this.#options;
    const { current, staged, previous } = identity.slots;
    const found = new Map<string, WatchedCertificate>();
    const add = (kind: CertificateKind, slot: string, certificate: X509Certificate, usedFor: string): void => {
      const watched = this.#watch(kind, slot, certificate, usedFor);
      if (!found.has(watched.thumbprint)) found.set(watched.thumbprint, watched);
    };
    // A retired generation is not in use: its expiry does not matter.
    for (const { role, chain } of authority.all().filter((generation) => generation.role !== 'retired'))
      add('authority', role, chain[0], OF_GENERATION[role]);
    for (const [slot, kept] of Object.entries({ current, staged, previous })) {
      if (kept !== undefined) add('server', slot, chainOf(kept)[0], OF_SLOT[slot as keyof typeof OF_SLOT]);
    }
    add('signing', 'current', signing.current(), 'vouches for the key that Central signs welcomes and releases with');
    for (const certificate of trust.certificates())
      add('trust', this.#factsOf(certificate).thumbprint.slice(0, 16), certificate, "a root in agents' truststores");
    // An intermediate that ends takes everything below it along.
    const above = [
      ...authority.generations().flatMap(({ chain }) => chain),
      ...[current, staged].flatMap((slot) => (slot === undefined ? [] : chainOf(slot))),
    ];
    for (const certificate of above)
      add(
        'trust',
        this.#factsOf(certificate).thumbprint.slice(0, 16),
        certificate,
        'is between a root and what Central shows or signs',
      );
    return [...found.values()];
  }

  #watch(kind: CertificateKind, slot: string, certificate: X509Certificate, usedFor: string): WatchedCertificate {
    const facts = this.#factsOf(certificate);
    return { kind, slot, ...facts, daysLeft: this.#daysLeft(facts.notAfter), usedFor, agent: null };
  }

  /** Parsing a certificate takes up to a millisecond of the event loop: once, and not for each list. */
  #factsOf(certificate: X509Certificate): CertificateFacts {
    const known = this.#facts.get(certificate) ?? certificateFacts(certificate);
    this.#facts.set(certificate, known);
    return known;
  }

  #ofAgent({
    agentId,
    name,
    thumbprint,
    notBefore,
    notAfter,
  }: IssuedCertificate & { readonly name: string }): WatchedCertificate {
    return {
      kind: 'agent',
      slot: name,
      subject: `CN=${name}`,
      thumbprint,
      notBefore,
      notAfter,
      daysLeft: this.#daysLeft(notAfter),
      usedFor: `the agent ${name}`,
      agent: agentId,
    };
  }

  #daysLeft(notAfter: number): number {
    return Math.floor((notAfter - this.#options.now()) / DAY_MS);
  }
}

function certificateFacts(certificate: X509Certificate): CertificateFacts {
  const { from, to } = validityOf(certificate);
  return {
    subject: subjectOf(certificate),
    thumbprint: thumbprintOf(certificate),
    notBefore: from.getTime(),
    notAfter: to.getTime(),
  };
}

function daysText(days: number): string {
  return days === 1 ? '1 day' : `${days} days`;
}
