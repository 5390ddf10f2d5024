// Rotates the authority in phases: prepare, publish, switch, retire, and rolls each of them back. The store is the
// truth: a phase is which generations exist and in which role, so that a restart of Central changes nothing. Every step
// first names the agents that would be left behind, and runs between two changes of parameters or certificates.
import type { Actor, AuditAction } from '../../audit.ts';
import type { Metrics } from '../../metrics.ts';
import { agentsText } from '../../change/agents.ts';
import { assertNoneCutOff, type Change, type Changes } from '../../change/changes.ts';
import type { ConfirmRequest } from '../../change/confirm.ts';
import { notice, type Notice } from '../../change/report.ts';
import { readAuthorityFile } from '../authority/authority-file.ts';
import type { Authority } from '../authority/authority.ts';
import { signedBy } from '../x509/chain.ts';
import { thumbprintOf } from '../x509/certificate.ts';
import { pkiFault, rotationFault } from '../errors.ts';
import { rootOf, type Generation, type GenerationRole } from '../authority/generations.ts';
import type { ServerCertificates } from '../server/server-certificates.ts';
import type { ServerIdentity } from '../server/server-identity.ts';
import { chainOf } from '../server/slots.ts';
import { onNewest } from '../keys/subject.ts';
import {
  cutOffOf,
  issuerProgress,
  trustProgress,
  type IssuerProgress,
  type NamedAgent,
  type ProgressOptions,
  type TrustProgress,
} from './progress.ts';
import type { UploadedKey } from '../x509/upload.ts';

/** idle: no rotation is in progress. The others are named after the step that led to them. */
const ROTATION_PHASES = ['idle', 'prepared', 'published', 'switched', 'retired'] as const;
type RotationPhase = (typeof ROTATION_PHASES)[number];

interface RotationRequest {
  /** Reports which agents would be left behind, and changes nothing. */
  readonly dryRun?: boolean | undefined;
  /** Also when agents are left behind. */
  readonly force?: boolean | undefined;
}

export interface RotationReport {
  readonly dryRun: boolean;
  /** The phase after the step; in a dry run, the present one. */
  readonly phase: RotationPhase;
  /** Agents that are not ready for this step, and why. */
  readonly missing: readonly NamedAgent[];
  readonly notices: readonly Notice[];
  /** The phase before the step. */
  readonly before: RotationPhase;
  /** The switch that waits for its confirmation. */
  readonly change: Change | null;
}

interface RotationStatus {
  readonly phase: RotationPhase;
  readonly since: number;
  /** In words: what comes next, and what it needs. */
  readonly next: string;
  readonly change: Change | null;
  /** Of the root that comes, or has come last. */
  readonly trust: TrustProgress;
  readonly issued: IssuerProgress;
}

interface RotationOptions {
  readonly authority: Authority;
  readonly identity: Pick<ServerIdentity, 'current' | 'slots'>;
  readonly serverCertificates: Pick<ServerCertificates, 'generate'>;
  readonly changes: Pick<Changes, 'assertNonePending' | 'pendingChange' | 'runExclusive'>;
  readonly progress: ProgressOptions;
  /** Reads keys and certificates again: another node may have changed them. */
  readonly look: () => Promise<void>;
  /** Lets a generation sign, and reissues what Central shows and vouches with. Errors: authority_unknown. */
  readonly promote: (generation: string, actor: Actor) => Promise<void>;
  /** Other generations sign or are trusted now: reissues what Central shows and vouches with. */
  readonly onReplaced: () => Promise<void>;
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
    const { authority } = this.#options;
    const { phase, since } = this.phase();
    const [trust, issued] = [await this.#trustProgress(), await this.#issuerProgress(authority.inRole('previous'))];
    const change = phase === 'published' ? await this.#pendingSwitch() : null;
    return {
      phase,
      since,
      next: nextStep(phase, change, trust, issued),
      change,
      trust,
      issued,
    };
  }

