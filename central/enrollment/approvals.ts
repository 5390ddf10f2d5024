// Enrollment without a token (policy approve): records requests within bounds, and lets an administrator accept or
// reject them. They compare the thumbprint of the key with the one that the machine printed; nothing else of the
// request is proven.
import { pinOf, type EnrollWithoutToken, type Enrolled, type EnrollmentPending } from '../../shared/wire/enrollment.ts';
import { isCoded } from '../../shared/errors.ts';
import { auditEntry, type Actor } from '../audit.ts';
import type {
  EnrollmentRequest,
  EnrollmentRequestRecord,
  EnrollmentRequestState,
  EnrollmentStore,
  PendingBlock,
  RequestRetention,
} from '../store/enrollment-store.ts';
import { stateReason } from '../store/agents/state-reasons.ts';
import { storeFault } from '../store/errors.ts';
import type { AgentRecord, AgentStore, NewAgent } from '../store/agent-store.ts';
import { readRequest, type ReadRequest } from '../pki/x509/csr.ts';
import { pkiFault } from '../pki/errors.ts';
import type { AgentCredentials } from './credentials.ts';

/** The connection that an enrollment request came over. */
export interface EnrollmentConnection {
  readonly over: 'ws' | 'wss';
  readonly address: string;
  /** No proxy opens the TLS connection: the agent saw the certificate that Central shows. */
  readonly direct: boolean;
}

/**
 * A roll-out by hand makes some dozens of requests a day; an administrator does not read a list of more than a
 * thousand.
 */
export const MAX_PENDING = 1000;
/**
 * Several machines behind one address translation. When all places are taken, the block that holds the most gives way.
 */
export const MAX_PENDING_OF_BLOCK = 50;
/**
 * A waiting machine repeats its request every few seconds; when all places are taken, one that was silent for this long
 * gives way.
 */
const SILENT_MS = 60_000;
/** A repetition within this time is answered without a write. */
const REFRESH_MS = 30_000;
/** Blocks that are shown with their counts. */
const SHOWN_BLOCKS = 10;
const DAY_MS = 86_400_000;
/** A machine that was accepted on Friday may fetch its certificate on Monday. */
const ACCEPTED_DAYS = 7;
/** Soon enough for the person who waits at the machine. */
const RETRY_SECONDS = 5;
/** Of a thumbprint: as much as an administrator types. */
const MIN_PREFIX = 8;

interface ApprovalsOptions {
  readonly agents: Pick<AgentStore, 'findByKey'>;
  readonly enrollments: EnrollmentStore;
  readonly credentials: AgentCredentials;
  /** What shares one bound with an address (central/auth/address-rules.ts). */
  readonly blockOf: (address: string) => string;
  /** The network that may hold many blocks (central/auth/wrong-attempts.ts). */
  readonly siteOf: (block: string) => string;
  /** The agent has another key: its session is to be ended. */
  readonly onReplaced: (agentId: string) => void;
  /** For metrics: how many requests are in each state. */
  readonly onCounted: (counts: Readonly<Record<EnrollmentRequestState, number>>) => void;
  readonly now: () => number;
}

interface PendingCounts {
  readonly pending: number;
  readonly most: number;
  readonly blocks: readonly PendingBlock[];
}

export interface Approvals {
  /** Errors: enrollment_request_bad, enrollment_rejected, enrollments_full, enrollments_full_of_address. */
  submit(
    request: EnrollWithoutToken,
    csr: ReadRequest,
    connection: EnrollmentConnection,
  ): Promise<Enrolled | EnrollmentPending>;
  list(page: {
    readonly state: EnrollmentRequestState;
    readonly after?: string | undefined;
    readonly limit: number;
  }): Promise<EnrollmentRequestRecord[]>;
  /** In whatever state. Errors: those of `accept` about the thumbprint. */
  get(thumbprint: string): Promise<EnrollmentRequestRecord>;
  /**
   * `thumbprint`: of the key, whole or a unique prefix. Errors: enrollment_request_unknown,
   * enrollment_request_ambiguous, those of EnrollmentStore.accept.
   */
  accept(thumbprint: string, actor: Actor): Promise<AgentRecord>;
  /**
   * Gives the key of a request to an agent that exists, in place of its own. `thumbprint`: as in `accept`; undefined
   * where no undecided request has it. Errors: enrollment_request_ambiguous, those of EnrollmentStore.replace.
   */
  replace(thumbprint: string, agent: AgentRecord, actor: Actor): Promise<AgentRecord | undefined>;
  /** What `accept` would take; changes nothing. Errors: those of `accept`. */
  rehearseAccept(thumbprint: string, actor: Actor): Promise<EnrollmentRequestRecord>;
  /** The request whose key `replace` would give to the agent; changes nothing. Errors: those of `replace`. */
  rehearseReplace(thumbprint: string, agent: AgentRecord, actor: Actor): Promise<EnrollmentRequestRecord | undefined>;
  /** What `reject` would take; changes nothing. Errors: those of `reject`. */
  rehearseReject(thumbprint: string): Promise<EnrollmentRequestRecord>;
  /** Errors: enrollment_request_unknown, enrollment_request_ambiguous. */
  reject(thumbprint: string, actor: Actor): Promise<EnrollmentRequestRecord>;
  /** How many requests are pending, how many may be, and the blocks with the most. */
  counts(): Promise<PendingCounts>;
  /** Prunes old requests and counts the rest. */
  measure(): Promise<void>;
}

