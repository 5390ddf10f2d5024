// Renews agents' certificates over their sessions: answers requests, asks agents to renew, and detects when one
// certificate is renewed twice. The agent decides when it renews by itself (agent/renewal/renewal.ts); the store keeps
// the records.
import { isCoded, textOf, type CodedError } from '../../shared/errors.ts';
import type { Renew, RenewInstalled } from '../../shared/wire/messages.ts';
import { readPublicKey, renewTranscript, verifyTranscript } from '../../shared/wire/proof.ts';
import type { Metrics } from '../metrics.ts';
import type { Authority } from '../pki/authority/authority.ts';
import { chainPem } from '../pki/x509/certificate.ts';
import { readRequest, requestDer } from '../pki/x509/csr.ts';
import { issuedCertificate, withoutRoot } from '../enrollment/credentials.ts';
import { pkiFault } from '../pki/errors.ts';
import type { CertificateStore } from '../store/certificate-store.ts';
import { storeFault } from '../store/errors.ts';
import type { AgentRecord, AgentStore } from '../store/agent-store.ts';
import type { AgentRate } from '../sessions/limits/agent-rate.ts';
import type { RenewalFrames } from '../sessions/control.ts';
import type { Incidents } from './incidents.ts';
import type { Session } from '../sessions/session.ts';

interface RenewalOptions {
  readonly agents: Pick<AgentStore, 'get'>;
  readonly certificates: Pick<CertificateStore, 'mayRenew' | 'ofAgent' | 'recordInstalled' | 'recordRenewal'>;
  readonly authority: Authority;
  /** Parameter agents.certificate.lifetimeDays. */
  readonly lifetimeDays: () => number;
  /** How many agents are online: requests to renew are spread accordingly. */
  readonly online: () => Promise<number>;
  /** Requests of each agent. */
  readonly rate: AgentRate;
  readonly incidents: Pick<Incidents, 'record'>;
  readonly metrics: Metrics;
  readonly log: {
    debug(facts: object, text: string): void;
    info(facts: object, text: string): void;
    warn(facts: object, text: string): void;
  };
  readonly now: () => number;
}

/** The capability of agents that renew. */
const CAPABILITY = 'renewal';
/** Each renewal costs two signatures and a commit. */
const RENEWALS_PER_SECOND = 50;
/**
 * Agents renew at 45 per cent of a certificate's life at the earliest (agent/renewal/renewal.ts); later renewals need
 * no other bound.
 */
const DUE_SHARE = 0.4;
/** Valid certificates of one agent. Each may be listed in the revocation list until it expires. */
const MAX_CERTIFICATES = 32;

export class Renewals implements RenewalFrames {
  readonly #options: RenewalOptions;
  /** Sessions with an unanswered request: an agent has one at a time. */
  readonly #busy = new WeakSet<Session>();
  /** Sessions to ask for a renewal: one count of the agents that are online serves all that come while it runs. */
  readonly #toAsk = new Set<Session>();
  /** Certificates whose use within the grace period was logged. */
  readonly #late = new Set<string>();

  constructor(options: RenewalOptions) {
    this.#options = options;
  }

