// Records refusals of agents as their states, once for each cause: an agent that is refused again and again makes
// Central write a minute apart at most.
import { setNewest } from '../../../shared/recent-entries.ts';
import { textOf, type CodedError } from '../../../shared/errors.ts';
import { shownThumbprint } from '../../../shared/wire/proof.ts';
import type { Hello } from '../../../shared/wire/messages.ts';
import { keptReason, stateOfRefused } from '../../store/agents/state-reasons.ts';
import type { AgentStore } from '../../store/agent-store.ts';

interface RefusedHellosNeeds {
  readonly agents: Pick<AgentStore, 'recordRefusal'>;
  readonly log: { debug(facts: object, text: string): void };
  readonly now: () => number;
}

/** Between two records of one agent and key. */
const WRITE_MS = 60_000;
/** Some 200 bytes each. One that is forgotten may be recorded once more. */
const MAX_ENTRIES = 10_000;

export class RefusedHellos {
  readonly #needs: RefusedHellosNeeds;
  /** By agent and key: strangers who name an agent push none of its own out. */
  readonly #recorded = new Map<string, { readonly code: string; readonly at: number }>();

  constructor(needs: RefusedHellosNeeds) {
    this.#needs = needs;
  }

  /**
   * Whether the key is the agent's, the store knows. What becomes a state is said behind the signature only; that the
   * agent logs in too often is true for any hello, since only its own logins count.
   */
  record(hello: Hello, reason: CodedError): void {
    const { agents, log, now } = this.#needs;
    if (stateOfRefused(reason.code) === undefined) return;
    const keyThumbprint = shownThumbprint(hello.key);
    const key = `${keyThumbprint} ${hello.id}`;
    const [last, at] = [this.#recorded.get(key), now()];
    if (last !== undefined && at - last.at < WRITE_MS) return;
    setNewest(this.#recorded, key, { code: reason.code, at }, MAX_ENTRIES);
    const until = reason.code === 'agent_login_rate' ? at + Number(reason.parameters['seconds']) * 1000 : null;
    agents
      .recordRefusal({ agentId: hello.id, keyThumbprint, reason: keptReason(reason), until, now: at })
      .catch((error: unknown) => log.debug({ agent: hello.id, error: textOf(error) }, 'refusal not recorded'));
  }

  /** It was welcomed: the next refusal is news. */
  welcomed({ hello, keyThumbprint }: { readonly hello: Hello; readonly keyThumbprint: string }): void {
    this.#recorded.delete(`${keyThumbprint} ${hello.id}`);
  }
}
