// Chips that filter a list, each with its count, and the line that says how the list has changed since.
import type { JSX } from 'preact';
import type { Meaning } from '../states.ts';
import { number, oneLine } from '../format.ts';
import { T } from '../strings.ts';
import { Icon, type IconName } from './icon.tsx';
import { announce } from './toast.tsx';

export interface ChipEntry {
  readonly value: string;
  readonly text: string;
  readonly count?: number;
  readonly icon?: IconName;
  readonly meaning?: Meaning;
}

interface ChipsProps {
  readonly label: string;
  readonly value: string;
  readonly chips: readonly ChipEntry[];
  readonly onChange: (value: string) => void;
  /** What is new in the list and not shown yet. */
  readonly newText?: string | undefined;
  readonly onUpdate?: () => void;
}

export function Chips({ label, value, chips, onChange, newText, onUpdate }: ChipsProps): JSX.Element {
  return (
    <div class="chips" role="group" aria-label={label}>
      {chips.map((chip) => (
        <button
          key={chip.value}
          class="chip"
          type="button"
          aria-pressed={chip.value === value}
          onClick={() => onChange(chip.value)}
        >
          {chip.icon !== undefined && <Icon name={chip.icon} className={chip.meaning ?? 'quiet'} />}
          {oneLine(chip.text)}
          {chip.count !== undefined && <span class="n">{number(chip.count)}</span>}
        </button>
      ))}
      {newText !== undefined && (
        <span class="stale">
          {newText}{' '}
          <button
            class="link"
            type="button"
            onClick={() => {
              onUpdate?.();
              announce(T.updateOrder);
            }}
          >
            {T.updateOrder}
          </button>
        </span>
      )}
    </div>
  );
}
