// Sign-in: with an API token, or with the organization where Central offers that.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { problemOf } from '../client/api.ts';
import { keepAddress } from '../client/oidc.ts';
import { session, signIn } from '../client/session.ts';
import { useStore } from '../client/store.ts';
import type { ProblemDocument } from '../client/types.ts';
import { Button } from '../parts/controls.tsx';
import { Fault } from '../parts/layout.tsx';
import { Logo } from '../shell/shell.tsx';
import { T } from '../strings.ts';

export function SignInPage(): JSX.Element {
  const { ways, problem: ended } = useStore(session);
  const [token, setToken] = useState('');
  const [problem, setProblem] = useState<ProblemDocument | null>(null);
  const [isBusy, setBusy] = useState(false);
  document.title = `${T.signIn} · ${T.product}`;
  const submit = (event: Event): void => {
    event.preventDefault();
    if (isBusy || token.trim() === '') return;
    setBusy(true);
    setProblem(null);
    signIn(token.trim())
      .catch((error: unknown) => setProblem(problemOf(error)))
      .finally(() => setBusy(false));
  };
  const shown = problem ?? ended;
  return (
    <main class="signin" id="main">
      <section class="card">
        <form onSubmit={submit}>
          <div class="brand">
            <Logo />
            <div class="grow">
              <b>{T.product}</b>
              <span class="cut">{location.hostname}</span>
            </div>
          </div>
          <h1>{T.signIn}</h1>
          {shown !== null && <Fault problem={shown} />}
          <label class="field">
            <span>{T.apiToken}</span>
            <input
              type="password"
              name="token"
              value={token}
              autocomplete="off"
              spellcheck={false}
              maxLength={256}
              onInput={({ currentTarget }) => setToken(currentTarget.value)}
            />
            <small>{T.tokenHint}</small>
          </label>
          <Button kind="primary" type="submit">
            {T.signIn}
          </Button>
          {ways.includes('oidc') && (
            <>
              <span class="or">{T.or}</span>
              <a class="btn" href="/oidc/login" onClick={keepAddress}>
                {T.signInOidc}
              </a>
            </>
          )}
        </form>
      </section>
    </main>
  );
}
