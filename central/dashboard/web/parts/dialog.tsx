// Dialogs: modal, with the focus on their titles, which goes back to where it was when they close.
import type { ComponentChildren, JSX } from 'preact';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { store, useStore } from '../client/store.ts';
import { oneLine } from '../format.ts';
import { T } from '../strings.ts';
import { Icon } from './icon.tsx';

interface DialogProps {
  readonly title: string;
  readonly sub?: ComponentChildren;
  readonly children: ComponentChildren;
  /** Buttons; the safe way out comes first. */
  readonly foot: ComponentChildren;
  readonly onClose: () => void;
}

export function Dialog({ title, sub, children, foot, onClose }: DialogProps): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  const heading = useRef<HTMLHeadingElement>(null);
  useLayoutEffect(() => {
    const shown = dialog.current;
    shown?.showModal();
    heading.current?.focus();
    return () => {
      // As long as it is modal, nothing behind it takes the focus.
      shown?.close();
      if (opener instanceof HTMLElement) opener.focus();
    };
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-labelledby="dialog-title"
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <header>
        <div>
          <h2 id="dialog-title" tabIndex={-1} ref={heading}>
            {oneLine(title)}
          </h2>
          {sub !== undefined && <p>{sub}</p>}
        </div>
        <button class="btn icon plain" type="button" aria-label={T.close} onClick={onClose}>
          <Icon name="x" />
        </button>
      </header>
      <div class="dbody" tabIndex={0} role="group" aria-label={oneLine(title)}>
        {children}
      </div>
      <footer>{foot}</footer>
    </dialog>
  );
}

/** The dialog that is open: one at a time. */
const open = store<(() => JSX.Element) | null>(null);

/** What had the focus before it: one dialog may take the place of another, such as the result of its form. */
let opener: Element | null = null;

/** Opens a dialog; `make` gets what closes it. */
export function openDialog(make: (close: () => void) => JSX.Element): void {
  if (open.get() === null) opener = document.activeElement;
  open.set(() => make(closeDialog));
}

export function closeDialog(): void {
  open.set(null);
}

export function isDialogOpen(): boolean {
  return open.get() !== null || document.querySelector('dialog[open]') !== null;
}

export function DialogHost(): JSX.Element | null {
  const Opened = useStore(open);
  return Opened === null ? null : <Opened />;
}
