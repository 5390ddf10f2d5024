// Lets an administrator replace Central's certificate: request, install, import, generate, stage, activate, restore.
// Each act validates the whole certificate, checks which agents would refuse it, and swaps it without a restart. Each
// is a change (central/change/), with dry run, confirmation and rollback.
import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto';
import type { Actor } from '../../audit.ts';
import type { CutOffAgent, Notice } from '../../change/report.ts';
import type { OnlineAgents } from '../../change/agents.ts';
import type { Change, ChangePlan, Changes, ChangeTerms } from '../../change/changes.ts';
import { agentsWithoutTrust, untrusting, type TrustKnowledge } from '../trust/trust-bundle.ts';
import type { Authority } from '../authority/authority.ts';
import { thumbprintOf } from '../x509/certificate.ts';
import { buildChain, CertificateFaults, type BuiltChain } from '../x509/chain.ts';
import { pkiFault } from '../errors.ts';
import type { Generation } from '../authority/generations.ts';
import type { KeyKind } from '../x509/key-algorithms.ts';
import { serverFaults } from './validate.ts';
import { namesToCover, type IssueVerb, type ServerCertificateSpec, type ServerIdentity } from './server-identity.ts';
import {
  chainOf,
  credentialsFrom,
  rootOfCredentials,
  type ServerCredentials,
  type ServerOrigin,
  type Slots,
} from './slots.ts';
import { readUploadedCertificates, readUploadedKey, type UploadedFile, type UploadedKey } from '../x509/upload.ts';

export interface SwapRequest extends ChangeTerms {
  /** Keeps it for `activate`: agents are sent its root to trust, and nothing is shown yet. */
  readonly stage?: boolean | undefined;
}

export interface SwapReport {
  readonly dryRun: boolean;
  readonly staged: boolean;
  readonly certificate: ServerCredentials;
  /** Agents that hold nothing of its chain, as far as is known. */
  readonly cutOff: readonly CutOffAgent[];
  /** Thumbprint of what was in that slot before. */
  readonly before: string | null;
  readonly notices: readonly Notice[];
  /** The swap that waits for its confirmation. */
  readonly change: Change | null;
}

interface ServerCertificatesOptions {
  readonly identity: ServerIdentity;
  readonly authority: Authority;
  readonly trust: TrustKnowledge;
  /** Agents with a session over wss; `since` is its start. */
  readonly agents: OnlineAgents;
  readonly spec: () => ServerCertificateSpec;
  /** Handshakes from now on show it. */
  readonly show: (credentials: ServerCredentials) => void;
  /** Asks the agents on wss to reconnect, spread over so many seconds. */
  readonly requestReconnect: (spreadSeconds: number) => void;
  /** Reads keys and certificates again: another node may have changed them. */
  readonly look: () => Promise<void>;
  /** Lets a generation of the authority sign everything. */
  readonly promote: (generation: string, actor: Actor) => Promise<void>;
  readonly changes: Pick<Changes, 'make' | 'register' | 'runExclusive'>;
  readonly log: { info(facts: object, text: string): void };
  readonly now: () => number;
}

/** Agents reconnect within a third of the time: the rest is for those that try twice, and for the confirmation. */
const RECONNECT_WITHIN_SHARE = 1 / 3;

/** A validated certificate, and what else the change reports and does. */
interface Prepared {
  readonly credentials: ServerCredentials;
  readonly notices: readonly Notice[];
  /** The generation that signs everything once it is confirmed. */
  readonly promotes?: string | undefined;
}

type Report = Omit<SwapReport, 'change' | 'dryRun'>;

export class ServerCertificates {
  readonly #options: ServerCertificatesOptions;

  constructor(options: ServerCertificatesOptions) {
    this.#options = options;
    options.changes.register({
      subject: 'server-certificate',
      blockedBy: ['server-certificate', 'parameters'],
      agents: options.agents,
      // A session from before proves nothing about the new certificate.
      countsNewSessionsOnly: true,
      refresh: options.look,
      pending: () => this.slots().pending ?? null,
      keep: async (_change, actor, forced) => await options.identity.confirm(actor, forced),
      rollBack: async (_change, actor, reason) => await this.#rollBack(actor, reason),
      finish: async (generation, actor) => await options.promote(generation, actor),
    });
  }