  onOpened(session: Session): void {
    const { certificate } = session.facts;
    if (certificate !== null && certificate.notAfter <= this.#options.now())
      this.#tellLate(session, certificate.thumbprint, certificate.notAfter);
    // One of another generation, or none on record: the agent is to get one of the authority that signs now. One that
    // is not valid yet was issued while the clock was ahead. Requested after each welcome until then.
    const isEarly = certificate !== null && certificate.notBefore > this.#options.now();
    if (isEarly || certificate?.issuer !== this.#options.authority.current().id) this.askToRenew(session);
  }

  onFrame(session: Session, frame: Renew | RenewInstalled): void {
    if (frame.type === 'renew-installed') return this.#installed(session, frame);
    if (this.#busy.has(session)) return;
    this.#busy.add(session);
    this.#renew(session, frame)
      .catch((error: unknown) => this.#refuse(session, error))
      .finally(() => this.#busy.delete(session));
  }

  /** Another generation signs now: requests a renewal from this agent. */
  askToRenew(session: Session): void {
    if (!session.facts.capabilities.includes(CAPABILITY)) return;
    this.#toAsk.add(session);
    if (this.#toAsk.size === 1) void this.#askCollected();
  }

  async #askCollected(): Promise<void> {
    const { online, log } = this.#options;
    const count = await online().catch((error: unknown) => {
      log.warn({ error: textOf(error) }, 'agents were not asked to renew: they are asked after their next welcome');
      return undefined;
    });
    const sessions = [...this.#toAsk];
    this.#toAsk.clear();
    if (count === undefined) return;
    const spreadSeconds = Math.ceil(count / RENEWALS_PER_SECOND);
    for (const session of sessions) session.sendControl({ type: 'renew-now', spreadSeconds });
  }

  async #renew(session: Session, { csr: pem, thumbprint: renews, signature }: Renew): Promise<void> {
    const { authority, agents, certificates, now, log } = this.#options;
    const { agentId, address, epoch } = session.facts;
    if (!this.#options.rate.take(agentId))
      throw pkiFault('renewal_rate', { seconds: this.#options.rate.secondsUntilAllowed(agentId) });
    const agent = await agents.get(agentId);
    if (agent === undefined) throw storeFault('agent_unknown', { id: agentId });
    const isDue = this.#isDue(agent);
    await this.#assertMayRenew(agent, renews, isDue);
    const csrDer = requestDer(pem);
    const current = readPublicKey(agent.publicKey);
    if (current === undefined || !verifyTranscript(renewTranscript(csrDer, renews), signature, current))
      throw pkiFault('renewal_signature', {});
    const csr = readRequest(csrDer);
    const made = await authority.issueAgent({
      id: agentId,
      name: agent.name,
      publicKey: csr.publicKey,
      lifetimeDays: this.#options.lifetimeDays(),
    });
    const renewal = await certificates.recordRenewal({
      certificate: issuedCertificate(made, authority, agentId, now()),
      epoch,
      renews,
      publicKey: csr.spki.toString('base64'),
      chain: chainPem(withoutRoot(authority.chainOf(made))),
      address,
    });
    if (renewal.outcome === 'twice') {
      this.#options.incidents.record({
        kind: 'certificate_renewed_twice',
        agentId,
        address,
        at: now(),
        detail: { certificate: renews, addresses: [renewal.address, address] },
      });
      throw pkiFault('certificate_renewed_twice', { thumbprint: renews, address: renewal.address ?? 'unknown' });
    }
    if (isDue && renewal.outcome === 'issued') this.#options.rate.giveBack(agentId);
    this.#count(renewal.outcome);
    log.info({ agent: agentId, certificate: renews, outcome: renewal.outcome, address }, 'certificate renewed');
    session.sendControl({ type: 'renewed', pem: renewal.chain });
  }

  /**
   * The certificate on record expires soon or is not valid yet, or another authority signs now. The next certificate
   * ends both, so no other bound is needed.
   */
  #isDue({ certificate }: AgentRecord): boolean {
    if (certificate === null) return false;
    const { notBefore, notAfter, issuer } = certificate;
    const now = this.#options.now();
    return (
      issuer !== this.#options.authority.current().id ||
      notBefore > now ||
      now >= notBefore + (notAfter - notBefore) * DUE_SHARE
    );
  }

  /**
   * Only a certificate on record is renewed, within the bound above. An unknown one is accepted when none is on record,
   * and when the one on record is due: this Central was restored from an older backup, and would otherwise lock the
   * agent out when it expires.
   */
  async #assertMayRenew({ id, certificate, next }: AgentRecord, renews: string, isDue: boolean): Promise<void> {
    const { certificates, now } = this.#options;
    const unknownIsTaken = next === null && (certificate === null || isDue);
    if (!unknownIsTaken && !(await certificates.mayRenew(id, renews)))
      throw pkiFault('renewal_certificate_unknown', { thumbprint: renews });
    const inDate = (await certificates.ofAgent(id, MAX_CERTIFICATES)).filter(({ notAfter }) => notAfter > now());
    if (!isDue && inDate.length >= MAX_CERTIFICATES)
      throw pkiFault('renewal_rate', {
        seconds: Math.ceil((Math.min(...inDate.map(({ notAfter }) => notAfter)) - now()) / 1000),
      });
  }

  #refuse(session: Session, error: unknown): void {
    const { log } = this.#options;
    const { agentId: agent, address } = session.facts;
    // A session that was replaced meanwhile gets the answer on its new connection.
    if (isCoded(error, 'stale_epoch')) return;
    this.#count('refused');
    const fault: CodedError = isCoded(error) ? error : pkiFault('renewal_failed', {}, error);
    log[fault.code !== 'renewal_rate' || this.#options.rate.isNews(agent) ? 'warn' : 'debug'](
      { agent, address, code: fault.code, error: textOf(error) },
      'a renewal was refused',
    );
    session.sendControl({
      type: 'renew-refused',
      code: fault.code,
      detail: fault.message.slice(0, 1024),
      hint: fault.hint.slice(0, 1024),
    });
  }

  #installed(session: Session, { thumbprint }: RenewInstalled): void {
    const { certificates, log, now } = this.#options;
    certificates
      .recordInstalled(session.facts.agentId, thumbprint, now())
      .catch((error: unknown) =>
        log.warn({ agent: session.facts.agentId, error: textOf(error) }, 'not noted that a certificate is installed'),
      );
  }

  #tellLate(session: Session, thumbprint: string, notAfter: number): void {
    if (this.#late.has(thumbprint)) return;
    this.#late.add(thumbprint);
    const { agentId, address } = session.facts;
    const detail = { certificate: thumbprint, expired: new Date(notAfter).toISOString() };
    this.#options.incidents.record({
      kind: 'certificate_expired_in_grace',
      agentId,
      address,
      at: this.#options.now(),
      detail,
    });
    this.#options.log.warn(
      { agent: agentId, address, ...detail },
      'an agent came with an expired certificate, within the grace: it renews it now',
    );
  }

  #count(outcome: 'issued' | 'repeated' | 'refused'): void {
    this.#options.metrics.instruments.queuegate_certificate_renewals_total.inc({ outcome });
  }
}
