// Enrolls machines as agents: checks policy, token and request, registers the agent, and answers with its credentials.
// The listeners pass requests in. Requests without a token go on to approvals.ts, recovery codes to recovery.ts; tokens
// are managed in tokens.ts.
import { isCoded } from '../../shared/errors.ts';
import { validate } from '../../shared/wire/json-schema.ts';
import {
  answerProof,
  ENROLL_WITHOUT_TOKEN,
  ENROLL_BY_RECOVERY,
  ENROLL_WITH_PROOF,
  ENROLL_WITH_TOKEN,
  pinOf,
  requestProof,
  sameProof,
  type Enrolled,
  type EnrollmentPending,
  type EnrollRequest,
  type EnrollWithProof,
  type EnrollWithToken,
} from '../../shared/wire/enrollment.ts';
import { auditEntry } from '../audit.ts';
import type { WrongAttempts } from '../auth/wrong-attempts.ts';
import { CENTRAL_AGENT_NAME } from '../store/agent-names.ts';
import type { AgentStore } from '../store/agent-store.ts';
import type { EnrollmentTokenRecord } from '../store/token-store.ts';
import type { Approvals, EnrollmentConnection } from './approvals.ts';
import { readRequest, requestDer } from '../pki/x509/csr.ts';
import { pkiFault } from '../pki/errors.ts';
import type { AgentCredentials } from './credentials.ts';
import type { Recoveries } from './recovery.ts';

/** What enrollment needs of the tokens. */
interface EnrollmentTokenPort {
  /** The token's record when the text is a token and its secret is right. */
  verify(token: string): Promise<EnrollmentTokenRecord | undefined>;
  get(id: string): Promise<EnrollmentTokenRecord | undefined>;
  /** Invalidates a token that was sent where others can read it. */
  withdraw(id: string, reason: string): Promise<void>;
}

export type EnrollmentPolicy = 'token' | 'approve' | 'closed';

interface EnrollmentOptions {
  readonly agents: Pick<AgentStore, 'register'>;
  readonly tokens: EnrollmentTokenPort;
  readonly credentials: AgentCredentials;
  readonly approvals: Pick<Approvals, 'submit'>;
  readonly recoveries: Pick<Recoveries, 'recover'>;
  /** Delays the answer to a wrong token or proof. */
  readonly attempts: Pick<WrongAttempts, 'slow'>;
  /** The live parameter `agents.enrollment`. */
  readonly policy: () => EnrollmentPolicy;
  readonly now: () => number;
}

export interface Enrollment {
  /**
   * Registers the agent that sent `body` and answers with its credentials, or that an administrator has to accept it.
   * Errors: too_many_attempts, enrollment_closed, enrollment_request_bad, enrollment_refused,
   * enrollment_token_in_the_clear, enrollment_token_needed, csr_unreadable, csr_signature, csr_key_type, those of
   * AgentStore.register, of Approvals.submit and of Recoveries.recover.
   */
  enroll(body: unknown, connection: EnrollmentConnection): Promise<Enrolled | EnrollmentPending>;
}

export function createEnrollment(options: EnrollmentOptions): Enrollment {
  const { approvals, recoveries, policy } = options;
  const withToken = enrollmentWithToken(options);
  return {
    async enroll(body, connection) {
      const enrollment = policy();
      // A recovery adds no new agent, and an administrator created its code.
      if (enrollment === 'closed' && !isRecovery(body)) throw pkiFault('enrollment_closed', {});
      const request = readBody(body);
      const hasToken = 'token' in request || 'tokenId' in request;
      if (!hasToken && !('pin' in request) && enrollment !== 'approve') throw pkiFault('enrollment_token_needed', {});
      // Nothing is computed with the certificate request before its sender has shown that they may send one.
      if ('pin' in request) return await recoveries.recover(request, requestDer(request.csr), connection);
      if ('token' in request || 'tokenId' in request) return await withToken(request, connection);
      if (isForCentralAgent(request)) throw pkiFault('enrollment_name_reserved', { name: request.name });
      return await approvals.submit(request, readRequest(request.csr), connection);
    },
  };
}

type EnrollByToken = EnrollWithToken | EnrollWithProof;

