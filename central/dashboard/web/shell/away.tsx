// The third state beside working and failed: Central works, and cannot reach its store. What was read before stays on
// the page, and says of when it is; a page that was not there yet waits.
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { get, storeAway } from '../client/api.ts';
import { useStore } from '../client/store.ts';
import type { ProblemDocument } from '../client/types.ts';
import { clock } from '../format.ts';
import { Icon } from '../parts/icon.tsx';
import { Empty } from '../parts/layout.tsx';
import { Foreign, Hint } from '../parts/text.tsx';
import { T } from '../strings.ts';

const LOOK_MS = 3_000;

/** On every page, until an answer comes. */
export function AwayBar(): JSX.Element | null {
  const away = useStore(storeAway);
  const isAway = away !== null;
  useEffect(() => {
    if (!isAway) return undefined;
    const timer = setInterval(() => void get('/login').catch(() => undefined), LOOK_MS);
    return () => clearInterval(timer);
  }, [isAway]);
  if (away === null) return null;
  const { problem, asOf } = away;
  return (
    <section class="pend" aria-label={T.storeAway}>
      <Icon name="warn" />
      <div class="grow" role="status">
        <div>
          <b>{T.storeAway}.</b> {T.storeAwayShown(clock(asOf, asOf))}
        </div>
        <div class="q">
          <Foreign text={problem.detail} /> <Hint text={problem.hint} />
        </div>
      </div>
    </section>
  );
}

/** In the place of every page, as long as it is not known who is signed in. */
export function AwayPage({ problem }: { readonly problem: ProblemDocument }): JSX.Element {
  document.title = `${T.storeAway} · ${T.product}`;
  return (
    <main class="signin" id="main">
      <section class="card" role="alert">
        <Empty icon="warn" title={T.storeAway} isTop>
          <p>
            <Foreign text={problem.detail} /> ({problem.code})
          </p>
          <p>
            <b>{T.whatToDo}</b> <Hint text={problem.hint} />
          </p>
          <p>{T.storeAwayWait}</p>
        </Empty>
      </section>
    </main>
  );
}
