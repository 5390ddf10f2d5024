// Gathers logins: while one group is on its way, those that arrive form the next one.
import type { ClaimTerms, Login, SessionClaim } from '../agent-store.ts';
import type { LoginOutcome, LoginRequest } from './logins.ts';

interface LoginCalls {
  many(requests: readonly LoginRequest[]): Promise<readonly LoginOutcome[]>;
  alone(claim: SessionClaim, terms: ClaimTerms): Promise<Login>;
}

interface Waiting extends LoginRequest {
  readonly resolve: (login: Login) => void;
  readonly reject: (error: unknown) => void;
}

/** Some 50 ms under the lock of all nodes. */
const MAX_GROUP = 250;

export class LoginGroups {
  readonly #calls: LoginCalls;
  #waiting: Waiting[] = [];
  #isRunning = false;

  constructor(calls: LoginCalls) {
    this.#calls = calls;
  }

  logIn(claim: SessionClaim, terms: ClaimTerms): Promise<Login> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ claim, terms, resolve, reject });
      if (this.#isRunning) return;
      this.#isRunning = true;
      // What this turn of the event loop still brings belongs to the same group.
      setImmediate(() => void this.#run());
    });
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const group = this.#waiting.splice(0, MAX_GROUP);
      const [only] = group;
      if (only !== undefined && group.length === 1) {
        await this.#alone(only);
        continue;
      }
      try {
        const outcomes = await this.#calls.many(group.map(({ claim, terms }) => ({ claim, terms })));
        for (const [index, one] of group.entries()) {
          const outcome = outcomes[index] ?? 'alone';
          if (outcome === 'alone') void this.#alone(one);
          else one.resolve(outcome);
        }
      } catch (error) {
        for (const { reject } of group) reject(error);
      }
    }
    this.#isRunning = false;
  }

  async #alone({ claim, terms, resolve, reject }: Waiting): Promise<void> {
    await this.#calls.alone(claim, terms).then(resolve, reject);
  }
}
