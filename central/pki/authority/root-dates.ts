// Keeps the root of Central's own authority within its dates: one that was made while the clock was wrong is not valid
// yet, or not any more, and nothing below it is. It is reissued with its key and its name, so that its pin, and
// whatever it signed, stay good; an agent that trusts the one before, and takes it for valid, accepts the new one by
// it. Agents that do not have the new one are a problem of the status until they do.
import { validityOf } from '../../../shared/x509/validity.ts';
import { problemFault, problemOf, type Problem } from '../../problems.ts';
import type { CertificateStore } from '../../store/certificate-store.ts';
import { agentsWithoutTrust } from '../trust/trust-bundle.ts';
import { chainPem } from '../x509/certificate.ts';
import type { Authority } from './authority.ts';

interface RootDatesOptions {
  readonly authority: Authority;
  readonly certificates: Pick<CertificateStore, 'trust'>;
  readonly log: { warn(facts: object, text: string): void };
  readonly now: () => number;
}

const NAMED_AGENTS = 5;
const PAGE = 1000;

export class RootDates {
  readonly #options: RootDatesOptions;
  #problems: readonly Problem[] = [];

  constructor(options: RootDatesOptions) {
    this.#options = options;
  }

  /** Reissues the current root when it is out of date; true when it did. An imported one is its owner's. */
  async renew(): Promise<boolean> {
    const { authority, log, now } = this.#options;
    const { origin, chain } = authority.current();
    const { from, to } = validityOf(chain[0]);
    const isInDate = from.getTime() <= now() && now() < to.getTime();
    if (origin !== 'issued' || chain.length > 1 || isInDate) return false;
    const { id } = await authority.reissueRoot(await this.#isUsed());
    const facts = { thumbprint: id, before: { from: from.toISOString(), until: to.toISOString() } };
    log.warn(facts, 'the root of the authority was not valid at this time: it was reissued with its key');
    return true;
  }

  /** Which agents do not have a root that was reissued, for the status. */
  async measure(): Promise<void> {
    const { formerIds = [], reissuedAt } = this.#options.authority.current();
    const missing = formerIds.length === 0 ? [] : await this.#without();
    const names = missing.slice(0, NAMED_AGENTS).map(({ name }) => name);
    const agents = [...names, ...(missing.length > names.length ? ['...'] : [])].join(', ');
    const at = reissuedAt ?? this.#options.now();
    const facts = { count: missing.length, agents, reissuedAt: new Date(at).toISOString() };
    this.#problems = missing.length === 0 ? [] : [problemOf(problemFault('authority_reissued', facts), at)];
  }

  problems(): readonly Problem[] {
    return this.#problems;
  }

  /** Agents over wss that do not have the current root, as far as is known. */
  async #without() {
    const { authority, certificates } = this.#options;
    return await agentsWithoutTrust({ certificates, authority }, chainPem(authority.current().chain));
  }

  /** Some agent verifies Central by a root. */
  async #isUsed(): Promise<boolean> {
    for (let after: string | undefined; ;) {
      const page = await this.#options.certificates.trust({ limit: PAGE, ...(after === undefined ? {} : { after }) });
      if (page.some(({ transport }) => transport !== 'ws')) return true;
      after = page.at(-1)?.name;
      if (page.length < PAGE || after === undefined) return false;
    }
  }
}
