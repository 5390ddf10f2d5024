// Creates an API token; its secret is shown once, in this dialog, and never in an address.
import type { JSX } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { problemOf, send } from '../../client/api.ts';
import type { ApiToken, ProblemDocument, Role } from '../../client/types.ts';
import { visible } from '../../format.ts';
import { Button, Field, Select } from '../../parts/controls.tsx';
import { Dialog } from '../../parts/dialog.tsx';
import { Callout, Fault } from '../../parts/layout.tsx';
import { Command } from '../../parts/text.tsx';
import { NO_REASONS, Why } from '../../parts/why.tsx';
import { T } from '../../strings.ts';

const ROLES: readonly Role[] = ['viewer', 'operator', 'administrator'];

interface CreateDialogProps {
  readonly close: () => void;
  readonly whenDone: () => void;
}

export function CreateDialog({ close, whenDone }: CreateDialogProps): JSX.Element {
  const [name, setName] = useState('');
  const [role, setRole] = useState<Role>('viewer');
  const [scope, setScope] = useState('');
  const [lifetime, setLifetime] = useState(T.tokens.lifetimes[1]?.[0] ?? '');
  const [why, setWhy] = useState(NO_REASONS);
  const [token, setToken] = useState<string | null>(null);
  const [problem, setProblem] = useState<ProblemDocument | null>(null);
  // Of this dialog: pressed twice, or sent again after a cut connection, it makes one token.
  const isBusy = useRef(false);
  const make = (): void => {
    if (isBusy.current) return;
    isBusy.current = true;
    setProblem(null);
    send<ApiToken & { readonly token: string }>('POST', '/api-tokens', {
      body: {
        name: name.trim(),
        role,
        ...(scope.trim() === '' ? {} : { scope: scope.trim() }),
        ...(lifetime === '' ? {} : { lifetimeSeconds: Number(lifetime) }),
      },
      query: { ...why },
    })
      .then(({ data }) => {
        setToken(data.token);
        whenDone();
      })
      .catch((error: unknown) => setProblem(problemOf(error)))
      .finally(() => {
        isBusy.current = false;
      });
  };
  if (token !== null) return <Created name={name.trim()} token={token} close={close} />;
  return (
    <Dialog
      title={T.tokens.createTitle}
      sub={T.tokens.createSub}
      onClose={close}
      foot={
        <>
          <Button onClick={close}>{T.cancel}</Button>
          <Button kind="primary" why={name.trim() === '' ? T.tokens.nameFirst : undefined} onClick={make}>
            {T.tokens.make}
          </Button>
        </>
      }
    >
      <div class="frow">
        <Field label={T.tokens.name} hint={T.tokens.nameHint} value={name} maxLength={128} onInput={setName} />
        <Select
          label={T.tokens.role}
          value={role}
          options={ROLES.map((one) => [one, T.roles[one]])}
          onChange={(value) => setRole(ROLES.find((one) => one === value) ?? 'viewer')}
        />
      </div>
      <p class="t2">{T.tokens.roleHints[role]}</p>
      <div class="frow">
        <Field label={T.tokens.scope} hint={T.tokens.scopeHint} value={scope} maxLength={1_024} onInput={setScope} />
        <Select label={T.tokens.lifetime} value={lifetime} options={T.tokens.lifetimes} onChange={setLifetime} />
      </div>
      <Why value={why} onInput={setWhy} />
      {problem !== null && <Fault problem={problem} />}
    </Dialog>
  );
}

interface CreatedProps {
  readonly name: string;
  readonly token: string;
  readonly close: () => void;
}

function Created({ name, token, close }: CreatedProps): JSX.Element {
  return (
    <Dialog
      title={T.tokens.created(visible(name))}
      onClose={close}
      foot={
        <Button kind="primary" onClick={close}>
          {T.close}
        </Button>
      }
    >
      <Command text={token} label={T.tokens.copy} />
      <Callout meaning="warn" title={T.tokens.once} />
    </Dialog>
  );
}