  /**
   * A new root, or an imported authority. Errors: rotation_wrong_phase, authority_known, authority_unfit, those of
   * reading the file.
   */
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
        ...(read !== undefined && read.material.chain.length > 1 ? [notice('cross_certificate_missing', {})] : []),
      ];
      if (request.dryRun !== true) await authority.prepare(read?.material ?? (await authority.makeRoot()), actor);
      return { ...report, notices };
    });
  }

  /** Its root joins what agents are to trust. Errors: rotation_wrong_phase. */
  async publish(request: RotationRequest, actor: Actor): Promise<RotationReport> {
    return await this.#step('publish', ['prepared'], request, async (report) => {
      if (request.dryRun !== true) await this.#assign('prepared', 'next', 'ca.rotation.publish', actor);
      return report;
    });
  }

  /**
   * It signs from now on. With a confirmation only the server certificate is replaced first: unless agents reconnect
   * over it and an administrator confirms it, it is rolled back, and nothing else has changed. Errors:
   * rotation_wrong_phase, would_cut_off_agents, rotation_nothing_to_confirm, those of every swap.
   */
  async switch(
    { confirm, ...request }: RotationRequest & { readonly confirm?: ConfirmRequest | undefined },
    actor: Actor,
  ): Promise<RotationReport> {
    const { authority, identity, promote, serverCertificates } = this.#options;
    let shown: Generation | undefined;
    const report = await this.#step('switch', ['published'], request, async (before) => {
      const { missing } = await this.#trustProgress();
      const { id } = this.#only('next');
      const origin = identity.current()?.origin ?? 'issued';
      if (confirm !== undefined && origin !== 'issued') throw rotationFault('rotation_nothing_to_confirm', { origin });
      if (request.dryRun === true) return { ...before, missing };
      assertNoneCutOff(missing.map(cutOffOf), request.force === true);
      const notices = (await authority.certify(id, actor)) ? [] : [notice('cross_certificate_missing', {})];
      if (confirm === undefined) await promote(id, actor);
      else shown = this.#only('next');
      return { ...before, missing, notices };
    });
    if (shown === undefined) return report;
    // A change of its own. Once it is confirmed, the generation signs everything else too.
    const { change } = await serverCertificates.generate({ ...request, confirm }, actor, shown);
    return { ...report, change };
  }

  /** The generation before is no longer trusted. Errors: rotation_wrong_phase, would_cut_off_agents. */
  async retire(request: RotationRequest, actor: Actor): Promise<RotationReport> {
    const { authority, identity, onReplaced } = this.#options;
    return await this.#step('retire', ['switched'], request, async (before) => {
      const { others } = await this.#issuerProgress(authority.inRole('previous'));
      // Where Central shows a certificate from elsewhere, agents trust it by another root.
      const untrusting = identity.current()?.origin === 'issued' ? (await this.#trustProgress()).missing : [];
      const missing = eachOnce([...untrusting, ...others]);
      if (request.dryRun === true) return { ...before, missing };
      assertNoneCutOff(missing.map(cutOffOf), request.force === true);
      await this.#assign('previous', 'retired', 'ca.rotation.retire', actor);
      await onReplaced();
      return { ...before, missing };
    });
  }

  /** Rolls the latest step back. Errors: rotation_wrong_phase, would_cut_off_agents. */
  async rollBack(request: RotationRequest, actor: Actor): Promise<RotationReport> {
    const { authority, onReplaced } = this.#options;
    return await this.#step('rollback', ['prepared', 'published', 'switched', 'retired'], request, async (before) => {
      switch (before.phase) {
        case 'prepared': {
          if (request.dryRun !== true) await authority.forget(this.#only('prepared').id, actor, 'ca.rotation.rollback');
          return before;
        }
        case 'published': {
          const { others: missing } = await this.#issuerProgress(authority.inRole('next'));
          if (request.dryRun === true) return { ...before, missing };
          assertNoneCutOff(missing.map(cutOffOf), request.force === true);
          await this.#assign('next', 'prepared', 'ca.rotation.rollback', actor);
          return { ...before, missing };
        }
        case 'switched': {
          const old = this.#only('previous');
          const { missing } = await trustProgress(this.#options.progress, thumbprintOf(rootOf(old)));
          if (request.dryRun === true) return { ...before, missing };
          assertNoneCutOff(missing.map(cutOffOf), request.force === true);
          await authority.assign(
            { [authority.current().id]: 'next', [old.id]: 'current' },
            'ca.rotation.rollback',
            actor,
          );
          await onReplaced();
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
          await authority.assign(Object.fromEntries(ids.map((id) => [id, 'previous'])), 'ca.rotation.rollback', actor);
          await onReplaced();
          return before;
        }
      }
    });
  }

  /**
   * Deletes the key of a retired one, after which it cannot be restored. Errors: authority_unknown, authority_in_use.
   */
  async forget(thumbprint: string, actor: Actor): Promise<void> {
    const { authority, changes, look } = this.#options;
    await changes.runExclusive(async () => await onNewest(look, async () => await authority.forget(thumbprint, actor)));
  }

  async measure({ instruments: { queuegate_trust_agents: agents } }: Metrics): Promise<void> {
    const { acknowledged, missing, unencrypted } = await this.#trustProgress();
    agents.set({ state: 'acknowledged' }, acknowledged);
    agents.set({ state: 'missing' }, missing.length);
    agents.set({ state: 'unencrypted' }, unencrypted);
  }

  async #step(
    step: string,
    allowed: readonly RotationPhase[],
    request: RotationRequest,
    act: (before: RotationReport) => Promise<RotationReport>,
  ): Promise<RotationReport> {
    const { changes, log, look } = this.#options;
    // Two nodes may be asked for the same step: the store takes it from one, and the other one finds the phase behind it.
    let wanted = allowed;
    const once = async (): Promise<RotationReport> => {
      const { phase, since } = this.phase();
      if (!wanted.includes(phase)) {
        const found = { found: phase, since: new Date(since).toISOString(), allowed: wanted.join(' or ') };
        throw rotationFault('rotation_wrong_phase', { step, ...found });
      }
      wanted = [phase];
      changes.assertNonePending(['server-certificate', 'parameters']);
      const report = await act({
        dryRun: request.dryRun === true,
        before: phase,
        phase,
        missing: [],
        notices: [],
        change: null,
      });
      if (request.dryRun === true) return report;
      log.info({ step, from: phase, to: this.phase().phase }, 'the rotation of the authority advanced');
      return { ...report, phase: this.phase().phase };
    };
    return await changes.runExclusive(async () => await onNewest(look, once));
  }

  async #assign(from: GenerationRole, to: GenerationRole, action: AuditAction, actor: Actor): Promise<void> {
    const { authority } = this.#options;
    await authority.assign(Object.fromEntries(authority.inRole(from).map(({ id }) => [id, to])), action, actor);
  }

  /** The newest of this role, which the phase says there is. */
  #only(role: GenerationRole): Generation {
    const [generation] = this.#options.authority.inRole(role);
    if (generation === undefined) throw new TypeError(`no generation is ${role}`);
    return generation;
  }

  async #trustProgress(): Promise<TrustProgress> {
    const { authority, progress } = this.#options;
    const [coming = authority.current()] = [...authority.inRole('prepared'), ...authority.inRole('next')];
    return await trustProgress(progress, thumbprintOf(rootOf(coming)));
  }

  async #issuerProgress(others: readonly Generation[]): Promise<IssuerProgress> {
    const { authority, progress } = this.#options;
    return await issuerProgress(progress, authority.current().id, new Set(others.map(({ id }) => id)));
  }

  #shows({ chain: [issuer] }: Generation): boolean {
    const shown = this.#options.identity.current();
    return shown !== undefined && signedBy(chainOf(shown)[0], issuer);
  }

  /** The server certificate of the generation that comes next, while it waits for its confirmation. */
  async #pendingSwitch(): Promise<Change | null> {
    const { authority, changes } = this.#options;
    const [next] = authority.inRole('next');
    return next !== undefined && this.#shows(next) ? await changes.pendingChange('server-certificate') : null;
  }
}

