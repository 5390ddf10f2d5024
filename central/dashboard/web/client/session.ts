// Who is signed in, and what that role may do.
import { get, isStoreAway, Refused, send, whenSignedOut } from './api.ts';
import { refusedSignIn } from './oidc.ts';
import { store } from './store.ts';
import { startWatching, stopWatching } from './watch.ts';
import type { Login, ProblemDocument, Role } from './types.ts';

export interface SessionState {
  /** Undefined: not known yet; null: no one. */
  readonly login: Login | null | undefined;
  /** The ways to sign in that Central offers. */
  readonly ways: readonly string[];
  /** Why the session ended, or why it could not be read. */
  readonly problem: ProblemDocument | null;
}

export const session = store<SessionState>({ login: undefined, ways: ['token'], problem: null });

/** How often it is tried to learn who is signed in, while the store is away. */
const AGAIN_MS = 3_000;

const RANK: Readonly<Record<Role, number>> = { viewer: 0, operator: 1, administrator: 2 };

/** What a role may not do is not offered. */
export function may(role: Role): boolean {
  const { login } = session.get();
  return login !== null && login !== undefined && RANK[login.role] >= RANK[role];
}

/** True where the token is for all agents: what is about the whole installation needs that. */
export function isUnscoped(): boolean {
  return session.get().login?.scope === null;
}

function entered(login: Login): void {
  session.set({ ...session.get(), login, problem: null });
  startWatching();
}

/** Reads who is signed in, when the page is opened. */
export async function resume(): Promise<void> {
  const refused = refusedSignIn();
  whenSignedOut((problem) => {
    if (session.get().login === null) return;
    stopWatching();
    session.set({ ...session.get(), login: null, problem });
  });
  try {
    entered((await get<Login>('/login')).data);
  } catch (error) {
    const problem = error instanceof Refused ? error.problem : null;
    if (problem !== null && isStoreAway(problem)) {
      // Who is signed in is known again when the store is.
      session.set({ ...session.get(), problem });
      setTimeout(() => void resume(), AGAIN_MS);
      return;
    }
    const offered = problem?.['signIn'];
    const ways = Array.isArray(offered) ? offered.map(String) : ['token'];
    session.set({ login: null, ways, problem: refused ?? (problem?.status === 401 ? null : problem) });
  }
}

/** Errors: Refused. */
export async function signIn(token: string): Promise<void> {
  const { data } = await send<Login>('POST', '/login', { body: { token } });
  entered(data);
}

export async function signOut(): Promise<void> {
  await send('DELETE', '/login').catch(() => undefined);
  stopWatching();
  // Nothing of what was shown stays in memory.
  location.assign('/sign-in');
}
