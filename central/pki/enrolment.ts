// Owns how a machine becomes an agent: policy, token, request, registration, certificate, answer. The listeners bring the
// request here; the tokens themselves belong to central/auth/enrolment-tokens.ts, the agents to the store.
import type { X509Certificate } from 'node:crypto';
import { misfit } from '../../shared/wire/json-schema.ts';
import { answerMac, ENROL_WITH_PROOF, ENROL_WITH_TOKEN, pinOf, requestMac, sameMac, type EnrolRequest, type Enrolled } from '../../shared/wire/enrolment.ts';
import { auditEntry } from '../audit.ts';
import type { CertificateStore } from '../store/certificate-store.ts';
import type { AgentStore, AuditStore, EnrolmentTokenRecord } from '../store/store.ts';
import type { TrustBundle } from './agent-trust.ts';
import type { Authority } from './authority.ts';
import { chainPem, readRequest } from './certificate.ts';
import { pkiFault } from './errors.ts';
import { issuedCertificate } from './issued.ts';

/** What enrolment asks of the tokens. */
export interface EnrolmentTokenPort {
  /** The token's record when the text is a token and its secret is right. */
  verify(token: string): Promise<EnrolmentTokenRecord | undefined>;
  get(id: string): Promise<EnrolmentTokenRecord | undefined>;
  /** Makes a token useless that was seen where it must not be. */
  withdraw(id: string, reason: string): Promise<void>;
}

export interface EnrolmentOptions {
  readonly agents: Pick<AgentStore, 'register'>;
  readonly audit: AuditStore;
  readonly tokens: EnrolmentTokenPort;
  readonly authority: Authority;
  /** What agents are to trust, and where is kept what they got. */
  readonly trust: Pick<TrustBundle, 'pem' | 'thumbprints'>;
  readonly certificates: Pick<CertificateStore, 'recordIssued' | 'recordTrust'>;
  /** SubjectPublicKeyInfo of Central's signing key, base64. */
  readonly signingKey: string;
  /** Central's name, as its challenges carry it. */
  readonly central: string;
  /** The live parameters `agents.enrolment` and `agents.certificate.lifetimeDays`. */
  readonly policy: () => { readonly enrolment: 'token' | 'closed'; readonly lifetimeDays: number };
  readonly now: () => number;
}

/** The agent on Central's own host is called so, and nobody else: its record can then be told by it. */
export const CENTRAL_AGENT_NAME = 'central-agent';

export interface EnrolmentConnection {
  readonly over: 'ws' | 'wss';
  readonly address: string;
}

export interface Enrolment {
  /**
   * Registers the agent that sent `body` and answers what it has to keep.
   * Errors: enrolment_closed, enrolment_request_bad, enrolment_refused, enrolment_token_in_the_clear, csr_unreadable,
   * csr_signature, csr_key_type, and those of AgentStore.register.
   */
  enrol(body: unknown, connection: EnrolmentConnection): Promise<Enrolled>;
}

export function createEnrolment(options: EnrolmentOptions): Enrolment {
  const { agents, audit, tokens, authority, trust, certificates, signingKey, central, policy, now } = options;

  /** The token behind the request, its key for proofs, and whether the answer has to be proven. */
  async function tokenOf(request: EnrolRequest, csrDer: Buffer, over: 'ws' | 'wss'): Promise<EnrolmentTokenRecord> {
    if ('token' in request) {
      const record = await tokens.verify(request.token);
      if (over === 'ws') {
        // Whoever listened has it now.
        if (record !== undefined) await tokens.withdraw(record.id, 'it crossed an unencrypted line');
        throw pkiFault('enrolment_token_in_the_clear', {});
      }
      if (record === undefined) throw pkiFault('enrolment_refused', {});
      return record;
    }
    const record = await tokens.get(request.tokenId);
    // An unknown id costs the same HMAC as a known one.
    const key = Buffer.from(record?.hash ?? '00'.repeat(32), 'hex');
    const proven = sameMac(requestMac(key, { tokenId: request.tokenId, name: request.name, id: request.id, csrDer }), request.mac);
    if (record === undefined || !proven) throw pkiFault('enrolment_refused', {});
    return record;
  }

  return {
    async enrol(body, { over, address }) {
      const { enrolment, lifetimeDays } = policy();
      if (enrolment === 'closed') throw pkiFault('enrolment_closed', {});
      const request = readBody(body);
      const csr = await readRequest(request.csr);
      const token = await tokenOf(request, csr.der, over);
      const forName = request.name.toLowerCase();
      if (token.agentName !== null && token.agentName.toLowerCase() !== forName) throw pkiFault('enrolment_refused', {});
      if (forName === CENTRAL_AGENT_NAME && token.agentName === null) throw pkiFault('enrolment_name_reserved', { name: request.name });

      const keyThumbprint = pinOf(csr.spki).slice('sha256:'.length);
      const agent = await agents.register({ id: request.id ?? keyThumbprint, name: request.name, publicKey: csr.spki.toString('base64'), keyThumbprint, now: now() }, token.id);
      const certificate = await authority.issueAgent({ id: agent.id, name: agent.name, publicKey: csr.publicKey, lifetimeDays });
      const [truststore, trusted] = [trust.pem(), trust.thumbprints()];
      await certificates.recordIssued(issuedCertificate(certificate, authority, agent.id, now()));
      await certificates.recordTrust(agent.id, trusted);
      await audit.append(
        auditEntry({ who: `enrolment token ${token.id}`, from: address }, 'agent.enrol', { id: agent.id, name: agent.name, keyThumbprint, certificate: certificate.serialNumber, over }, now()),
      );

      const answer = { id: agent.id, name: agent.name, central, signingKey, certificate: chainPem(withoutRoot(authority.chainOf(certificate))), truststore };
      return 'mac' in request ? { ...answer, mac: answerMac(Buffer.from(token.hash, 'hex'), request.mac, answer) } : answer;
    },
  };
}

/** The certificate and what stands between it and the root. */
export function withoutRoot(chain: readonly X509Certificate[]): readonly X509Certificate[] {
  return chain.length > 1 ? chain.slice(0, -1) : chain;
}

function readBody(body: unknown): EnrolRequest {
  const found = misfit(typeof body === 'object' && body !== null && 'token' in body ? ENROL_WITH_TOKEN : ENROL_WITH_PROOF, body);
  if (found !== undefined) throw pkiFault('enrolment_request_bad', { found });
  // `misfit` has just shown it to be one of the two.
  return body as EnrolRequest;
}

/** The line that an administrator copies to the agent's machine. */
export function enrolmentLine(line: { readonly host: string; readonly port: number; readonly token: string; readonly pin: string }): string {
  const host = line.host.includes(':') && !line.host.startsWith('[') ? `[${line.host}]` : line.host;
  return `queue-agent enrol https://${host}:${line.port} --token ${line.token} --pin ${line.pin}`;
}
