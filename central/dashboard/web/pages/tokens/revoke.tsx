// Revokes an API token: what ends with it is shown first.
import type { JSX } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { all, centralNow, problemOf, send } from '../../client/api.ts';
import { useLoaded } from '../../client/loaded.ts';
import { isUnscoped } from '../../client/session.ts';
import type { ApiToken, ProblemDocument } from '../../client/types.ts';
import { absolute, visible } from '../../format.ts';
import { Button, Tick } from '../../parts/controls.tsx';
import { Dialog } from '../../parts/dialog.tsx';
import { Callout, Fault, SkeletonCard } from '../../parts/layout.tsx';
import { Foreign } from '../../parts/text.tsx';
import { announce, say } from '../../parts/toast.tsx';
import { NO_REASONS, Why } from '../../parts/why.tsx';
import { T } from '../../strings.ts';

/** A session lasts as long at most. */
const SESSION_MS = 12 * 3_600_000;

interface RevokeDialogProps {
  readonly token: ApiToken;
  readonly isOwn: boolean;
  readonly close: () => void;
  readonly whenDone: () => void;
}

/** How many browsers signed in with it of late; null where the audit log is not for this session. */
async function sessionsOf({ id }: ApiToken, signal: AbortSignal): Promise<number | null> {
  if (!isUnscoped()) return null;
  const createdAfter = new Date(centralNow() - SESSION_MS).toISOString();
  const terms = { action: 'login', target: id, createdAfter };
  const [entries, ended] = await Promise.all([
    all('/audit', terms, signal),
    all('/audit', { ...terms, action: 'logout' }, signal),
  ]);
  return Math.max(0, entries.length - ended.length);
}

export function RevokeDialog({ token, isOwn, close, whenDone }: RevokeDialogProps): JSX.Element {
  const sessions = useLoaded(`sessions ${token.id}`, async (signal) => await sessionsOf(token, signal));
  const [why, setWhy] = useState(NO_REASONS);
  const [isTicked, tick] = useState(false);
  const [problem, setProblem] = useState<ProblemDocument | null>(null);
  const box = useRef<HTMLInputElement>(null);
  const apply = (): void => {
    if (!isTicked) {
      box.current?.focus();
      return announce(T.tickFirst);
    }
    setProblem(null);
    send('DELETE', `/api-tokens/${token.id}`, { query: { ...why } }).then(
      () => {
        say(T.tokens.revoked(visible(token.name).slice(0, 100)));
        whenDone();
        close();
      },
      (error: unknown) => setProblem(problemOf(error)),
    );
  };
  return (
    <Dialog
      title={T.tokens.revokeTitle(visible(token.name).slice(0, 100))}
      sub={T.nothingChanged}
      onClose={close}
      foot={
        <>
          <Button onClick={close}>{T.cancel}</Button>
          <Button kind="danger" onClick={apply}>
            {T.tokens.apply}
          </Button>
        </>
      }
    >
      <p>
        <Foreign text={token.name} />, {T.roles[token.role]}. {T.tokens.revokeText}{' '}
        {token.lastUsedAt === null ? T.tokens.lastUseNone : T.tokens.lastUse(absolute(token.lastUsedAt))}
      </p>
      {isOwn && <Callout meaning="bad" title={T.tokens.own} />}
      {sessions.data === undefined ? (
        sessions.problem === undefined ? (
          <SkeletonCard lines={2} />
        ) : (
          <Fault problem={sessions.problem} />
        )
      ) : (
        sessions.data !== null && (
          <Callout meaning={sessions.data > 0 ? 'warn' : 'ok'} title={T.tokens.sessions(sessions.data)}>
            {sessions.data > 0 && <p>{T.tokens.sessionsText}</p>}
          </Callout>
        )
      )}
      <Why value={why} onInput={setWhy} />
      <Tick label={T.tokens.tick} isTicked={isTicked} box={box} onChange={tick} />
      {problem !== null && <Fault problem={problem} />}
    </Dialog>
  );
}
