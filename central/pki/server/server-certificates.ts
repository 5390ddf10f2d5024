// Owns what an administrator does with Central's certificate by hand: request, install, import, generate, stage, activate,
// restore. Each is checked as a whole, judged by what agents trust, swapped live, and, where asked for, undone by itself
// unless agents come back over it. Acts take turns with changes of parameters.
import { createPrivateKey, randomUUID, type KeyObject, type X509Certificate } from 'node:crypto';
import { textOf } from '../../../shared/errors.ts';
import { CENTRAL, type Actor, type Reason } from '../../audit.ts';
import { assertConfirmable, confirmTerms, readTerms, type ConfirmRequest } from '../../parameters/confirm.ts';
import { parameterFault } from '../../parameters/errors.ts';
import { agentsText, namesOf, type OnlineAgents } from '../../parameters/preflight.ts';
import { agentsWithoutTrust, type TrustKnowledge } from '../trust/trust-bundle.ts';
import type { Authority } from '../authority/authority.ts';
import { readChain, thumbprintOf } from '../x509/certificate.ts';
import { buildChain, CertificateFaults, type BuiltChain } from '../x509/chain.ts';
import { pkiFault } from '../errors.ts';
import type { Generation } from '../authority/generations.ts';
import type { KeyKind } from '../x509/key-algorithms.ts';
import { serverFaults } from './validate.ts';
import { namesToCover, type ServerIdentity, type ServerCertificateSpec } from './server-identity.ts';
import {
  credentialsFrom,
  rootOfCredentials,
  type PendingSwap,
  type ServerCredentials,
  type ServerOrigin,
  type Slots,
} from './slots.ts';
import { readUploadedCertificates, readUploadedKey, type UploadedFile, type UploadedKey } from '../x509/upload.ts';

export interface SwapRequest extends Reason {
  /** Checks and judges, and changes nothing. */
  readonly dryRun?: boolean | undefined;
  /** Also when agents would refuse it. */
  readonly force?: boolean | undefined;
  /** Keeps it for `activate`: agents are told to trust its root, and nothing is shown yet. */
  readonly stage?: boolean | undefined;
  readonly confirm?: ConfirmRequest | undefined;
}

export interface SwapReport {
  readonly dryRun: boolean;
  readonly staged: boolean;
  readonly certificate: ServerCredentials;
  /** Agents that hold nothing of its chain, as far as is known. */
  readonly cutOff: readonly { readonly id: string; readonly name: string }[];
  readonly notices: readonly string[];
  readonly pending: PendingReport | null;
}

export interface PendingReport {
  readonly id: string;
  readonly deadline: number;
  readonly changedBy: string;
  readonly share: number;
  readonly agents: number;
}

export interface ServerCertificatesOptions {
  readonly identity: ServerIdentity;
  readonly authority: Authority;
  readonly trust: TrustKnowledge;
  /** Agents with a session over wss; `since` tells when it began. */
  readonly agents: OnlineAgents;
  readonly wishes: () => ServerCertificateSpec;
  /** Handshakes from now on show it. */
  readonly show: (credentials: ServerCredentials) => void;
  /** Asks the agents on wss to come back over a new connection, spread over so many seconds. */
  readonly requestReconnect: (spreadSeconds: number) => void;
  readonly exclusively: <T>(act: () => Promise<T>) => Promise<T>;
  /** A change of parameters that waits for its confirmation. */
  readonly otherPending: () => { readonly changedBy: string; readonly deadline: number } | null;
  readonly log: { info(facts: object, text: string): void; error(facts: object, text: string): void };
  readonly now: () => number;
  /** Runs once after so many milliseconds; the answer cancels it. */
  readonly after: (ms: number, run: () => void) => () => void;
  /** What waited for its confirmation stays. */
  readonly onConfirmed?: (actor: Actor) => Promise<void>;
}

/** Agents come back within a third of the time: the rest is for those that try twice, and for the person who confirms. */
const RECONNECT_WITHIN_SHARE = 1 / 3;

export class ServerCertificates {
  readonly #options: ServerCertificatesOptions;
  #appliedAt = 0;
  #cancelTimer = () => {};

  constructor(options: ServerCertificatesOptions) {
    this.#options = options;
  }

  slots(): Slots {
    return this.#options.identity.slots;
  }

  pending(): PendingReport | null {
    const { pending } = this.slots();
    if (pending === undefined) return null;
    const { share, agents } = readTerms(pending.terms);
    return { id: pending.id, deadline: pending.deadline, changedBy: pending.changedBy, share, agents: agents.length };
  }

