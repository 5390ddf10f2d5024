// Buttons, fields and menus.
import type { ComponentChildren, JSX, Ref } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';
import { oneLine } from '../format.ts';
import { Icon, type IconName } from './icon.tsx';

interface ButtonProps {
  readonly children: ComponentChildren;
  readonly icon?: IconName;
  readonly kind?: 'primary' | 'danger' | 'plain' | undefined;
  readonly isSmall?: boolean;
  /** Where its text alone does not say what it is about: begins with that text. */
  readonly label?: string;
  /** Why it cannot be used now: it stays focusable, and says so. */
  readonly why?: string | undefined;
  readonly type?: 'button' | 'submit';
  readonly onClick?: () => void;
}

/** "…" at the end of its text means that a dialog follows. */
export function Button({
  children,
  icon,
  kind,
  isSmall,
  label,
  why,
  type = 'button',
  onClick,
}: ButtonProps): JSX.Element {
  const id = useId();
  return (
    <>
      <button
        class={`btn ${kind ?? ''} ${isSmall === true ? 'sm' : ''}`}
        type={type}
        aria-label={label === undefined ? undefined : oneLine(label)}
        aria-disabled={why === undefined ? undefined : 'true'}
        aria-describedby={why === undefined ? undefined : id}
        title={why}
        onClick={(event) => {
          if (why !== undefined) event.preventDefault();
          else onClick?.();
        }}
      >
        {icon !== undefined && <Icon name={icon} />}
        {children}
      </button>
      {why !== undefined && (
        <span class="sr" id={id}>
          {why}
        </span>
      )}
    </>
  );
}

interface LinkButtonProps {
  readonly href: string;
  readonly children: ComponentChildren;
  readonly isSmall?: boolean;
}

export function LinkButton({ href, children, isSmall }: LinkButtonProps): JSX.Element {
  return (
    <a class={`btn ${isSmall === true ? 'sm' : ''}`} href={href}>
      {children}
    </a>
  );
}

interface FieldProps {
  readonly label: string;
  readonly hint?: string;
  readonly value: string;
  readonly placeholder?: string;
  readonly maxLength?: number;
  /** Offered while it is typed; any other text is allowed, too. */
  readonly suggestions?: readonly string[];
  readonly onInput: (value: string) => void;
}

export function Field(props: FieldProps): JSX.Element {
  const { label, hint, value, placeholder, maxLength, suggestions, onInput } = props;
  const id = useId();
  return (
    <label class="field">
      <span>{label}</span>
      <input
        type="text"
        value={value}
        placeholder={placeholder}
        maxLength={maxLength}
        autocomplete="off"
        list={suggestions === undefined ? undefined : id}
        onInput={({ currentTarget }) => onInput(currentTarget.value)}
      />
      {suggestions !== undefined && (
        <datalist id={id}>
          {suggestions.map((one) => (
            <option key={one} value={one} />
          ))}
        </datalist>
      )}
      {hint !== undefined && <small>{hint}</small>}
    </label>
  );
}

interface SelectProps {
  readonly label: string;
  readonly value: string;
  readonly options: readonly (readonly [value: string, text: string])[];
  /** False: the label is for programs that read the page aloud. */
  readonly isLabelShown?: boolean;
  readonly onChange: (value: string) => void;
}

export function Select({ label, value, options, isLabelShown = true, onChange }: SelectProps): JSX.Element {
  const select = (
    <select
      aria-label={isLabelShown ? undefined : label}
      value={value}
      onChange={({ currentTarget }) => onChange(currentTarget.value)}
    >
      {options.map(([one, text]) => (
        <option key={one} value={one}>
          {oneLine(text)}
        </option>
      ))}
    </select>
  );
  if (!isLabelShown) return select;
  return (
    <label class="field">
      <span>{label}</span>
      {select}
    </label>
  );
}

interface TickProps {
  readonly label: string;
  readonly isTicked: boolean;
  readonly box: Ref<HTMLInputElement>;
  readonly onChange: (isTicked: boolean) => void;
}

/** The box that has to be ticked before an act; without it, the focus goes to `box`. */
export function Tick({ label, isTicked, box, onChange }: TickProps): JSX.Element {
  return (
    <label class="check">
      <input
        type="checkbox"
        ref={box}
        checked={isTicked}
        onChange={({ currentTarget }) => onChange(currentTarget.checked)}
      />
      <span>{label}</span>
    </label>
  );
}

export interface MenuItem {
  readonly text: string;
  readonly isBad?: boolean;
  readonly onClick: () => void;
}

interface MenuProps {
  /** Where the summary has no text. */
  readonly label?: string;
  readonly summary: ComponentChildren;
  readonly summaryClass?: string;
  readonly isUp?: boolean;
  readonly items: readonly MenuItem[];
}

/** The focus goes to the summary where it was in the menu, since what is hidden cannot keep it. */
function closeMenu(menu: HTMLDetailsElement): void {
  if (menu.contains(document.activeElement)) menu.querySelector('summary')?.focus();
  menu.open = false;
}

/** A menu of acts; Escape and a click elsewhere close it. */
export function Menu({ label, summary, summaryClass, isUp, items }: MenuProps): JSX.Element {
  const menu = useRef<HTMLDetailsElement>(null);
  useEffect(() => {
    const close = (event: Event): void => {
      const { current } = menu;
      if (current === null || !current.open) return;
      if (event instanceof KeyboardEvent) {
        if (event.key === 'Escape') closeMenu(current);
      } else if (!current.contains(event.target as Node)) current.open = false;
    };
    addEventListener('keydown', close);
    addEventListener('pointerdown', close);
    return () => {
      removeEventListener('keydown', close);
      removeEventListener('pointerdown', close);
    };
  }, []);
  return (
    <details class="menu" ref={menu}>
      <summary class={summaryClass} aria-label={label}>
        {summary}
      </summary>
      <div class={isUp === true ? 'up' : ''}>
        {items.map(({ text, isBad, onClick }) => (
          <button
            key={text}
            class={`mi ${isBad === true ? 'bad' : ''}`}
            type="button"
            onClick={() => {
              // First: a dialog gives the focus back to what has it now, and items of a closed menu cannot have it.
              if (menu.current !== null) closeMenu(menu.current);
              onClick();
            }}
          >
            {text}
          </button>
        ))}
      </div>
    </details>
  );
}