export function createApprovals(options: ApprovalsOptions): Approvals {
  const { enrollments, onCounted, now } = options;
  const submit = submission(options);

  async function measure(): Promise<void> {
    await enrollments.prune(retention(now()));
    onCounted(await enrollments.countByState());
  }

  return {
    submit,

    async list({ state, after, limit }) {
      await measure();
      return await enrollments.list({ state, limit, ...(after === undefined ? {} : { after }) });
    },

    async get(thumbprint) {
      await measure();
      return await findRequest(enrollments, thumbprint, undefined);
    },

    async accept(thumbprint, actor) {
      const request = await findRequest(enrollments, thumbprint, undefined);
      const { csr, address } = request;
      const accepted = agentOf(request, now());
      const { id, name, keyThumbprint } = accepted;
      const audit = auditEntry(actor, 'enrollment-requests.accept', { id, name, keyThumbprint, address }, now());
      const agent = await enrollments.accept(csr, accepted, actor.who, audit);
      await measure();
      return agent;
    },

    async replace(thumbprint, agent, actor) {
      const found = await undecided(enrollments, thumbprint);
      if (found === undefined) return undefined;
      const { keyThumbprint, csr, address } = found;
      const detail = { id: agent.id, name: agent.name, keyThumbprint, before: agent.keyThumbprint, address };
      const audit = auditEntry(actor, 'agents.replace', detail, now());
      const replaced = await enrollments.replace(csr, newKeyOf(found, agent, actor, now()), actor.who, audit);
      options.onReplaced(agent.id);
      await measure();
      return replaced;
    },

    async reject(thumbprint, actor) {
      const found = await findRequest(enrollments, thumbprint, 'pending');
      const { name, keyThumbprint, address } = found;
      const audit = auditEntry(actor, 'enrollment-requests.reject', { name, keyThumbprint, address }, now());
      await enrollments.reject(keyThumbprint, actor.who, actor.comment ?? null, now(), audit);
      await measure();
      return found;
    },

    async rehearseAccept(thumbprint, actor) {
      const request = await findRequest(enrollments, thumbprint, undefined);
      await enrollments.rehearseAccept(request.csr, agentOf(request, now()), actor.who);
      return request;
    },

    async rehearseReplace(thumbprint, agent, actor) {
      const found = await undecided(enrollments, thumbprint);
      if (found !== undefined)
        await enrollments.rehearseReplace(found.csr, newKeyOf(found, agent, actor, now()), actor.who);
      return found;
    },

    rehearseReject: (thumbprint) => findRequest(enrollments, thumbprint, 'pending'),

    async counts() {
      return {
        pending: (await enrollments.countByState()).pending,
        most: MAX_PENDING,
        blocks: await enrollments.pendingBlocks(SHOWN_BLOCKS),
      };
    },

    measure,
  };
}

/** The agent that the machine becomes. */
function agentOf({ keyThumbprint, name, id, csr }: EnrollmentRequestRecord, now: number): NewAgent {
  const publicKey = readRequest(csr).spki.toString('base64');
  return { id: id ?? keyThumbprint, name, publicKey, keyThumbprint, now };
}

/** The key of the request, for an agent that exists. */
function newKeyOf({ keyThumbprint, csr }: EnrollmentRequestRecord, agent: AgentRecord, actor: Actor, now: number) {
  const publicKey = readRequest(csr).spki.toString('base64');
  return { agentId: agent.id, publicKey, keyThumbprint, now, reason: stateReason('key_replaced', { who: actor.who }) };
}