  /** A request for another authority, PEM; the key stays in the store until the answer is installed. Errors: distinguished_name_bad. */
  async request({ kind, ...reason }: { readonly kind: KeyKind } & Reason, actor: Actor): Promise<string> {
    const { identity, wishes, exclusively } = this.#options;
    return await exclusively(async () => await identity.request(wishes(), kind, actor, reason));
  }

  /** The answer to the request that is out. Errors: certificate_not_requested, and those of every swap. */
  async install(file: UploadedFile, request: SwapRequest, actor: Actor): Promise<SwapReport> {
    const certificates = await readUploadedCertificates(file);
    return await this.#options.exclusively(async () => {
      const { request: open } = this.slots();
      const leaf =
        open === undefined ? undefined : certificates.find((certificate) => certificate.checkPrivateKey(open.key));
      if (open === undefined || leaf === undefined) {
        const found = open === undefined ? ': there is none' : ` since ${new Date(open.madeAt).toISOString()}`;
        throw pkiFault('certificate_not_requested', { file: file.name, found });
      }
      return await this.#take(open.key, buildChain(leaf, certificates, this.#known()), 'signed', [], request, actor);
    });
  }

  /** A key with its certificate from elsewhere. Errors: those of reading it, and of every swap. */
  async import(file: UploadedKey, request: SwapRequest, actor: Actor): Promise<SwapReport> {
    const { key, certificates, warnings } = await readUploadedKey(file);
    return await this.#options.exclusively(async () => {
      // Without a fitting one the first is judged: its other faults are told along with this one.
      const leaf = certificates.find((certificate) => certificate.checkPrivateKey(key)) ?? certificates[0];
      if (leaf === undefined) throw pkiFault('certificate_file_missing', { file: file.name });
      return await this.#take(key, buildChain(leaf, certificates, this.#known()), 'imported', warnings, request, actor);
    });
  }

  /** A new one by Central's own authority (the current generation unless another is named), made anew by itself from then on. */
  async generate(request: SwapRequest, actor: Actor, by?: Generation): Promise<SwapReport> {
    const { identity, wishes, exclusively } = this.#options;
    return await exclusively(async () => await this.#swap(await identity.make(wishes(), by), [], request, actor));
  }

  /** Shows the staged one. Errors: certificate_nothing_staged, and those of every swap. */
  async activate(request: SwapRequest, actor: Actor): Promise<SwapReport> {
    return await this.#options.exclusively(async () => {
      const { staged } = this.slots();
      if (staged === undefined) throw pkiFault('certificate_nothing_staged', {});
      return await this.#again(staged, request, actor);
    });
  }

  /** Goes back to the one before. Errors: certificate_no_previous, and those of every swap. */
  async restore(request: SwapRequest, actor: Actor): Promise<SwapReport> {
    return await this.#options.exclusively(async () => {
      const { previous } = this.slots();
      if (previous === undefined) throw pkiFault('certificate_no_previous', {});
      return await this.#again(previous, request, actor);
    });
  }

  /** Forgets what is staged. Errors: certificate_nothing_staged. */
  async discard(reason: Reason, actor: Actor): Promise<void> {
    await this.#options.exclusively(async () => {
      if (this.slots().staged === undefined) throw pkiFault('certificate_nothing_staged', {});
      await this.#options.identity.keepStaged(undefined, actor, reason);
    });
  }

  /** Lets the pending swap stay. Errors: nothing_pending, share_not_met, confirm_over_new_connection. */
  async confirm({ force = false }: { readonly force?: boolean | undefined }, actor: Actor): Promise<void> {
    await this.#options.exclusively(async () => {
      const { pending } = this.slots();
      if (pending === undefined) throw parameterFault('nothing_pending', {});
      assertConfirmable(readTerms(pending.terms), this.#appliedAt, this.#cameBack(), actor, force);
      await this.#options.identity.confirm(actor, force);
      this.#cancelTimer();
      await this.#options.onConfirmed?.(actor);
    });
  }

  /** Takes the pending swap back at once. Errors: nothing_pending. */
  async undo(actor: Actor, reason = 'undone by hand'): Promise<void> {
    await this.#options.exclusively(async () => {
      if (this.slots().pending === undefined) throw parameterFault('nothing_pending', {});
      await this.#undo(actor, reason);
    });
  }

  /** A pending swap is undone by the next start. */
  stop(): void {
    this.#cancelTimer();
  }

  async #take(
    key: KeyObject,
    built: BuiltChain,
    origin: ServerOrigin,
    warnings: readonly string[],
    request: SwapRequest,
    actor: Actor,
  ): Promise<SwapReport> {
    const { wishes, now } = this.#options;
    const faults = serverFaults({ key, built, names: namesToCover(wishes()), now: now() });
    if (faults.length > 0) throw new CertificateFaults('server_certificate_unfit', faults);
    return await this.#swap(credentialsFrom(key, built.chain, origin), [...warnings, ...built.notices], request, actor);
  }

  /** One that was taken before: dates and names are judged anew. */
  async #again(credentials: ServerCredentials, request: SwapRequest, actor: Actor): Promise<SwapReport> {
    const { wishes, now } = this.#options;
    const key = createPrivateKey(credentials.key);
    const faults = serverFaults({
      key,
      built: { chain: readChain(credentials.chain, 'The server certificate'), complete: true },
      names: namesToCover(wishes()),
      now: now(),
    });
    if (faults.length > 0) throw new CertificateFaults('server_certificate_unfit', faults);
    return await this.#swap(credentials, [], { ...request, stage: false }, actor);
  }

  async #swap(
    credentials: ServerCredentials,
    notices: readonly string[],
    request: SwapRequest,
    actor: Actor,
  ): Promise<SwapReport> {
    const { identity, trust, now } = this.#options;
    this.#refuseWhilePending();
    const before = identity.current();
    if (before?.thumbprint === credentials.thumbprint)
      throw pkiFault('certificate_in_use', { thumbprint: credentials.thumbprint });
    const cutOff = (await agentsWithoutTrust(trust, credentials.chain)).map(({ id, name }) => ({ id, name }));
    const report = {
      dryRun: request.dryRun === true,
      staged: false,
      certificate: credentials,
      cutOff,
      notices,
      pending: null,
    };
    if (request.dryRun === true) return report;
    if (request.stage === true) {
      await identity.keepStaged(credentials, actor, request);
      return { ...report, staged: true };
    }
    if (cutOff.length > 0 && request.force !== true)
      throw parameterFault('would_cut_off_agents', { count: agentsText(cutOff.length), names: namesOf(cutOff) });
    const pending = request.confirm === undefined ? undefined : this.#pendingSwap(request.confirm, actor);
    // Written first: after a crash in between, the next start shows what was written, or undoes what waits for its confirmation.
    await identity.adopt(credentials, actor, { pending, reason: request });
    this.#show(credentials);
    this.#appliedAt = now();
    if (pending !== undefined && request.confirm !== undefined) this.#await(pending, request.confirm);
    return { ...report, pending: this.pending() };
  }

  #pendingSwap(confirm: ConfirmRequest, actor: Actor): PendingSwap {
    const { agents, now } = this.#options;
    return {
      id: randomUUID(),
      deadline: now() + confirm.withinSeconds * 1000,
      terms: JSON.stringify(confirmTerms(confirm, 'https', agents)),
      changedBy: actor.who,
    };
  }

  /** Sessions that stand prove nothing about the new certificate: their agents are asked to come back over it. */
  #await({ id, deadline }: PendingSwap, { withinSeconds }: ConfirmRequest): void {
    const { requestReconnect, after, now } = this.#options;
    this.#cancelTimer = after(deadline - now(), () => void this.#expire(id));
    requestReconnect(Math.floor(withinSeconds * RECONNECT_WITHIN_SHARE));
  }

  #cameBack(): OnlineAgents {
    return { online: () => this.#options.agents.online().filter(({ since }) => since >= this.#appliedAt) };
  }

  async #expire(id: string): Promise<void> {
    try {
      await this.#options.exclusively(async () => {
        if (this.slots().pending?.id === id) await this.#undo(CENTRAL, 'it was not confirmed in time');
      });
    } catch (error) {
      // A store that cannot write ends Central (store.ts, onFailure), and its next start undoes the swap.
      this.#options.log.error(
        { change: id, error: textOf(error) },
        'the unconfirmed certificate could not be taken back',
      );
    }
  }

  async #undo(actor: Actor, reason: string): Promise<void> {
    const { identity, log } = this.#options;
    this.#cancelTimer();
    await identity.undo(actor, reason);
    const current = identity.current();
    if (current !== undefined) this.#show(current);
    log.info({ reason, thumbprint: current?.thumbprint }, 'the server certificate was taken back');
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

  #refuseWhilePending(): void {
    const { pending } = this.slots();
    if (pending !== undefined)
      throw pkiFault('certificate_change_pending', {
        who: pending.changedBy,
        until: new Date(pending.deadline).toISOString(),
      });
    const other = this.#options.otherPending();
    if (other !== null)
      throw parameterFault('change_pending', { who: other.changedBy, until: new Date(other.deadline).toISOString() });
  }

  /** What may complete a chain: everything that Central has certificates of. */
  #known(): X509Certificate[] {
    const { authority } = this.#options;
    const { current, previous, staged } = this.slots();
    const shown = [current, previous, staged].flatMap((slot) =>
      slot === undefined ? [] : readChain(slot.chain, 'The server certificate').slice(1),
    );
    return [...authority.generations().flatMap(({ chain }) => chain), ...shown];
  }
}
