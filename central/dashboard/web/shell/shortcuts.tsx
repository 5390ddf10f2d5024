// Keys: "/" finds, "g" and a letter goes, j and k walk through rows, "?" lists them all. They can be turned off (WCAG
// 2.1.4), and none is needed: everything is reached with Tab.
import type { JSX } from 'preact';
import { Button } from '../parts/controls.tsx';
import { Dialog, isDialogOpen, openDialog } from '../parts/dialog.tsx';
import { go } from '../router.ts';
import { T } from '../strings.ts';
import { PAGES } from './pages.ts';
import { areShortcutsOn } from './theme.ts';

const CHORD_MS = 1_200;

export function openShortcuts(): void {
  openDialog((close) => <Shortcuts close={close} />);
}

function Shortcuts({ close }: { close: () => void }): JSX.Element {
  return (
    <Dialog
      title={T.shortcuts}
      onClose={close}
      foot={
        <Button kind="primary" onClick={close}>
          {T.close}
        </Button>
      }
    >
      <dl class="dl">
        {T.keys.map(([key, text]) => (
          <>
            <dt key={key}>
              <kbd>{key}</kbd>
            </dt>
            <dd>{text}</dd>
          </>
        ))}
      </dl>
    </Dialog>
  );
}

export function startShortcuts(): void {
  let chordAt = 0;
  addEventListener('keydown', (event) => {
    const { target, key } = event;
    if (!(target instanceof Element) || target.matches('input, select, textarea') || isDialogOpen()) return;
    if (event.ctrlKey || event.metaKey || event.altKey || !areShortcutsOn()) return;
    if (Date.now() - chordAt < CHORD_MS) {
      chordAt = 0;
      const page = PAGES.find((one) => one.key === key && one.isOffered?.() !== false);
      if (page !== undefined) return go(`/${page.id}`);
    }
    if (key === 'g') chordAt = Date.now();
    else if (key === '?') openShortcuts();
    else if (key === '/') focusOn(event, '#find');
    else if (key === 'f') focusOn(event, '.filters input, .filters select');
    else if (key === 'x')
      document.activeElement?.closest('tr')?.querySelector<HTMLElement>('input[type=checkbox]')?.click();
    else if (key === 'j' || key === 'k') walk(key === 'j' ? 1 : -1);
  });
}

function focusOn(event: KeyboardEvent, selector: string): void {
  event.preventDefault();
  document.querySelector<HTMLElement>(selector)?.focus();
}

/** The next or previous row with a link in it; the focus is on the link, so that Enter opens it. */
function walk(by: 1 | -1): void {
  const links = [...document.querySelectorAll<HTMLElement>('tbody tr.go a.name')];
  const at = links.indexOf(document.activeElement as HTMLElement);
  const next = links[at === -1 ? 0 : Math.max(0, Math.min(links.length - 1, at + by))];
  next?.focus({ preventScroll: true });
  next?.scrollIntoView({ block: 'nearest' });
}
