// Why an act is done: comment and ticket, which the audit log keeps.
import type { JSX } from 'preact';
import { T } from '../strings.ts';
import { Field } from './controls.tsx';

export interface Reasons {
  readonly comment: string;
  readonly ticket: string;
}

export const NO_REASONS: Reasons = { comment: '', ticket: '' };

interface WhyProps {
  readonly value: Reasons;
  readonly onInput: (value: Reasons) => void;
}

export function Why({ value, onInput }: WhyProps): JSX.Element {
  return (
    <div class="frow">
      <Field
        label={T.comment}
        hint={T.commentHint}
        value={value.comment}
        maxLength={1_000}
        onInput={(comment) => onInput({ ...value, comment })}
      />
      <Field
        label={T.ticket}
        value={value.ticket}
        maxLength={100}
        placeholder="CHG-…"
        onInput={(ticket) => onInput({ ...value, ticket })}
      />
    </div>
  );
}
