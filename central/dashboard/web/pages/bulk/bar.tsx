// The bar of the selected agents: how many, and what may be done with all of them.
import type { JSX } from 'preact';
import { may } from '../../client/session.ts';
import { Button } from '../../parts/controls.tsx';
import { Icon } from '../../parts/icon.tsx';
import { T } from '../../strings.ts';
import type { BulkAct } from './acts.ts';

interface BulkBarProps {
  readonly count: number;
  readonly open: (act: BulkAct) => void;
  readonly clear: () => void;
}

const OPERATOR: readonly BulkAct[] = ['message', 'drain'];
const ADMINISTRATOR: readonly BulkAct[] = ['labels', ...OPERATOR, 'enable', 'disable', 'revoke'];

export function BulkBar({ count, open, clear }: BulkBarProps): JSX.Element {
  return (
    <div class="bulk" role="region" aria-label={T.bulk.region}>
      <b>{T.bulk.selected(count)}</b>
      <span class="sep" />
      {(may('administrator') ? ADMINISTRATOR : OPERATOR).map((act) => (
        <Button key={act} isSmall onClick={() => open(act)}>
          {T.ellipsis(T.bulk.acts[act])}
        </Button>
      ))}
      <button class="btn sm icon plain" type="button" aria-label={T.bulk.clear} onClick={clear}>
        <Icon name="x" />
      </button>
    </div>
  );
}
