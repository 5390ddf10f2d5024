// Issues the certificates of agents' ports for devices, over their sessions: for the names that they may have, by the
// authority that signs now. They are on record as the agent's, and are revoked with it. When to ask is the agent's
// (agent/local-api/devices/certificate.ts).
import { isCoded, textOf, type CodedError } from '../../../shared/errors.ts';
import type { DeviceRequest } from '../../../shared/wire/devices/frames.ts';
import { auditEntry } from '../../audit.ts';
import { issuedCertificate, withoutRoot } from '../../enrollment/credentials.ts';
import type { Metrics } from '../../metrics.ts';
import type { Authority } from '../../pki/authority/authority.ts';
import { pkiFault } from '../../pki/errors.ts';
import { chainPem, commonName } from '../../pki/x509/certificate.ts';
import { readRequest } from '../../pki/x509/csr.ts';
import type { AgentRate } from '../../sessions/limits/agent-rate.ts';
import type { Session } from '../../sessions/session.ts';
import type { AgentStore } from '../../store/agent-store.ts';
import type { CertificateStore } from '../../store/certificate-store.ts';
import { storeFault } from '../../store/errors.ts';
import { deviceNames } from './names.ts';

interface DeviceCertificatesOptions {
  readonly agents: Pick<AgentStore, 'get'>;
  readonly certificates: Pick<CertificateStore, 'ofAgent' | 'recordDevice'>;
  readonly authority: Pick<Authority, 'chainOf' | 'issueServer' | 'shownChainOf'>;
  /** Host names and addresses in Central's own certificates: the current one, the one before, and those to come. */
  readonly centralNames: () => readonly string[];
  /** Parameter agents.certificate.lifetimeDays. */
  readonly lifetimeDays: () => number;
  /** Requests of each agent. */
  readonly rate: AgentRate;
  readonly metrics: Metrics;
  readonly log: {
    debug(facts: object, text: string): void;
    info(facts: object, text: string): void;
    warn(facts: object, text: string): void;
  };
  readonly now: () => number;
}

/** Of one agent, its own included: each may be listed in the revocation list until it expires. */
const MAX_CERTIFICATES = 32;

type Facts = Pick<Session['facts'], 'address' | 'agentId' | 'epoch'>;
/** What is used of a session. */
interface Requester {
  readonly facts: Facts;
  sendControl: Session['sendControl'];
}

export class DeviceCertificates {
  readonly #options: DeviceCertificatesOptions;

  constructor(options: DeviceCertificatesOptions) {
    this.#options = options;
  }

  /** One at a time for each session (central/sessions/control-ledger.ts). */
  onFrame(session: Requester, frame: DeviceRequest): void {
    this.#issue(session, frame).catch((error: unknown) => this.#refuse(session, error));
  }

  async #issue(session: Requester, { csr, names: asked }: DeviceRequest): Promise<void> {
    const { agents, authority, certificates, rate, metrics, log, now } = this.#options;
    const { agentId: id, address, epoch } = session.facts;
    if (!rate.take(id)) throw pkiFault('device_rate', { seconds: rate.secondsUntilAllowed(id) });
    const agent = await agents.get(id);
    if (agent === undefined) throw storeFault('agent_unknown', { id });
    const valid = (await certificates.ofAgent(id, MAX_CERTIFICATES)).filter(({ notAfter }) => notAfter > now());
    if (valid.length >= MAX_CERTIFICATES)
      throw pkiFault('device_rate', {
        seconds: Math.ceil((Math.min(...valid.map(({ notAfter }) => notAfter)) - now()) / 1000),
      });
    const names = deviceNames(asked, this.#options.centralNames());
    const { publicKey } = readRequest(csr);
    const made = await authority.issueServer({
      subject: commonName(agent.name),
      names,
      publicKey,
      lifetimeDays: this.#options.lifetimeDays(),
    });
    const actor = { who: id, from: address };
    const detail = { id, name: agent.name, names, certificate: made.serialNumber };
    await certificates.recordDevice(
      issuedCertificate(made, authority, id, now()),
      epoch,
      auditEntry(actor, 'certificates.issue-device', detail, now()),
    );
    metrics.instruments.queuegate_device_certificates_total.inc({ outcome: 'issued' });
    log.info({ agent: id, names, address }, 'a certificate for a port for devices was issued');
    session.sendControl({ type: 'device-issued', pem: chainPem(withoutRoot(authority.shownChainOf(made))) });
  }

  #refuse(session: Requester, error: unknown): void {
    const { metrics, rate, log } = this.#options;
    const { agentId: agent, address } = session.facts;
    // A session that was replaced meanwhile asks again on its new connection.
    if (isCoded(error, 'stale_epoch')) return;
    metrics.instruments.queuegate_device_certificates_total.inc({ outcome: 'refused' });
    const fault: CodedError = isCoded(error) ? error : pkiFault('device_failed', {}, error);
    log[fault.code !== 'device_rate' || rate.isNews(agent) ? 'warn' : 'debug'](
      { agent, address, code: fault.code, error: textOf(error) },
      'a certificate for a port for devices was refused',
    );
    session.sendControl({
      type: 'device-refused',
      code: fault.code,
      detail: fault.message.slice(0, 1024),
      hint: fault.hint.slice(0, 1024),
    });
  }
}
