// Recovery codes: an administrator creates one for an agent, it is typed on its machine and valid once. The agent keeps
// id, name and messages, and gets another key. shared/wire/recovery.ts defines codes and proofs.
import { answerProof, pinOf, sameProof, type Enrolled, type EnrollByRecovery } from '../../shared/wire/enrollment.ts';
import { makeRecoveryCode, readRecoveryCode, recoveryKey, recoveryProof } from '../../shared/wire/recovery.ts';
import { auditEntry, type Actor } from '../audit.ts';
import type { WrongAttempts } from '../auth/wrong-attempts.ts';
import type { EnrollmentStore, RecoveryCode } from '../store/enrollment-store.ts';
import { stateReason } from '../store/agents/state-reasons.ts';
import { storeFault } from '../store/errors.ts';
import type { AgentRecord, AgentStore } from '../store/agent-store.ts';
import { readRequest } from '../pki/x509/csr.ts';
import type { EnrollmentConnection } from './approvals.ts';
import { pkiFault } from '../pki/errors.ts';
import type { AgentCredentials } from './credentials.ts';

/** Until tomorrow, when somebody is at the branch. */
export const DEFAULT_RECOVERY_CODE_SECONDS = 86_400;
export const MAX_RECOVERY_CODE_SECONDS = 7 * 86_400;

interface RecoveriesOptions {
  readonly agents: Pick<AgentStore, 'findByName' | 'get'>;
  readonly enrollments: Pick<EnrollmentStore, 'getRecoveryCode' | 'putRecoveryCode' | 'recover' | 'removeRecoveryCode'>;
  readonly credentials: AgentCredentials;
  /** What comes of a wrong code before it is answered. */
  readonly attempts: Pick<WrongAttempts, 'slow'>;
  /** `sha256:<hex>` over the key of the top certificate that Central shows now. */
  readonly pin: () => string;
  /** The agent has another key: its session is to be ended. */
  readonly onRecovered: (agentId: string) => void;
  readonly now: () => number;
}

interface NewRecoveryCode {
  readonly agent: AgentRecord;
  /** Shown once; Central keeps its hash. */
  readonly code: string;
  readonly expiresAt: number;
}

export interface Recoveries {
  /** Makes the one code of an agent. Errors: agent_unknown. */
  make(agentId: string, lifetimeSeconds: number, actor: Actor): Promise<NewRecoveryCode>;
  /** The code of an agent, without its text; used and expired ones too. Errors: recovery_code_missing. */
  get(agent: Pick<AgentRecord, 'id' | 'name'>): Promise<RecoveryCode>;
  /** Deletes it, so that it is of no use to anyone. Errors: recovery_code_missing. */
  remove(agent: Pick<AgentRecord, 'id' | 'name'>, actor: Actor): Promise<void>;
  /**
   * `csrDer`: of the request, not read yet. Errors: recovery_code_unknown, too_many_attempts,
   * recovery_certificate_mismatch, recovery_code_used, recovery_code_expired, agent_key_known, agent_key_revoked, those
   * of readRequest.
   */
  recover(request: EnrollByRecovery, csrDer: Buffer, connection: EnrollmentConnection): Promise<Enrolled>;
}

export function createRecoveries({
  agents,
  enrollments,
  credentials,
  attempts,
  pin,
  onRecovered,
  now,
}: RecoveriesOptions): Recoveries {
  return {
    async make(agentId, lifetimeSeconds, actor) {
      const agent = await agents.get(agentId);
      if (agent === undefined) throw storeFault('agent_unknown', { id: agentId });
      const code = makeRecoveryCode();
      const expiresAt = now() + lifetimeSeconds * 1000;
      await enrollments.putRecoveryCode(
        agentId,
        {
          hash: recoveryKey(readRecoveryCode(code) ?? '').toString('hex'),
          createdAt: now(),
          createdBy: actor.who,
          expiresAt,
        },
        auditEntry(actor, 'agents.recovery-code.create', { id: agentId, name: agent.name, expiresAt }, now()),
      );
      return { agent, code, expiresAt };
    },

    async get({ id, name }) {
      const code = await enrollments.getRecoveryCode(id);
      if (code === undefined) throw storeFault('recovery_code_missing', { name });
      return code;
    },

    async remove({ id, name }, actor) {
      const audit = auditEntry(actor, 'agents.recovery-code.delete', { id, name }, now());
      await enrollments.removeRecoveryCode(id, audit);
    },

    async recover(request, csrDer, { over, address, direct }) {
      const agent = await (request.id === undefined ? agents.findByName(request.name) : agents.get(request.id));
      // An unknown agent and one without a code cost the same look-ups and the same HMAC as a known one.
      const code = await enrollments.getRecoveryCode(agent?.id ?? '');
      const key = Buffer.from(code?.hash ?? '00'.repeat(32), 'hex');
      const proven = sameProof(
        recoveryProof(key, { name: request.name, id: request.id, pin: request.pin, csrDer }),
        request.proof,
      );
      if (agent === undefined || code === undefined || !proven) {
        await attempts.slow({ secret: 'recovery-code', address, agentId: isOpen(code, now()) ? agent?.id : undefined });
        throw pkiFault('recovery_code_unknown', { name: request.name });
      }
      // From here on it is somebody who knows the code: the answer says what is wrong.
      if (request.pin === null ? direct : request.pin !== pin())
        throw pkiFault('recovery_certificate_mismatch', { found: request.pin ?? 'no pin at all', pin: pin() });

      const csr = readRequest(csrDer);
      const keyThumbprint = pinOf(csr.spki).slice('sha256:'.length);
      const reason = stateReason('key_recovered', { address });
      const actor = { who: `recovery code of ${code.createdBy}`, from: address };
      const detail = { id: agent.id, name: agent.name, keyThumbprint, before: agent.keyThumbprint, over };
      const recovered = await enrollments.recover(
        {
          agentId: agent.id,
          hash: code.hash,
          publicKey: csr.spki.toString('base64'),
          keyThumbprint,
          now: now(),
          reason,
        },
        auditEntry(actor, 'agents.recover', detail, now()),
      );
      if (agent.keyThumbprint !== keyThumbprint) onRecovered(agent.id);
      const { answer } = await credentials.issue(recovered, csr.publicKey, actor);
      return { ...answer, proof: answerProof(key, request.proof, answer) };
    },
  };
}

/** Could the right code still be used? Only then a guess is a matter of this agent. */
function isOpen(code: RecoveryCode | undefined, now: number): boolean {
  return code !== undefined && code.expiresAt > now && code.usedBy === null;
}