/** The request, unless it is an agent already, or none. Errors: enrollment_request_ambiguous. */
async function undecided(
  enrollments: Pick<EnrollmentStore, 'list'>,
  thumbprint: string,
): Promise<EnrollmentRequestRecord | undefined> {
  const found = await findRequest(enrollments, thumbprint, undefined).catch((error: unknown) => {
    if (isCoded(error, 'enrollment_request_unknown', 'enrollment_thumbprint_bad')) return undefined;
    throw error;
  });
  return found?.state === 'accepted' ? undefined : found;
}

function retention(now: number): RequestRetention {
  return { pendingBefore: now - DAY_MS, rejectedBefore: now - DAY_MS, acceptedBefore: now - ACCEPTED_DAYS * DAY_MS };
}

async function findRequest(
  enrollments: Pick<EnrollmentStore, 'list'>,
  thumbprint: string,
  state: EnrollmentRequestState | undefined,
): Promise<EnrollmentRequestRecord> {
  const prefix = thumbprint
    .toLowerCase()
    .replace(/^sha-?256:/, '')
    .replaceAll(/[:\s]/g, '');
  if (!new RegExp(`^[0-9a-f]{${MIN_PREFIX},64}$`).test(prefix))
    throw pkiFault('enrollment_thumbprint_bad', { found: thumbprint.slice(0, 80), least: MIN_PREFIX });
  const [one, other] = await enrollments.list({ prefix, limit: 2, ...(state === undefined ? {} : { state }) });
  if (one === undefined) throw storeFault('enrollment_request_unknown', { found: prefix });
  if (other !== undefined) throw pkiFault('enrollment_request_ambiguous', { found: prefix });
  return one;
}

/** Answers a machine that asks to be enrolled without a token. */
function submission(options: ApprovalsOptions): Approvals['submit'] {
  const { agents, enrollments, credentials, blockOf, siteOf } = options;
  return async (request, csr, { over, address }) => {
    assertSigned(request, csr);
    const keyThumbprint = pinOf(csr.spki).slice('sha256:'.length);
    const block = blockOf(address);
    const recorded = await record(options, {
      keyThumbprint,
      name: request.name,
      id: request.id ?? null,
      csr: request.csr,
      address,
      block,
      site: siteOf(block),
      transport: over,
    });
    if (recorded.state === 'rejected')
      throw pkiFault('enrollment_rejected', {
        who: recorded.decidedBy ?? 'an administrator',
        comment: recorded.comment === null ? '' : ` (${recorded.comment})`,
      });
    const agent = recorded.state === 'accepted' ? await agents.findByKey(keyThumbprint) : undefined;
    if (agent === undefined) return { state: 'pending', keyThumbprint, retryAfterSeconds: RETRY_SECONDS };
    // A certificate is issued once per accepted request: a replayed request must not make Central sign again.
    if (recorded.certificate !== null) return await credentials.repeat(agent, recorded.certificate);
    const actor = { who: `accepted by ${recorded.decidedBy ?? ''}`, from: address };
    const { answer } = await credentials.issue(agent, csr.publicKey, actor);
    await enrollments.keepCertificate(keyThumbprint, answer.certificate);
    return answer;
  };
}

/** Name and id are signed with the key: a replayed request cannot carry others. Errors: enrollment_request_bad. */
function assertSigned(request: EnrollWithoutToken, csr: ReadRequest): void {
  if (csr.name?.toLowerCase() !== request.name.toLowerCase())
    throw pkiFault('enrollment_request_bad', {
      found: `/name is "${request.name}", but the certificate request is for "${csr.name ?? '(no name)'}"`,
    });
  if (csr.id !== request.id)
    throw pkiFault('enrollment_request_bad', {
      found: `/id is "${request.id ?? '(none)'}", but the certificate request is for "${csr.id ?? '(none)'}"`,
    });
}

/** Records a request. The same again within a moment costs a read only, since a stranger may repeat it without end. */
async function record(
  { enrollments, onCounted, now }: ApprovalsOptions,
  request: EnrollmentRequest,
): Promise<EnrollmentRequestRecord> {
  const at = now();
  const kept = retention(at);
  const [known] = await enrollments.list({ prefix: request.keyThumbprint, limit: 1 });
  const undecided =
    known?.state === 'pending' || (known?.state === 'rejected' && (known.decidedAt ?? 0) >= kept.rejectedBefore);
  if (
    known !== undefined &&
    undecided &&
    at - known.lastRequestedAt < REFRESH_MS &&
    known.csr === request.csr &&
    known.address === request.address &&
    known.transport === request.transport
  )
    return known;
  const bounds = { ...kept, most: MAX_PENDING, mostOfBlock: MAX_PENDING_OF_BLOCK, silentBefore: at - SILENT_MS };
  const recorded = await enrollments.submit(request, bounds, at);
  onCounted(await enrollments.countByState());
  return recorded;
}
