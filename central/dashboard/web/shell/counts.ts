// What the side bar counts on every page: the problems of the overview, and the rollouts that halted.
import { all, get } from '../client/api.ts';
import { onReset } from '../client/watch.ts';
import type { Status } from '../client/types.ts';
import { GROUPS } from '../states.ts';
import { T } from '../strings.ts';
import { setBadge } from './badges.ts';

const EVERY_MS = 15_000;
/** The page itself comes first. */
const FIRST_MS = 2_000;

const needsAction = GROUPS.find(({ id }) => id === 'action');

async function read(): Promise<void> {
  const [{ data }, halted] = await Promise.all([get<Status>('/status'), all('/rollouts', { state: 'halted' })]);
  const agentCount = data.agents.states.reduce(
    (sum, { state, agentCount: count }) => (needsAction?.has(state) === true ? sum + count : sum),
    0,
  );
  setBadge('overview', { count: data.problems.length + halted.length + agentCount, level: '', word: T.problemsWord });
  setBadge('rollouts', { count: halted.length, level: 'warn', word: T.rollouts.halted });
}

/** Reads them once the page is there, and while the page is visible. Returns what ends it. A failure keeps what is shown. */
export function startCounts(): () => void {
  const look = (): void => {
    if (!document.hidden) read().catch(() => undefined);
  };
  const timer = setInterval(look, EVERY_MS);
  const first = setTimeout(look, FIRST_MS);
  const end = onReset(look);
  return () => {
    clearTimeout(first);
    clearInterval(timer);
    end();
  };
}
