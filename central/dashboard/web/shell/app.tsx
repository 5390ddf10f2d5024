// Which page is shown: sign-in until someone is, then the one of the address.
import { Component, type ComponentChildren, type JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { problemOf } from '../client/api.ts';
import { startPending } from '../client/pending.ts';
import { keptAddress } from '../client/oidc.ts';
import { session } from '../client/session.ts';
import { useStore } from '../client/store.ts';
import type { ProblemDocument } from '../client/types.ts';
import { LinkButton } from '../parts/controls.tsx';
import { Empty, Failed } from '../parts/layout.tsx';
import { SignInPage } from '../pages/sign-in.tsx';
import { address, go } from '../router.ts';
import { T } from '../strings.ts';
import { AwayPage } from './away.tsx';
import { startCounts } from './counts.ts';
import { pageOf } from './pages.ts';
import { Shell } from './shell.tsx';

export function App(): JSX.Element | null {
  const { login, problem } = useStore(session);
  const { path, parts } = useStore(address);
  const isSignIn = path === '/sign-in';
  useEffect(() => {
    if (login === null || login === undefined) return undefined;
    startPending();
    return startCounts();
  }, [login?.id]);
  useEffect(() => {
    if (login === null || login === undefined) return;
    const kept = keptAddress();
    if (isSignIn) go(afterSignIn());
    else if (kept !== null) go(kept);
  }, [login, isSignIn]);
  if (login === undefined) return problem === null ? null : <AwayPage problem={problem} />;
  if (login === null) return <SignInPage />;
  const entry = pageOf(parts);
  if (entry === undefined || isSignIn)
    return (
      <Shell crumbs={[[T.pageUnknown]]}>
        <Empty icon="search" title={T.pageUnknown}>
          <LinkButton href="/overview">{T.toOverview}</LinkButton>
        </Empty>
      </Shell>
    );
  const { page: Page, id, title } = entry;
  return (
    <Guard key={`${id} ${path}`} title={title}>
      <Page />
    </Guard>
  );
}

function afterSignIn(): string {
  return '/overview';
}

interface GuardProps {
  readonly title: string;
  readonly children: ComponentChildren;
}

/** A page that fails leaves the frame, and says so. */
class Guard extends Component<GuardProps, { problem: ProblemDocument | null }> {
  override state = { problem: null };

  static override getDerivedStateFromError(error: unknown): { problem: ProblemDocument } {
    return { problem: problemOf(error) };
  }

  override render(): ComponentChildren {
    const { problem } = this.state;
    if (problem === null) return this.props.children;
    return (
      <Shell crumbs={[[this.props.title]]}>
        <Failed problem={problem} again={() => location.reload()} />
      </Shell>
    );
  }
}
