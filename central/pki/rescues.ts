// Owns rescue codes: made by an administrator for one agent, typed on its machine, good once. The agent keeps id, name and
// messages, and gets another key. How code and proof look is shared/wire/rescue.ts.
import { answerMac, pinOf, sameMac, type Enrolled, type EnrolByRescue } from '../../shared/wire/enrolment.ts';
import { makeRescueCode, readRescueCode, rescueKey, rescueMac } from '../../shared/wire/rescue.ts';
import { auditEntry, CENTRAL, type Actor, type Reason } from '../audit.ts';
import type { EnrolmentStore } from '../store/enrolment-store.ts';
import { storeFault } from '../store/errors.ts';
import type { AgentRecord, AgentStore, AuditStore } from '../store/store.ts';
import { readRequest } from './certificate-request.ts';
import type { EnrolmentConnection } from './enrolment.ts';
import { pkiFault } from './errors.ts';
import type { Grants } from './grants.ts';

/** Until tomorrow, when somebody is at the branch. */
export const DEFAULT_RESCUE_HOURS = 24;
export const MAX_RESCUE_HOURS = 7 * 24;
/** A person mistypes; who tries more often guesses. */
export const MAX_WRONG_TRIES = 10;
const HOUR_MS = 3_600_000;

export interface RescuesOptions {
  readonly agents: Pick<AgentStore, 'findByName' | 'get' | 'recordIncident'>;
  readonly enrolments: Pick<EnrolmentStore, 'countWrongRescue' | 'getRescue' | 'putRescue' | 'rescue'>;
  readonly audit: AuditStore;
  readonly grants: Grants;
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
  /** `csrDer`: of the request, not read yet. Errors: rescue_refused, rescue_locked, rescue_other_certificate, rescue_used, rescue_expired, agent_key_known, those of readRequest. */
  rescue(request: EnrolByRescue, csrDer: Buffer, connection: EnrolmentConnection): Promise<Enrolled>;
}

export function createRescues({ agents, enrolments, audit, grants, pin, onRescued, now }: RescuesOptions): Rescues {
  async function countWrong(agent: AgentRecord, address: string): Promise<void> {
    const tries = await enrolments.countWrongRescue(agent.id);
    if (tries !== MAX_WRONG_TRIES) return;
    await audit.append(auditEntry(CENTRAL, 'agent.rescue-locked', { id: agent.id, wrongTries: tries, address }, now()));
    await agents.recordIncident({ at: now(), kind: 'rescue_locked', agentId: agent.id, address, detail: JSON.stringify({ wrongTries: tries }) });
  }

  return {
    async make(agentId, hours, actor, reason) {
      const agent = await agents.get(agentId);
      if (agent === undefined) throw storeFault('agent_unknown', { id: agentId });
      const code = makeRescueCode();
      const expiresAt = now() + hours * HOUR_MS;
      await enrolments.putRescue(agentId, { hash: rescueKey(readRescueCode(code) ?? '').toString('hex'), createdAt: now(), createdBy: actor.who, expiresAt });
      await audit.append(auditEntry(actor, 'agent.rescue-code', { id: agentId, name: agent.name, expiresAt }, now(), reason));
      return { agent, code, expiresAt };
    },

    async rescue(request, csrDer, { over, address, direct }) {
      const agent = await (request.id === undefined ? agents.findByName(request.name) : agents.get(request.id));
      const code = agent === undefined ? undefined : await enrolments.getRescue(agent.id);
      // An unknown agent and one without a code cost the same HMAC as a known one.
      const key = Buffer.from(code?.hash ?? '00'.repeat(32), 'hex');
      const proven = sameMac(rescueMac(key, { name: request.name, id: request.id, pin: request.pin, csrDer }), request.rescue);
      if (agent === undefined || code === undefined || !proven) {
        if (agent !== undefined && code !== undefined && code.expiresAt > now() && code.usedBy === null) await countWrong(agent, address);
        throw pkiFault('rescue_refused', { name: request.name });
      }
      // From here on it is somebody who knows the code: he is told what is wrong.
      if (code.wrongTries >= MAX_WRONG_TRIES) throw pkiFault('rescue_locked', { tries: MAX_WRONG_TRIES });
      if (request.pin === null ? direct : request.pin !== pin()) throw pkiFault('rescue_other_certificate', { found: request.pin ?? 'no pin at all', pin: pin() });

      const csr = readRequest(csrDer);
      const keyThumbprint = pinOf(csr.spki).slice('sha256:'.length);
      const reason = `rescued from ${address}: it has another key`;
      const rescued = await enrolments.rescue({ agentId: agent.id, hash: code.hash, publicKey: csr.spki.toString('base64'), keyThumbprint, now: now(), reason });
      if (agent.keyThumbprint !== keyThumbprint) onRescued(agent.id);
      const { certificate, answer } = await grants.grant(rescued, csr.publicKey);
      const detail = { id: agent.id, name: rescued.name, keyThumbprint, before: agent.keyThumbprint, certificate: certificate.serialNumber, over };
      await audit.append(auditEntry({ who: `rescue code of ${code.createdBy}`, from: address }, 'agent.rescue', detail, now()));
      return { ...answer, mac: answerMac(key, request.rescue, answer) };
    },
  };
}
