// Owns the rotation of the authority in phases: prepare, publish, switch, retire, and the way back from each. The store is the
// truth: a phase is which generations there are and in which role, so that a restart of Central changes nothing. Every step
// says first who would be left behind, and takes turns with changes of parameters.
import type { Actor, Reason } from '../../audit.ts';
import type { Metrics } from '../../metrics.ts';
import { parameterFault } from '../../parameters/errors.ts';
import type { ConfirmRequest } from '../../parameters/confirm.ts';
import { agentsText, namesOf } from '../../parameters/preflight.ts';
import { readAuthorityFile } from '../authority/authority-file.ts';
import type { Authority } from '../authority/authority.ts';
import { signedBy } from '../x509/chain.ts';
import { readChain, thumbprintOf } from '../x509/certificate.ts';
import { pkiFault, rotationFault } from '../errors.ts';
import { rootOf, type Generation, type GenerationRole } from '../authority/generations.ts';
import type { PendingReport, ServerCertificates } from '../server/server-certificates.ts';
import type { ServerIdentity } from '../server/server-identity.ts';
import {
  issuerStanding,
  trustStanding,
  type IssuerStanding,
  type NamedAgent,
  type StandingOptions,
  type TrustStanding,
} from './progress.ts';
import type { UploadedKey } from '../x509/upload.ts';

/** idle: nothing is under way. The others are called after the step that led there. */
export const ROTATION_PHASES = ['idle', 'prepared', 'published', 'switched', 'retired'] as const;
export type RotationPhase = (typeof ROTATION_PHASES)[number];

export interface RotationRequest extends Reason {
  /** Says who would be left behind, and changes nothing. */
  readonly dryRun?: boolean | undefined;
  /** Also when agents are left behind. */
  readonly force?: boolean | undefined;
}

export interface RotationReport {
  readonly dryRun: boolean;
  /** Where it stands now; after a dry run, where it stood. */
  readonly phase: RotationPhase;
  /** Who is not ready for this step, and why. */
  readonly missing: readonly NamedAgent[];
  readonly notices: readonly string[];
  /** The switch stays only when it is confirmed. */
  readonly pending: PendingReport | null;
}

export interface RotationStatus {
  readonly phase: RotationPhase;
  readonly since: number;
  /** In words: what comes next, and what it needs. */
  readonly next: string;
  readonly generations: readonly Generation[];
  readonly pending: PendingReport | null;
  /** Of the root that comes, or has come last. */
  readonly trust: TrustStanding;
  readonly issued: IssuerStanding;
}

export interface RotationOptions {
  readonly authority: Authority;
  readonly identity: Pick<ServerIdentity, 'current' | 'slots'>;
  readonly serverCertificates: Pick<ServerCertificates, 'generate' | 'pending'>;
  readonly standing: StandingOptions;
  /** Another generation signs now: what Central shows and vouches with is made anew. */
  readonly onReplaced: () => Promise<void>;
  /** Asks agents that are online to renew their certificates. */
  readonly askRenewal: () => void;
  readonly exclusively: <T>(act: () => Promise<T>) => Promise<T>;
  /** A change of parameters that waits for its confirmation. */
  readonly otherPending: () => { readonly changedBy: string; readonly deadline: number } | null;
  readonly log: { info(facts: object, text: string): void };
  readonly now: () => number;
}

export class Rotation {
  readonly #options: RotationOptions;

  constructor(options: RotationOptions) {
    this.#options = options;
  }

  phase(): { readonly phase: RotationPhase; readonly since: number } {
    const { authority } = this.#options;
    const newest = (role: GenerationRole): Generation | undefined => authority.inRole(role)[0];
    for (const [phase, role] of [
      ['prepared', 'prepared'],
      ['published', 'next'],
      ['switched', 'previous'],
      ['retired', 'retired'],
    ] as const) {
      const generation = newest(role);
      if (generation !== undefined) return { phase, since: generation.since };
    }
    return { phase: 'idle', since: authority.current().since };
  }

