// The acts of a rotation: each step, and one step back; with its preflight first.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { send, type Terms } from '../../client/api.ts';
import { pendingChange } from '../../client/pending.ts';
import { useStore } from '../../client/store.ts';
import { Button } from '../../parts/controls.tsx';
import { openDialog } from '../../parts/dialog.tsx';
import { FileField, PasswordField, type ReadFile } from '../../parts/file-field.tsx';
import { PreflightDialog } from '../../parts/preflight.tsx';
import { T } from '../../strings.ts';
import { figuresOf } from './figures.ts';
import type { Phase, Rotation, StepReport } from './shapes.ts';

const { certificates: C } = T;

type Verb = 'prepare' | 'publish' | 'switch' | 'retire' | 'rollback';

const NEXT: Readonly<Record<Phase, Verb>> = {
  idle: 'prepare',
  prepared: 'publish',
  published: 'switch',
  switched: 'retire',
  retired: 'prepare',
};

interface RotationActsProps {
  readonly rotation: Rotation;
  readonly again: () => void;
}

export function RotationActs({ rotation, again }: RotationActsProps): JSX.Element {
  const { phase } = rotation;
  const pending = useStore(pendingChange);
  const verb = NEXT[phase];
  const { missing } = figuresOf(rotation);
  const waits = (verb === 'switch' || verb === 'retire') && missing > 0;
  const locked = pending === null ? undefined : C.locked;
  const open = (act: Verb): void =>
    openDialog((close) => <StepDialog verb={act} phase={phase} close={close} done={again} />);
  return (
    <div class="tfoot">
      <span class="grow" />
      {phase !== 'idle' && (
        <Button isSmall icon="undo" why={locked} onClick={() => open('rollback')}>
          {C.back}
        </Button>
      )}
      <Button
        isSmall
        kind={waits ? undefined : 'primary'}
        why={locked ?? (waits ? C.notYet(missing) : undefined)}
        onClick={() => open(verb)}
      >
        {T.ellipsis(C.begin[verb])}
      </Button>
      {waits && (
        <Button isSmall why={locked} onClick={() => open(verb)}>
          {C.without(C.begin[verb], missing)}
        </Button>
      )}
    </div>
  );
}

interface StepDialogProps {
  readonly verb: Verb;
  readonly phase: Phase;
  readonly close: () => void;
  readonly done: () => void;
}

function StepDialog({ verb, phase, close, done }: StepDialogProps): JSX.Element {
  const [isOwn, setOwn] = useState(false);
  const [file, setFile] = useState<ReadFile | null>(null);
  const [password, setPassword] = useState('');
  const step = async (terms: Terms): Promise<StepReport> => {
    const body = isOwn && file !== null ? { ...file, ...(password === '' ? {} : { password }) } : undefined;
    const sent = { query: terms, ...(body === undefined ? {} : { body }) };
    return (await send<StepReport>('POST', `/ca/rotation/${verb}`, sent)).data;
  };
  const inputs = isOwn ? (file === null ? null : `${file.fileName} ${file.content.length} ${password}`) : verb;
  const text = verb === 'rollback' ? (C.backTexts[phase] ?? '') : C.actTexts[verb];
  return (
    <PreflightDialog
      title={verb === 'rollback' ? C.backTitle : C.actTitles[verb]}
      act={verb === 'rollback' ? C.backAct : C.begin[verb]}
      isDanger={verb === 'retire'}
      inputs={inputs}
      check={step}
      apply={step}
      isTimed={verb === 'switch'}
      doneText={verb === 'rollback' ? C.backDone : C.done[verb]}
      safer={C.safer}
      close={close}
      done={done}
    >
      <p>{text}</p>
      {verb === 'prepare' && (
        <>
          <label class="check">
            <input type="checkbox" checked={isOwn} onChange={({ currentTarget }) => setOwn(currentTarget.checked)} />
            <span>{C.ownAuthority}</span>
          </label>
          {isOwn && (
            <div class="frow">
              <FileField
                label={T.preflight.file}
                hint={C.authorityHint}
                accept=".p12,.pfx,.jks,.pem,.key,.crt"
                onRead={setFile}
              />
              <PasswordField value={password} onInput={setPassword} />
            </div>
          )}
        </>
      )}
    </PreflightDialog>
  );
}
