// What a preflight of parameters says: before and after, who would be cut off, what listens then; and values that
// another administrator changed meanwhile.
import type { JSX } from 'preact';
import type { Parameter } from '../../client/types.ts';
import { Button } from '../../parts/controls.tsx';
import { Callout } from '../../parts/layout.tsx';
import { Effects } from '../../parts/preflight.tsx';
import { Foreign, Since } from '../../parts/text.tsx';
import { T } from '../../strings.ts';
import { shown, targetOf, type Edits } from './edits.ts';
import type { Checked } from './preflight.ts';

export function ParameterEffects({ report }: { readonly report: Checked }): JSX.Element {
  const { result } = report;
  const refusing = result.nodes.filter(({ answer }) => answer !== 'ready');
  return (
    <>
      <Effects report={report} show={shown} />
      {refusing.length > 0 && (
        <Callout meaning="warn" title={T.nodesRefuse}>
          <ul class="plain">
            {refusing.map(({ name, detail }) => (
              <li key={name}>
                <b>
                  <Foreign text={name} />
                </b>{' '}
                <Foreign text={detail ?? T.nodeSilent} />
              </li>
            ))}
          </ul>
        </Callout>
      )}
      {result.listens.length > 0 && (
        <div>
          <b>{T.afterwards}</b>
          <ul class="plain">
            {result.listens.map((text) => (
              <li key={text}>{text}</li>
            ))}
          </ul>
        </div>
      )}
    </>
  );
}

interface ConflictProps {
  readonly parameter: Parameter;
  readonly made: Edits;
  readonly takeTheirs: () => void;
  readonly keepMine: () => void;
}

/** Another administrator changed what is edited here. */
export function Conflict({ parameter, made, takeTheirs, keepMine }: ConflictProps): JSX.Element | null {
  const mine = made[parameter.name];
  if (mine === undefined) return null;
  return (
    <Callout
      meaning="warn"
      title={<Foreign text={T.theyChanged(parameter.changedBy ?? T.anotherOne, parameter.name)} />}
    >
      <p>
        {T.theirs} <b>{shown(parameter.value)}</b>
        {parameter.changedAt !== null && (
          <>
            {', '}
            <Since at={parameter.changedAt} />
          </>
        )}
        . {T.mine} <b>{shown(targetOf(parameter, mine))}</b>. {T.wasBefore} {shown(mine.base)}.
      </p>
      <p class="rowacts">
        <Button isSmall onClick={takeTheirs}>
          {T.takeTheirs}
        </Button>
        <Button isSmall onClick={keepMine}>
          {T.keepMine}
        </Button>
      </p>
    </Callout>
  );
}
