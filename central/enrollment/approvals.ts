// Owns machines that ask to become agents without a token (policy approve): what waits, its bounds, and the administrator's word.
// He compares the thumbprint of the key with the one that the machine printed; nothing else of the request is proven.
import { pinOf, type EnrollByAsking, type Enrolled, type EnrollmentPending } from '../../shared/wire/enrollment.ts';
import { auditEntry, type Actor, type Reason } from '../audit.ts';
import type {
  AskedEnrollment,
  AskedLimits,
  Asking,
  AskedState,
  EnrollmentStore,
  PendingBlock,
} from '../store/enrollment-store.ts';
import { storeFault } from '../store/errors.ts';
import type { AgentRecord, AgentStore } from '../store/agent-store.ts';
import type { AuditStore } from '../store/audit-store.ts';
import { readRequest, type ReadRequest } from '../pki/x509/csr.ts';
import type { EnrollmentConnection } from './enrollment.ts';
import { pkiFault } from '../pki/errors.ts';
import type { Grants } from './credentials.ts';

/** A branch that is rolled out by hand asks some dozens of times in a day; a thousand strangers are a list that nobody reads. */
export const MAX_PENDING = 1000;
/** Several machines behind one address translation. When all places are taken, the block that holds the most gives way. */
export const MAX_PENDING_OF_BLOCK = 50;
/** A machine that waits asks every few seconds; when all places are taken, one that was silent for this long gives way. */
const SILENT_MS = 60_000;
/** One that asks again before this is answered without a write. */
const REFRESH_MS = 30_000;
/** Blocks that are shown with their counts. */
const SHOWN_BLOCKS = 10;
const DAY_MS = 86_400_000;
/** A machine that was accepted on Friday may ask again on Monday. */
const ACCEPTED_DAYS = 7;
/** Soon enough for the person who waits at the machine. */
const RETRY_SECONDS = 5;
/** Of a thumbprint: what somebody types. */
export const MIN_PREFIX = 8;

export interface ApprovalsOptions {
  readonly agents: Pick<AgentStore, 'findByKey'>;
  readonly enrollments: EnrollmentStore;
  readonly audit: AuditStore;
  readonly grants: Grants;
  /** What shares one bound with an address (central/auth/address-rules.ts). */
  readonly blockOf: (address: string) => string;
  /** Who can have many blocks (central/auth/wrong-attempts.ts). */
  readonly siteOf: (block: string) => string;
  /** For metrics: how many wait. */
  readonly onPending: (count: number) => void;
  readonly now: () => number;
}

export interface PendingCounts {
  readonly pending: number;
  readonly most: number;
  readonly blocks: readonly PendingBlock[];
}

export interface Approvals {
  /** Errors: enrollment_request_bad, enrollment_rejected, enrollments_full, enrollments_full_of_address. */
  ask(
    request: EnrollByAsking,
    csr: ReadRequest,
    connection: EnrollmentConnection,
  ): Promise<Enrolled | EnrollmentPending>;
  list(page: {
    readonly state: AskedState;
    readonly after?: string | undefined;
    readonly limit: number;
  }): Promise<AskedEnrollment[]>;
  /** `thumbprint`: the whole, or the beginning of the only one that begins so. Errors: enrollment_not_asked, enrollment_ambiguous, those of EnrollmentStore.accept. */
  accept(thumbprint: string, actor: Actor, reason: Reason): Promise<AgentRecord>;
  /** Errors: enrollment_not_asked, enrollment_ambiguous. */
  reject(thumbprint: string, actor: Actor, reason: Reason): Promise<AskedEnrollment>;
  /** How many wait, how many may, and from where the most come. */
  counts(): Promise<PendingCounts>;
  /** Forgets what is old, and counts the rest. */
  measure(): Promise<void>;
}