  async status(): Promise<RotationStatus> {
    const { authority, serverCertificates } = this.#options;
    const { phase, since } = this.phase();
    const [trust, issued] = [await this.#trustStanding(), await this.#issuerStanding(authority.inRole('previous'))];
    const pending = phase === 'published' && this.#awaitsConfirmation() ? serverCertificates.pending() : null;
    return {
      phase,
      since,
      next: nextStep(phase, pending, trust, issued),
      generations: authority.all(),
      pending,
      trust,
      issued,
    };
  }

  /** A new root, or an imported authority. Errors: rotation_wrong_phase, authority_known, authority_unfit, those of reading the file. */
  async prepare(file: UploadedKey | undefined, request: RotationRequest, actor: Actor): Promise<RotationReport> {
    const { authority, now } = this.#options;
    return await this.#step('prepare', ['idle', 'retired'], request, async (report) => {
      const read =
        file === undefined
          ? undefined
          : await readAuthorityFile(
              file,
              authority.generations().flatMap(({ chain }) => chain),
              now(),
            );
      const known = authority
        .all()
        .find(
          ({ id, role }) => read !== undefined && id === thumbprintOf(read.material.chain[0]) && role !== 'retired',
        );
      if (known !== undefined) throw pkiFault('authority_known', { thumbprint: known.id, role: known.role });
      const notices = [
        ...(read?.notices ?? []),
        ...(read !== undefined && read.material.chain.length > 1 ? [NO_CROSS] : []),
      ];
      if (request.dryRun !== true)
        await authority.prepare(read?.material ?? (await authority.makeRoot()), actor, request);
      return { ...report, notices };
    });
  }

  /** Its root joins what agents are to trust. Errors: rotation_wrong_phase. */
  async publish(request: RotationRequest, actor: Actor): Promise<RotationReport> {
    return await this.#step('publish', ['prepared'], request, async (report) => {
      if (request.dryRun !== true) await this.#assign('prepared', 'next', 'authority.publish', actor, request);
      return report;
    });
  }

  /**
   * It signs from now on. With a confirmation only the server certificate is shown first: unless agents come back over it and
   * somebody confirms it, that one goes by itself, and nothing else has changed.
   * Errors: rotation_wrong_phase, rotation_agents_missing, rotation_nothing_to_confirm, those of every swap.
   */
  async switch(
    { confirm, ...request }: RotationRequest & { readonly confirm?: ConfirmRequest | undefined },
    actor: Actor,
  ): Promise<RotationReport> {
    const { authority, identity, serverCertificates } = this.#options;
    let shown: Generation | undefined;
    const report = await this.#step('switch', ['published'], request, async (before) => {
      const { missing } = await this.#trustStanding();
      const { id } = this.#only('next');
      const origin = identity.current()?.origin ?? 'made';
      if (confirm !== undefined && origin !== 'made') throw rotationFault('rotation_nothing_to_confirm', { origin });
      if (request.dryRun === true) return { ...before, missing };
      if (missing.length > 0 && request.force !== true)
        throw rotationFault('rotation_agents_missing', { count: agentsText(missing.length), names: namesOf(missing) });
      const notices = (await authority.certify(id, actor)) ? [] : [NO_CROSS];
      if (confirm === undefined) await this.#promote(id, actor, request);
      else shown = this.#only('next');
      return { ...before, missing, notices };
    });
    if (shown === undefined) return report;
    // Takes its turn by itself; who comes in between is told that the certificate waits.
    const { pending } = await serverCertificates.generate({ ...request, confirm }, actor, shown);
    return { ...report, pending };
  }

  /** What was shown under the generation that comes was confirmed: it signs everything else too. */
  async onConfirmed(actor: Actor): Promise<void> {
    const [next] = this.#options.authority.inRole('next');
    if (next !== undefined && this.#shows(next)) await this.#promote(next.id, actor, {});
  }

  /** What signed before is trusted no more. Errors: rotation_wrong_phase, rotation_still_needed. */
  async retire(request: RotationRequest, actor: Actor): Promise<RotationReport> {
    const { authority, identity, onReplaced } = this.#options;
    return await this.#step('retire', ['switched'], request, async (before) => {
      const { others } = await this.#issuerStanding(authority.inRole('previous'));
      // Where Central shows a certificate from elsewhere, agents trust it by another root.
      const untrusting = identity.current()?.origin === 'made' ? (await this.#trustStanding()).missing : [];
      const missing = eachOnce([...untrusting, ...others]);
      if (request.dryRun === true) return { ...before, missing };
      this.#refuseToLeave('Retiring the authority before', missing, request);
      await this.#assign('previous', 'retired', 'authority.retire', actor, request);
      await onReplaced();
      return { ...before, missing };
    });
  }

  /** One phase back. Errors: rotation_wrong_phase, rotation_still_needed. */
  async back(request: RotationRequest, actor: Actor): Promise<RotationReport> {
    const { authority, onReplaced, askRenewal } = this.#options;
    return await this.#step('back', ['prepared', 'published', 'switched', 'retired'], request, async (before) => {
      switch (before.phase) {
        case 'prepared': {
          if (request.dryRun !== true) await authority.forget(this.#only('prepared').id, actor, request);
          return before;
        }
        case 'published': {
          const { others: missing } = await this.#issuerStanding(authority.inRole('next'));
          if (request.dryRun === true) return { ...before, missing };
          this.#refuseToLeave('Taking the new authority back', missing, request);
          await this.#assign('next', 'prepared', 'authority.back', actor, request);
          return { ...before, missing };
        }
        case 'switched': {
          const old = this.#only('previous');
          const { missing } = await trustStanding(this.#options.standing, thumbprintOf(rootOf(old)));
          if (request.dryRun === true) return { ...before, missing };
          this.#refuseToLeave('Going back to the authority before', missing, request);
          await authority.assign(
            { [authority.current().id]: 'next', [old.id]: 'current' },
            'authority.back',
            actor,
            request,
          );
          await onReplaced();
          askRenewal();
          return { ...before, missing };
        }
        default: {
          if (request.dryRun === true) return before;
          // Those that were retired together come back together.
          const [last] = authority.inRole('retired');
          const ids = authority
            .inRole('retired')
            .filter(({ since }) => since === last?.since)
            .map(({ id }) => id);
          await authority.assign(
            Object.fromEntries(ids.map((id) => [id, 'previous'])),
            'authority.back',
            actor,
            request,
          );
          await onReplaced();
          return before;
        }
      }
    });
  }

  /** Throws the key of a retired one away: there is no way back to it. Errors: authority_unknown, authority_in_use. */
  async forget(thumbprint: string, reason: Reason, actor: Actor): Promise<void> {
    await this.#options.exclusively(async () => await this.#options.authority.forget(thumbprint, actor, reason));
  }

  async measure({ instruments: { queuegate_trust_agents: agents } }: Metrics): Promise<void> {
    const { acknowledged, missing, plain } = await this.#trustStanding();
    agents.set({ state: 'acknowledged' }, acknowledged);
    agents.set({ state: 'missing' }, missing.length);
    agents.set({ state: 'plain' }, plain);
  }

  async #step(
    step: string,
    allowed: readonly RotationPhase[],
    request: RotationRequest,
    act: (before: RotationReport) => Promise<RotationReport>,
  ): Promise<RotationReport> {
    const { exclusively, log } = this.#options;
    return await exclusively(async () => {
      const { phase } = this.phase();
      if (!allowed.includes(phase))
        throw rotationFault('rotation_wrong_phase', { step, found: phase, allowed: allowed.join(' or ') });
      this.#refuseWhilePending();
      const report = await act({ dryRun: request.dryRun === true, phase, missing: [], notices: [], pending: null });
      if (request.dryRun === true) return report;
      log.info({ step, from: phase, to: this.phase().phase }, 'the rotation of the authority went on');
      return { ...report, phase: this.phase().phase };
    });
  }

  async #promote(id: string, actor: Actor, reason: Reason): Promise<void> {
    const { authority, onReplaced, askRenewal } = this.#options;
    await authority.promote(id, actor, reason);
    await onReplaced();
    askRenewal();
  }

  async #assign(from: GenerationRole, to: GenerationRole, action: string, actor: Actor, reason: Reason): Promise<void> {
    const { authority } = this.#options;
    await authority.assign(Object.fromEntries(authority.inRole(from).map(({ id }) => [id, to])), action, actor, reason);
  }

  /** The newest of this role, which the phase says there is. */
  #only(role: GenerationRole): Generation {
    const [generation] = this.#options.authority.inRole(role);
    if (generation === undefined) throw new TypeError(`no generation is ${role}`);
    return generation;
  }

  async #trustStanding(): Promise<TrustStanding> {
    const { authority, standing } = this.#options;
    const [coming = authority.current()] = [...authority.inRole('prepared'), ...authority.inRole('next')];
    return await trustStanding(standing, thumbprintOf(rootOf(coming)));
  }

  async #issuerStanding(others: readonly Generation[]): Promise<IssuerStanding> {
    const { authority, standing } = this.#options;
    return await issuerStanding(standing, authority.current().id, new Set(others.map(({ id }) => id)));
  }

  #shows({ chain: [issuer] }: Generation): boolean {
    const shown = this.#options.identity.current();
    return shown !== undefined && signedBy(readChain(shown.chain, 'The server certificate')[0], issuer);
  }

  #awaitsConfirmation(): boolean {
    const [next] = this.#options.authority.inRole('next');
    return this.#options.identity.slots.pending !== undefined && next !== undefined && this.#shows(next);
  }

  #refuseToLeave(step: string, missing: readonly NamedAgent[], { force }: RotationRequest): void {
    if (missing.length > 0 && force !== true)
      throw rotationFault('rotation_still_needed', {
        step,
        count: agentsText(missing.length),
        names: namesOf(missing),
      });
  }

  #refuseWhilePending(): void {
    const { pending } = this.#options.identity.slots;
    if (pending !== undefined)
      throw pkiFault('certificate_change_pending', {
        who: pending.changedBy,
        until: new Date(pending.deadline).toISOString(),
      });
    const other = this.#options.otherPending();
    if (other !== null)
      throw parameterFault('change_pending', { who: other.changedBy, until: new Date(other.deadline).toISOString() });
  }
}

