// Exports and imports the authority for an administrator, and determines which agents another one would cut off. An
// import runs between two changes of parameters or certificates; afterwards, what the authority signs is reissued.
import { type Actor, auditEntry } from '../../audit.ts';
import type { CutOffAgent, Notice } from '../../change/report.ts';
import { assertNoneCutOff, type Changes } from '../../change/changes.ts';
import type { AuditStore } from '../../store/audit-store.ts';
import { agentsWithoutTrust, untrusting, type TrustKnowledge } from '../trust/trust-bundle.ts';
import type { Authority } from './authority.ts';
import { readAuthorityFile, writeAuthorityFile } from './authority-file.ts';
import { chainPem } from '../x509/certificate.ts';
import { pkiFault } from '../errors.ts';
import type { Generation } from './generations.ts';
import type { ServerIdentity } from '../server/server-identity.ts';
import type { UploadedKey } from '../x509/upload.ts';

interface ImportRequest {
  readonly dryRun?: boolean | undefined;
  /** Also when agents would be cut off. */
  readonly force?: boolean | undefined;
}

interface ImportReport {
  readonly dryRun: boolean;
  readonly generation: Pick<Generation, 'id' | 'chain' | 'origin'>;
  /** Agents that hold nothing of the new chain, as far as is known, and would refuse what it signs. */
  readonly cutOff: readonly CutOffAgent[];
  /** The generation that signed before. */
  readonly before: string;
  readonly notices: readonly Notice[];
}

interface AuthorityServiceOptions {
  readonly authority: Authority;
  readonly identity: Pick<ServerIdentity, 'current'>;
  readonly trust: TrustKnowledge;
  readonly audit: AuditStore;
  /** Reads keys and certificates again: another node may have changed them. */
  readonly look: () => Promise<void>;
  /** Another generation signs now: reissues what the one before signed for Central itself. */
  readonly onReplaced: () => Promise<void>;
  readonly changes: Pick<Changes, 'assertNonePending' | 'runExclusive'>;
  readonly now: () => number;
}

export class AuthorityService {
  readonly #options: AuthorityServiceOptions;

  constructor(options: AuthorityServiceOptions) {
    this.#options = options;
  }

  /** Prepared and retired ones too. */
  generations(): readonly Generation[] {
    return this.#options.authority.all();
  }

  /**
   * Key and chain as password-protected PKCS#12; the current one unless another is named. Errors: authority_unknown,
   * export_password_weak.
   */
  async export(
    { thumbprint, password }: { readonly thumbprint?: string | undefined; readonly password: string },
    actor: Actor,
  ): Promise<{ readonly generation: Generation; readonly file: Buffer }> {
    const { authority, audit, now } = this.#options;
    const generation =
      thumbprint === undefined ? authority.current() : authority.all().find(({ id }) => id === thumbprint);
    if (generation === undefined) throw pkiFault('authority_unknown', { thumbprint: thumbprint ?? '' });
    const file = await writeAuthorityFile(generation, password);
    await audit.append(auditEntry(actor, 'ca.export', { thumbprint: generation.id }, now()));
    return { generation, file };
  }

  /**
   * Lets an imported root, or an intermediate whose chain ends at one, sign from now on. What was signed before stays
   * trusted: the one before is kept as previous. Errors: authority_unfit, authority_known, would_cut_off_agents, those
   * of reading the file.
   */
  async import(file: UploadedKey, request: ImportRequest, actor: Actor): Promise<ImportReport> {
    const { authority, now, changes } = this.#options;
    const known = authority.generations().flatMap(({ chain }) => chain);
    const { material, notices } = await readAuthorityFile(file, known, now());
    return await changes.runExclusive(async () => {
      await this.#options.look();
      const { thumbprint } = this.#assertNew(material.chain[0].fingerprint256);
      const cutOff = await this.#cutOffBy(chainPem(material.chain));
      const before = authority.current().id;
      const report = {
        before,
        dryRun: request.dryRun === true,
        generation: { ...material, id: thumbprint },
        cutOff,
        notices,
      };
      if (request.dryRun === true) return report;
      changes.assertNonePending(['server-certificate']);
      assertNoneCutOff(cutOff, request.force === true);
      await authority.replace(material, actor);
      await this.#options.onReplaced();
      return report;
    });
  }

  #assertNew(fingerprint: string): { readonly thumbprint: string } {
    const thumbprint = fingerprint.replaceAll(':', '').toLowerCase();
    if (this.#options.authority.current().id === thumbprint)
      throw pkiFault('authority_known', { thumbprint, role: 'current' });
    return { thumbprint };
  }

  /**
   * Only what our authority signs changes with it: a server certificate from elsewhere stays in use, and agents keep
   * trusting it.
   */
  async #cutOffBy(chain: string): Promise<CutOffAgent[]> {
    const { identity, trust } = this.#options;
    if (identity.current()?.origin !== 'issued') return [];
    return (await agentsWithoutTrust(trust, chain)).map(untrusting);
  }
}