export function createApprovals({
  agents,
  enrollments,
  audit,
  grants,
  blockOf,
  siteOf,
  onPending,
  now,
}: ApprovalsOptions): Approvals {
  const limits = (): AskedLimits => ({
    pendingBefore: now() - DAY_MS,
    rejectedBefore: now() - DAY_MS,
    acceptedBefore: now() - ACCEPTED_DAYS * DAY_MS,
  });

  async function measure(): Promise<void> {
    await enrollments.forgetAsked(limits());
    onPending(await enrollments.countPending());
  }

  async function find(thumbprint: string, state: AskedState | undefined): Promise<AskedEnrollment> {
    const prefix = thumbprint
      .toLowerCase()
      .replace(/^sha-?256:/, '')
      .replaceAll(/[:\s]/g, '');
    if (!new RegExp(`^[0-9a-f]{${MIN_PREFIX},64}$`).test(prefix))
      throw pkiFault('enrollment_thumbprint_bad', { found: thumbprint.slice(0, 80), least: MIN_PREFIX });
    const [one, other] = await enrollments.asked({ prefix, limit: 2, ...(state === undefined ? {} : { state }) });
    if (one === undefined) throw storeFault('enrollment_not_asked', { found: prefix });
    if (other !== undefined) throw pkiFault('enrollment_ambiguous', { found: prefix });
    return one;
  }

  /** Notes what a machine asks; the same again within a moment costs a read, since a stranger may repeat it without end. */
  async function note(asking: Asking): Promise<AskedEnrollment> {
    const at = now();
    const { pendingBefore, rejectedBefore, acceptedBefore } = limits();
    const [known] = await enrollments.asked({ prefix: asking.keyThumbprint, limit: 1 });
    const undecided =
      known?.state === 'pending' || (known?.state === 'rejected' && (known.decidedAt ?? 0) >= rejectedBefore);
    if (
      known !== undefined &&
      undecided &&
      at - known.lastAskedAt < REFRESH_MS &&
      known.csr === asking.csr &&
      known.address === asking.address &&
      known.transport === asking.transport
    )
      return known;
    const bounds = {
      pendingBefore,
      rejectedBefore,
      acceptedBefore,
      most: MAX_PENDING,
      mostOfBlock: MAX_PENDING_OF_BLOCK,
      silentBefore: at - SILENT_MS,
    };
    const asked = await enrollments.ask(asking, bounds, at);
    onPending(await enrollments.countPending());
    return asked;
  }

  return {
    async ask(request, csr, { over, address }) {
      const keyThumbprint = pinOf(csr.spki).slice('sha256:'.length);
      // Signed with the key: whoever saw the request pass cannot put another name beside it.
      if (csr.name?.toLowerCase() !== request.name.toLowerCase())
        throw pkiFault('enrollment_request_bad', {
          found: `/name is "${request.name}", and the certificate request is for "${csr.name ?? 'nobody'}"`,
        });
      if (csr.id !== request.id)
        throw pkiFault('enrollment_request_bad', {
          found: `/id is "${request.id ?? 'missing'}", and the certificate request is for "${csr.id ?? 'none'}"`,
        });
      const block = blockOf(address);
      const asked = await note({
        keyThumbprint,
        name: request.name,
        id: request.id ?? null,
        csr: request.csr,
        address,
        block,
        site: siteOf(block),
        transport: over,
      });
      if (asked.state === 'rejected')
        throw pkiFault('enrollment_rejected', {
          who: asked.decidedBy ?? 'an administrator',
          comment: asked.comment === null ? '' : ` (${asked.comment})`,
        });
      const agent = asked.state === 'accepted' ? await agents.findByKey(keyThumbprint) : undefined;
      if (agent === undefined) return { status: 'pending', keyThumbprint, retryAfterSeconds: RETRY_SECONDS };
      // What was accepted is given once: whoever repeats a request that he saw pass does not make Central sign anew each time.
      if (asked.certificate !== null) return await grants.again(agent, asked.certificate);
      const { certificate, answer } = await grants.grant(agent, csr.publicKey);
      await enrollments.keepCertificate(keyThumbprint, answer.certificate);
      await audit.append(
        auditEntry(
          { who: `accepted by ${asked.decidedBy ?? ''}`, from: address },
          'agent.enroll',
          { id: agent.id, name: agent.name, keyThumbprint, certificate: certificate.serialNumber, over },
          now(),
        ),
      );
      return answer;
    },

    async list({ state, after, limit }) {
      await measure();
      return await enrollments.asked({ state, limit, ...(after === undefined ? {} : { after }) });
    },

    async accept(thumbprint, actor, reason) {
      const asked = await find(thumbprint, undefined);
      const { keyThumbprint, name, id, csr, address } = asked;
      const { spki } = readRequest(csr);
      const agent = await enrollments.accept(
        csr,
        { id: id ?? keyThumbprint, name, publicKey: spki.toString('base64'), keyThumbprint, now: now() },
        actor.who,
      );
      await audit.append(
        auditEntry(actor, 'enrollment.accept', { id: agent.id, name, keyThumbprint, address }, now(), reason),
      );
      await measure();
      return agent;
    },

    async reject(thumbprint, actor, reason) {
      const asked = await find(thumbprint, 'pending');
      await enrollments.reject(asked.keyThumbprint, actor.who, reason.comment ?? null, now());
      await audit.append(
        auditEntry(
          actor,
          'enrollment.reject',
          { name: asked.name, keyThumbprint: asked.keyThumbprint, address: asked.address },
          now(),
          reason,
        ),
      );
      await measure();
      return asked;
    },

    async counts() {
      return {
        pending: await enrollments.countPending(),
        most: MAX_PENDING,
        blocks: await enrollments.pendingBlocks(SHOWN_BLOCKS),
      };
    },

    measure,
  };
}