  slots(): Slots {
    return this.#options.identity.slots;
  }

  /**
   * A request for another authority, PEM; the key stays in the store until the answer is installed. Errors:
   * distinguished_name_bad.
   */
  async request(kind: KeyKind, actor: Actor): Promise<string> {
    const { identity, spec, changes } = this.#options;
    return await changes.runExclusive(async () => {
      await this.#options.look();
      return await identity.request(spec(), kind, actor);
    });
  }

  /** Forgets the open request with its key. Errors: certificate_request_missing. */
  async discardRequest(actor: Actor): Promise<void> {
    await this.#options.changes.runExclusive(async () => {
      await this.#options.look();
      if (this.slots().request === undefined) throw pkiFault('certificate_request_missing', {});
      await this.#options.identity.discardRequest(actor);
    });
  }

  /** The answer to the open request. Errors: certificate_not_requested, and those of every swap. */
  async install(file: UploadedFile, request: SwapRequest, actor: Actor): Promise<SwapReport> {
    const certificates = await readUploadedCertificates(file);
    return await this.#swap('install', request, actor, async () => {
      const { request: open } = this.slots();
      const leaf =
        open === undefined ? undefined : certificates.find((certificate) => certificate.checkPrivateKey(open.key));
      if (open === undefined || leaf === undefined) {
        const found = open === undefined ? ': there is none' : ` since ${new Date(open.madeAt).toISOString()}`;
        throw pkiFault('certificate_not_requested', { file: file.name, found });
      }
      return this.#validated(open.key, buildChain(leaf, certificates, this.#known()), 'signed', []);
    });
  }

  /** A key with its certificate from elsewhere. Errors: those of reading it, and of every swap. */
  async import(file: UploadedKey, request: SwapRequest, actor: Actor): Promise<SwapReport> {
    const { key, certificates, notices } = await readUploadedKey(file);
    return await this.#swap('import', request, actor, async () => {
      // Without a certificate of this key the first is validated, so that its other faults are reported along with this
      // one.
      const leaf = certificates.find((certificate) => certificate.checkPrivateKey(key)) ?? certificates[0];
      if (leaf === undefined) throw pkiFault('certificate_file_missing', { file: file.name });
      return this.#validated(key, buildChain(leaf, certificates, this.#known()), 'imported', notices);
    });
  }

  /**
   * A new one by Central's own authority, renewed automatically from then on. By the current generation unless another is
   * named, as the first step of a rotation: that one signs everything once the swap is confirmed.
   */
  async generate(request: SwapRequest, actor: Actor, by?: Generation): Promise<SwapReport> {
    const { identity, spec } = this.#options;
    return await this.#swap('issue', request, actor, async () => ({
      credentials: await identity.make(spec(), by),
      notices: [],
      promotes: by?.id,
    }));
  }

  /** Shows the staged one. Errors: certificate_nothing_staged, and those of every swap. */
  async activate(request: SwapRequest, actor: Actor): Promise<SwapReport> {
    return await this.#swap('activate', { ...request, stage: false }, actor, async () => {
      const { staged } = this.slots();
      if (staged === undefined) throw pkiFault('certificate_nothing_staged', {});
      return this.#revalidated(staged);
    });
  }

  /** Restores the one before. Errors: certificate_no_previous, and those of every swap. */
  async restore(request: SwapRequest, actor: Actor): Promise<SwapReport> {
    return await this.#swap('activate', { ...request, stage: false }, actor, async () => {
      const { previous } = this.slots();
      if (previous === undefined) throw pkiFault('certificate_no_previous', {});
      return this.#revalidated(previous);
    });
  }

  /** Forgets what is staged. Errors: certificate_nothing_staged. */
  async discard(actor: Actor): Promise<void> {
    await this.#options.changes.runExclusive(async () => {
      await this.#options.look();
      if (this.slots().staged === undefined) throw pkiFault('certificate_nothing_staged', {});
      await this.#options.identity.discardStaged(actor);
    });
  }

  /** Errors: change_pending, certificate_in_use, would_cut_off_agents, server_certificate_unfit, those of `prepare`. */
  async #swap(
    verb: IssueVerb | 'activate',
    request: SwapRequest,
    actor: Actor,
    prepare: () => Promise<Prepared>,
  ): Promise<SwapReport> {
    // Staging cuts no agent off and needs no confirmation: nothing is shown yet.
    const terms = request.stage === true ? { dryRun: request.dryRun, force: true } : request;
    return await this.#options.changes.make('server-certificate', terms, actor, async () => {
      await this.#options.look();
      return await this.#plan(verb, await prepare(), request, actor);
    });
  }

  async #plan(
    verb: IssueVerb | 'activate',
    { credentials, notices, promotes }: Prepared,
    request: SwapRequest,
    actor: Actor,
  ): Promise<ChangePlan<Report>> {
    const { identity, trust, requestReconnect } = this.#options;
    if (identity.current()?.thumbprint === credentials.thumbprint)
      throw pkiFault('certificate_in_use', { thumbprint: credentials.thumbprint });
    const cutOff = (await agentsWithoutTrust(trust, credentials.chain)).map(untrusting);
    const staged = verb !== 'activate' && request.stage === true;
    const before = (staged ? this.slots().staged : identity.current())?.thumbprint ?? null;
    return {
      report: { staged, before, certificate: credentials, cutOff, notices },
      cutOff,
      changed: [{ name: 'thumbprint', from: before, to: credentials.thumbprint }],
      listener: 'https',
      carryOut: async (pending) => {
        if (staged) return await identity.keepStaged(credentials, actor, verb);
        // Written first: after a crash in between, the next start shows what was written, or rolls back a pending
        // change.
        await identity.adopt(credentials, actor, { verb, pending });
        this.#show(credentials);
      },
      onPending: (withinSeconds) => requestReconnect(Math.floor(withinSeconds * RECONNECT_WITHIN_SHARE)),
      remainder: promotes,
    };
  }

  #validated(key: KeyObject, built: BuiltChain, origin: ServerOrigin, notices: readonly Notice[]): Prepared {
    this.#assertFit(key, built);
    return { credentials: credentialsFrom(key, built.chain, origin), notices: [...notices, ...built.notices] };
  }

  /** One that was accepted before: dates and names may not fit any more. */
  #revalidated(credentials: ServerCredentials): Prepared {
    const chain = chainOf(credentials);
    this.#assertFit(createPrivateKey(credentials.key), { chain, complete: true });
    return { credentials, notices: [] };
  }

  #assertFit(key: KeyObject, built: Pick<BuiltChain, 'chain' | 'complete'>): void {
    const { spec, now } = this.#options;
    const faults = serverFaults({ key, built, names: namesToCover(spec()), now: now() });
    if (faults.length > 0) throw new CertificateFaults('server_certificate_unfit', faults);
  }

  async #rollBack(actor: Actor, reason: string): Promise<void> {
    const { identity } = this.#options;
    await identity.rollBack(actor, reason);
    const current = identity.current();
    if (current !== undefined) this.#show(current);
  }

  #show(credentials: ServerCredentials): void {
    const { show, log } = this.#options;
    show(credentials);
    log.info(
      {
        thumbprint: credentials.thumbprint,
        subject: credentials.subject,
        origin: credentials.origin,
        root: thumbprintOf(rootOfCredentials(credentials)),
      },
      'the server certificate was swapped',
    );
  }

  /** What may complete a chain: every issuer of which Central has the certificate. */
  #known(): X509Certificate[] {
    const { authority } = this.#options;
    const { current, previous, staged } = this.slots();
    const shown = [current, previous, staged].flatMap((slot) => (slot === undefined ? [] : chainOf(slot).slice(1)));
    return [...authority.generations().flatMap(({ chain }) => chain), ...shown];
  }
}
