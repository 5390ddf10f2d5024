// Owns rescue codes: made by an administrator for one agent, typed on its machine, good once. The agent keeps id, name and
// messages, and gets another key. How code and proof look is shared/wire/recovery.ts.
import { answerMac, pinOf, sameMac, type Enrolled, type EnrollByRescue } from '../../shared/wire/enrollment.ts';
import { makeRescueCode, readRescueCode, rescueKey, rescueMac } from '../../shared/wire/recovery.ts';
import { auditEntry, type Actor, type Reason } from '../audit.ts';
import type { WrongAttempts } from '../auth/wrong-attempts.ts';
import type { EnrollmentStore, RescueCode } from '../store/enrollment-store.ts';
import { storeFault } from '../store/errors.ts';
import type { AgentRecord, AgentStore } from '../store/agent-store.ts';
import type { AuditStore } from '../store/audit-store.ts';
import { readRequest } from '../pki/x509/csr.ts';
import type { EnrollmentConnection } from './enrollment.ts';
import { pkiFault } from '../pki/errors.ts';
import type { AgentCredentials } from './credentials.ts';

/** Until tomorrow, when somebody is at the branch. */
export const DEFAULT_RESCUE_HOURS = 24;
export const MAX_RESCUE_HOURS = 7 * 24;
const HOUR_MS = 3_600_000;

export interface RescuesOptions {
  readonly agents: Pick<AgentStore, 'findByName' | 'get'>;
  readonly enrollments: Pick<EnrollmentStore, 'getRescue' | 'putRescue' | 'rescue'>;
  readonly audit: AuditStore;
  readonly credentials: AgentCredentials;
  /** What comes of a wrong code before it is answered. */
  readonly attempts: WrongAttempts;
  /** `sha256:<hex>` over the key of the top certificate that Central shows now. */
  readonly pin: () => string;
  /** The agent has another key: its session is to be ended. */
  readonly onRescued: (agentId: string) => void;
  readonly now: () => number;
}

export interface MadeRescue {
  readonly agent: AgentRecord;
  /** Shown once; Central keeps its hash. */
  readonly code: string;
  readonly expiresAt: number;
}

export interface Rescues {
  /** Makes the one code of an agent. Errors: agent_unknown. */
  make(agentId: string, hours: number, actor: Actor, reason: Reason): Promise<MadeRescue>;
  /**
   * `csrDer`: of the request, not read yet. Errors: rescue_refused, too_many_attempts, rescue_other_certificate, rescue_used,
   * rescue_expired, agent_key_known, agent_key_revoked, those of readRequest.
   */
  rescue(request: EnrollByRescue, csrDer: Buffer, connection: EnrollmentConnection): Promise<Enrolled>;
}

export function createRescues({
  agents,
  enrollments,
  audit,
  credentials,
  attempts,
  pin,
  onRescued,
  now,
}: RescuesOptions): Rescues {
  return {
    async make(agentId, hours, actor, reason) {
      const agent = await agents.get(agentId);
      if (agent === undefined) throw storeFault('agent_unknown', { id: agentId });
      const code = makeRescueCode();
      const expiresAt = now() + hours * HOUR_MS;
      await enrollments.putRescue(agentId, {
        hash: rescueKey(readRescueCode(code) ?? '').toString('hex'),
        createdAt: now(),
        createdBy: actor.who,
        expiresAt,
      });
      await audit.append(
        auditEntry(actor, 'agent.rescue-code', { id: agentId, name: agent.name, expiresAt }, now(), reason),
      );
      return { agent, code, expiresAt };
    },

    async rescue(request, csrDer, { over, address, direct }) {
      const agent = await (request.id === undefined ? agents.findByName(request.name) : agents.get(request.id));
      // An unknown agent and one without a code cost the same look-ups and the same HMAC as a known one.
      const code = await enrollments.getRescue(agent?.id ?? '');
      const key = Buffer.from(code?.hash ?? '00'.repeat(32), 'hex');
      const proven = sameMac(
        rescueMac(key, { name: request.name, id: request.id, pin: request.pin, csrDer }),
        request.rescue,
      );
      if (agent === undefined || code === undefined || !proven) {
        await attempts.slow({ secret: 'recovery-code', address, agentId: isOpen(code, now()) ? agent?.id : undefined });
        throw pkiFault('rescue_refused', { name: request.name });
      }
      // From here on it is somebody who knows the code: the answer says what is wrong.
      if (request.pin === null ? direct : request.pin !== pin())
        throw pkiFault('rescue_other_certificate', { found: request.pin ?? 'no pin at all', pin: pin() });

      const csr = readRequest(csrDer);
      const keyThumbprint = pinOf(csr.spki).slice('sha256:'.length);
      const reason = `rescued from ${address}: it has another key`;
      const rescued = await enrollments.rescue({
        agentId: agent.id,
        hash: code.hash,
        publicKey: csr.spki.toString('base64'),
        keyThumbprint,
        now: now(),
        reason,
      });
      if (agent.keyThumbprint !== keyThumbprint) onRescued(agent.id);
      const { certificate, answer } = await credentials.issue(rescued, csr.publicKey);
      const detail = {
        id: agent.id,
        name: rescued.name,
        keyThumbprint,
        before: agent.keyThumbprint,
        certificate: certificate.serialNumber,
        over,
      };
      await audit.append(
        auditEntry({ who: `rescue code of ${code.createdBy}`, from: address }, 'agent.rescue', detail, now()),
      );
      return { ...answer, mac: answerMac(key, request.rescue, answer) };
    },
  };
}

/** Could the right code still be used? Only then a guess is a matter of this agent. */
function isOpen(code: RescueCode | undefined, now: number): boolean {
  return code !== undefined && code.expiresAt > now && code.usedBy === null;
}
