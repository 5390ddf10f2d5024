// Enrollment: the line to run on a machine that becomes an agent.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { problemOf, send } from '../../client/api.ts';
import type { ProblemDocument } from '../../client/types.ts';
import { Button, Field, Select } from '../../parts/controls.tsx';
import { Dialog } from '../../parts/dialog.tsx';
import { Fault } from '../../parts/layout.tsx';
import { Command } from '../../parts/text.tsx';
import { NO_REASONS, Why } from '../../parts/why.tsx';
import { T } from '../../strings.ts';

export function EnrollDialog({ close }: { readonly close: () => void }): JSX.Element {
  const [name, setName] = useState('');
  const [use, setUse] = useState(T.uses[0]?.[0] ?? '');
  const [line, setLine] = useState<string | null>(null);
  const [problem, setProblem] = useState<ProblemDocument | null>(null);
  const [why, setWhy] = useState(NO_REASONS);
  const make = (): void => {
    const [lifetimeSeconds, maxUses] = use.split(' ').map(Number);
    setProblem(null);
    send<{ readonly commandLine: string }>('POST', '/enrollment-tokens', {
      body: { lifetimeSeconds, maxUses, ...(name.trim() === '' ? {} : { agentName: name.trim() }) },
      query: { ...why },
    }).then(
      ({ data }) => setLine(data.commandLine),
      (error: unknown) => setProblem(problemOf(error)),
    );
  };
  return (
    <Dialog
      title={T.enrollTitle}
      sub={T.enrollSub}
      onClose={close}
      foot={
        <>
          <Button onClick={close}>{T.close}</Button>
          {line === null && (
            <Button kind="primary" onClick={make}>
              {T.makeLine}
            </Button>
          )}
        </>
      }
    >
      {line === null ? (
        <>
          <div class="frow">
            <Field label={T.agentName} value={name} maxLength={253} onInput={setName} />
            <Select label={T.validFor} value={use} options={T.uses} onChange={setUse} />
          </div>
          <Why value={why} onInput={setWhy} />
        </>
      ) : (
        <>
          <Command text={line} />
          <p class="muted">{T.lineOnce}</p>
        </>
      )}
      {problem !== null && <Fault problem={problem} />}
    </Dialog>
  );
}
