// The frozen list of agents of an act, and what each of them answered.
import type { JSX } from 'preact';
import { Button } from '../../parts/controls.tsx';
import { Dialog } from '../../parts/dialog.tsx';
import { Callout } from '../../parts/layout.tsx';
import { ForeignLine, Hint } from '../../parts/text.tsx';
import { T } from '../../strings.ts';
import type { BulkOrder, BulkOutcome } from './acts.ts';

const SHOWN = 200;

/** The names of all of them; the list does not change while the dialog is open. */
export function Names({ agents }: Pick<BulkOrder, 'agents'>): JSX.Element {
  return (
    <div class="inset names" tabIndex={0} role="group" aria-label={T.bulk.listed}>
      {agents.slice(0, SHOWN).map(({ id, name }) => (
        <span key={id}>
          <ForeignLine text={name} />
        </span>
      ))}
      {agents.length > SHOWN && <span class="muted">{T.bulk.more(agents.length - SHOWN)}</span>}
    </div>
  );
}

interface ResultProps {
  readonly word: string;
  readonly outcomes: readonly BulkOutcome[];
  readonly close: () => void;
}

export function Result({ word, outcomes, close }: ResultProps): JSX.Element {
  const failed = outcomes.filter(({ problem }) => problem !== null);
  const count = outcomes.length - failed.length;
  return (
    <Dialog
      title={T.bulk.resultTitle(word)}
      onClose={close}
      foot={
        <Button kind="primary" onClick={close}>
          {T.close}
        </Button>
      }
    >
      <Callout meaning={failed.length === 0 ? 'ok' : 'bad'} title={T.bulk.result(count, failed.length)}>
        {failed.length > 0 && <p>{T.bulk.resultNote}</p>}
      </Callout>
      {failed.length > 0 && (
        <div class="inset">
          <table class="cards">
            <thead>
              <tr>
                <th scope="col">{T.agent}</th>
                <th scope="col">{T.reason}</th>
              </tr>
            </thead>
            <tbody>
              {failed.slice(0, SHOWN).map(({ id, name, problem }) => (
                <tr key={id}>
                  <td class="name wide">
                    <ForeignLine text={name} />
                  </td>
                  <td class="wide">
                    {problem?.detail} <Hint text={problem?.hint ?? ''} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Dialog>
  );
}
