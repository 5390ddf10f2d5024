// How long a change waits for its confirmation, and how many agents must be back for it.
import type { JSX } from 'preact';
import type { Terms } from '../../client/api.ts';
import { T } from '../../strings.ts';

export interface Confirmation {
  readonly isTimed: boolean;
  readonly minutes: string;
  readonly percent: string;
}

export const DEFAULT_CONFIRMATION: Confirmation = { isTimed: true, minutes: '10', percent: '90' };

/** Of REST ("Terms of an act"). */
const [MIN_CONFIRM_SECONDS, MAX_CONFIRM_SECONDS] = [5, 3_600];

/** Null: not a time or a share that Central takes. */
export function termsOf({ isTimed, minutes, percent }: Confirmation): Terms | null {
  if (!isTimed) return {};
  const [time, part] = [minutes, percent].map((text) => Number(text.replace(',', '.'))) as [number, number];
  const confirmWithinSeconds = Math.round(time * 60);
  const isIn = confirmWithinSeconds >= MIN_CONFIRM_SECONDS && confirmWithinSeconds <= MAX_CONFIRM_SECONDS;
  return isIn && part >= 0 && part <= 100 ? { confirmWithinSeconds, confirmShare: part / 100 } : null;
}

interface TimedProps {
  readonly value: Confirmation;
  readonly onChange: (value: Confirmation) => void;
}

/** "Roll back unless I confirm within ... minutes, with ... % of the agents back". */
export function Timed({ value, onChange }: TimedProps): JSX.Element {
  const { isTimed } = value;
  const amount = (label: string, member: 'minutes' | 'percent'): JSX.Element => (
    <input
      class="inl"
      type="text"
      inputMode="decimal"
      aria-label={label}
      value={value[member]}
      disabled={!isTimed}
      onInput={({ currentTarget }) => onChange({ ...value, [member]: currentTarget.value })}
    />
  );
  return (
    <>
      <div class="check">
        <input
          id="timed"
          type="checkbox"
          checked={isTimed}
          onChange={({ currentTarget }) => onChange({ ...value, isTimed: currentTarget.checked })}
        />
        <span>
          <label for="timed">{T.timedBefore}</label>
          {amount(T.timedMinutes, 'minutes')}
          {T.timedBetween}
          {amount(T.timedShare, 'percent')}
          {T.timedAfter}
        </span>
      </div>
      {termsOf(value) === null && (
        <p class="fault" role="alert">
          {T.timedInvalid}
        </p>
      )}
    </>
  );
}