function eachOnce(agents: readonly NamedAgent[]): NamedAgent[] {
  return [...new Map(agents.map((agent) => [agent.id, agent])).values()];
}

function nextStep(
  phase: RotationPhase,
  change: Change | null,
  trust: TrustProgress,
  { others }: IssuerProgress,
): string {
  const left = eachOnce([...trust.missing, ...others]).length;
  switch (phase) {
    case 'idle':
      return 'No rotation is in progress. "queuegate ca rotation prepare" prepares the next authority.';
    case 'prepared':
      return '"queuegate ca rotation publish" sends its root to the agents; "rollback" discards it.';
    case 'published':
      if (change !== null)
        return `The switch waits for its confirmation until ${new Date(change.expiresAt).toISOString()}: "queuegate changes confirm", or "queuegate changes rollback".`;
      if (trust.missing.length > 0)
        return `Waits for ${agentsText(trust.missing.length)} to trust its root; "queuegate ca rotation switch --force" continues without them, "rollback" withdraws the root.`;
      return '"queuegate ca rotation switch" lets it sign; "rollback" withdraws the root.';
    case 'switched':
      if (left > 0)
        return `Waits for ${agentsText(left)} to trust the new root and to renew under it; "queuegate ca rotation retire --force" leaves them behind, "rollback" lets the previous one sign again.`;
      return '"queuegate ca rotation retire" ends the trust in the previous one; "rollback" lets it sign again.';
    case 'retired':
      return 'Done. "queuegate ca rotation rollback" restores the trust in the previous one; "queuegate ca delete-key THUMBPRINT" or the next "prepare" deletes its key.';
  }
}