function enrollmentWithToken(options: EnrollmentOptions) {
  const { agents, credentials, now } = options;
  const { tokenOf, refuse, unlessSpent } = tokenChecks(options);

  return async (request: EnrollByToken, connection: EnrollmentConnection): Promise<Enrolled> => {
    const { over, address } = connection;
    const token = await tokenOf(request, connection);
    if (token.agentName !== null && token.agentName.toLowerCase() !== request.name.toLowerCase())
      return await refuse(address);
    if (isForCentralAgent(request) && token.agentName === null)
      throw pkiFault('enrollment_name_reserved', { name: request.name });

    const csr = readRequest(request.csr);
    const keyThumbprint = pinOf(csr.spki).slice('sha256:'.length);
    const actor = { who: `enrollment token ${token.id}`, from: address };
    const id = request.id ?? keyThumbprint;
    const agent = await unlessSpent(
      address,
      agents.register(
        {
          id,
          name: request.name,
          publicKey: csr.spki.toString('base64'),
          keyThumbprint,
          now: now(),
        },
        token.id,
        auditEntry(actor, 'agents.enroll', { id, name: request.name, keyThumbprint, over }, now()),
      ),
    );
    const { answer } = await credentials.issue(agent, csr.publicKey, actor);
    return 'proof' in request
      ? { ...answer, proof: answerProof(Buffer.from(token.hash, 'hex'), request.proof, answer) }
      : answer;
  };
}

function tokenChecks({ tokens, attempts }: Pick<EnrollmentOptions, 'tokens' | 'attempts'>) {
  /** One answer for every fault of a token, so that it reveals nothing about the tokens that exist. */
  async function refuse(address: string): Promise<never> {
    await attempts.slow({ secret: 'enrollment-token', address });
    throw pkiFault('enrollment_refused', {});
  }

  /** The token behind the request. */
  async function tokenOf(
    request: EnrollByToken,
    { over, address }: EnrollmentConnection,
  ): Promise<EnrollmentTokenRecord> {
    if ('token' in request) {
      const record = await tokens.verify(request.token);
      if (over === 'ws') {
        // Anyone who listened has it now.
        if (record !== undefined) await tokens.withdraw(record.id, 'it crossed an unencrypted line');
        else await attempts.slow({ secret: 'enrollment-token', address });
        throw pkiFault('enrollment_token_in_the_clear', {});
      }
      return record ?? (await refuse(address));
    }
    // The proof covers the request's bytes, which cost no more than their length.
    const csrDer = requestDer(request.csr);
    const record = await tokens.get(request.tokenId);
    // An unknown id costs the same HMAC as a known one.
    const key = Buffer.from(record?.hash ?? '00'.repeat(32), 'hex');
    const proven = sameProof(
      requestProof(key, { tokenId: request.tokenId, name: request.name, id: request.id, csrDer }),
      request.proof,
    );
    return record === undefined || !proven ? await refuse(address) : record;
  }

  /** A used-up or expired token counts as a wrong one: each attempt costs a transaction. */
  async function unlessSpent<T>(address: string, registered: Promise<T>): Promise<T> {
    try {
      return await registered;
    } catch (error) {
      if (isCoded(error, 'token_used', 'token_expired', 'token_unknown'))
        await attempts.slow({ secret: 'enrollment-token', address });
      throw error;
    }
  }

  return { tokenOf, refuse, unlessSpent };
}

function isForCentralAgent({ name }: { readonly name: string }): boolean {
  return name.toLowerCase() === CENTRAL_AGENT_NAME;
}

function isRecovery(body: unknown): boolean {
  return typeof body === 'object' && body !== null && 'pin' in body;
}

function readBody(body: unknown): EnrollRequest {
  const found = validate(schemaOf(body), body);
  if (found !== undefined) throw pkiFault('enrollment_request_bad', { found });
  // `validate` has just checked it against the schema that its members select.
  return body as EnrollRequest;
}

function schemaOf(body: unknown) {
  if (typeof body !== 'object' || body === null) return ENROLL_WITH_TOKEN;
  if (isRecovery(body)) return ENROLL_BY_RECOVERY;
  if ('token' in body) return ENROLL_WITH_TOKEN;
  return 'tokenId' in body || 'proof' in body ? ENROLL_WITH_PROOF : ENROLL_WITHOUT_TOKEN;
}
