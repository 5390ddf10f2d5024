// The generations of the authority: which signs, which is next, which was retired.
import type { JSX } from 'preact';
import { send, type Terms } from '../../client/api.ts';
import { isUnscoped, may } from '../../client/session.ts';
import { date, shortHash } from '../../format.ts';
import { Button } from '../../parts/controls.tsx';
import { openDialog } from '../../parts/dialog.tsx';
import { Card } from '../../parts/layout.tsx';
import { CUTS_NONE, PreflightDialog } from '../../parts/preflight.tsx';
import { Foreign, Tag } from '../../parts/text.tsx';
import { T } from '../../strings.ts';
import type { Authorities } from './shapes.ts';

const { certificates: C } = T;

interface AuthoritiesCardProps {
  readonly authorities: Authorities;
  readonly again: () => void;
}

export function AuthoritiesCard({ authorities, again }: AuthoritiesCardProps): JSX.Element {
  const remove = (thumbprint: string): void =>
    openDialog((close) => <DeleteKeyDialog thumbprint={thumbprint} close={close} done={again} />);
  return (
    <Card title={C.authorities}>
      <ul class="plain-list">
        {authorities.generations.map(({ role, thumbprint, subject, notBefore, notAfter, usedFor }) => (
          <li key={thumbprint}>
            <div class="pair">
              <code title={thumbprint}>{shortHash(thumbprint, 4)} …</code>
              <Tag
                meaning={role === 'current' ? 'ok' : role === 'next' || role === 'prepared' ? 'info' : 'quiet'}
                icon="cert"
              >
                {C.roles[role] ?? role}
              </Tag>
            </div>
            <Foreign text={subject} />
            <span class="d2">
              {T.toRange(date(notBefore), date(notAfter))}; {usedFor}
            </span>
            {role === 'retired' && may('administrator') && isUnscoped() && (
              <span>
                <Button isSmall onClick={() => remove(thumbprint)}>
                  {T.ellipsis(C.deleteKey)}
                </Button>
              </span>
            )}
          </li>
        ))}
      </ul>
    </Card>
  );
}

interface DeleteKeyDialogProps {
  readonly thumbprint: string;
  readonly close: () => void;
  readonly done: () => void;
}

function DeleteKeyDialog({ thumbprint, close, done }: DeleteKeyDialogProps): JSX.Element {
  return (
    <PreflightDialog
      title={C.deleteKeyTitle}
      act={C.deleteKey}
      isDanger
      tick={C.deleteKeyTick}
      inputs={thumbprint}
      check={() => Promise.resolve(CUTS_NONE)}
      apply={({ comment, ticket }) =>
        send('DELETE', `/ca/generations/${thumbprint}`, { query: { comment, ticket } as Terms })
      }
      doneText={C.keyDeleted}
      close={close}
      done={done}
    >
      <p>
        {C.deleteKeyText} <code>{shortHash(thumbprint, 8)}</code>
      </p>
    </PreflightDialog>
  );
}
