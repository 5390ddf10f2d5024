// The boxes that select all agents that match the filter: one in the head of the table, and one with words above it on a
// phone, where rows are cards and the table has no head.
import type { JSX } from 'preact';
import { T } from '../../strings.ts';

interface SelectAllProps {
  readonly ids: readonly string[];
  readonly selected: ReadonlySet<string>;
  readonly choose: (ids: readonly string[], isChosen: boolean) => void;
}

function Box({ ids, selected, choose, label }: SelectAllProps & { readonly label?: string }): JSX.Element {
  return (
    <input
      type="checkbox"
      aria-label={label}
      checked={ids.length > 0 && ids.every((id) => selected.has(id))}
      onChange={({ currentTarget }) => choose(ids, currentTarget.checked)}
    />
  );
}

export function SelectAll(props: SelectAllProps): JSX.Element {
  return <Box {...props} label={T.bulk.selectAll} />;
}

export function SelectAllOnPhone(props: SelectAllProps): JSX.Element | null {
  if (props.ids.length === 0) return null;
  return (
    <label class="pickall">
      <Box {...props} />
      <span>{T.bulk.selectMatching(props.ids.length)}</span>
    </label>
  );
}