const NO_CROSS =
  'The authority before cannot vouch for this one (it is an intermediate, or the one before may sign no authority): agents that have not taken its root by the switch are cut off until somebody imports it there.';

function eachOnce(agents: readonly NamedAgent[]): NamedAgent[] {
  return [...new Map(agents.map((agent) => [agent.id, agent])).values()];
}

function nextStep(
  phase: RotationPhase,
  pending: PendingReport | null,
  trust: TrustStanding,
  { others }: IssuerStanding,
): string {
  const left = eachOnce([...trust.missing, ...others]).length;
  switch (phase) {
    case 'idle':
      return 'Nothing is under way. "queuegate ca rotate prepare" makes the authority that comes next.';
    case 'prepared':
      return '"queuegate ca rotate publish" gives its root to the agents; "back" throws it away.';
    case 'published':
      if (pending !== null)
        return `The switch waits for its confirmation until ${new Date(pending.deadline).toISOString()}: "queuegate certificate confirm", or "queuegate certificate undo".`;
      if (trust.missing.length > 0)
        return `Waits for ${agentsText(trust.missing.length)} to trust its root; "queuegate ca rotate switch --force" goes on without them, "back" takes the root back.`;
      return '"queuegate ca rotate switch" lets it sign; "back" takes the root back.';
    case 'switched':
      if (left > 0)
        return `Waits for ${agentsText(left)} to trust the new root and to renew under it; "queuegate ca rotate retire --force" leaves them behind, "back" lets the one before sign again.`;
      return '"queuegate ca rotate retire" ends the trust in the one before; "back" lets it sign again.';
    case 'retired':
      return 'Done. "queuegate ca rotate back" trusts the one before again; its key goes with "queuegate ca forget THUMBPRINT", or with the next "prepare".';
  }
}
