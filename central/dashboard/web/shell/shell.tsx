// The frame of all pages: side bar, top bar with search and live mark, the bar of a pending change; a bar at the bottom
// of a phone.
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useReducer, useRef } from 'preact/hooks';
import { useTick } from '../client/clock.ts';
import { pendingChange } from '../client/pending.ts';
import { session, signOut } from '../client/session.ts';
import { useStore } from '../client/store.ts';
import { liveMark } from '../client/watch.ts';
import { clock, oneLine } from '../format.ts';
import { Menu } from '../parts/controls.tsx';
import { DialogHost } from '../parts/dialog.tsx';
import { Icon } from '../parts/icon.tsx';
import { Foreign } from '../parts/text.tsx';
import { Toast } from '../parts/toast.tsx';
import { address, go } from '../router.ts';
import { T } from '../strings.ts';
import { AwayBar } from './away.tsx';
import { badges } from './badges.ts';
import { PAGES, pageOf } from './pages.ts';
import { PendingBar } from './pending-bar.tsx';
import { openShortcuts } from './shortcuts.tsx';
import { areShortcutsOn, DENSITIES, setDensity, setShortcuts, switchTheme } from './theme.ts';

interface ShellProps {
  /** The way to this page; the last one is the page itself. */
  readonly crumbs: readonly (readonly [text: string, href?: string])[];
  readonly children: ComponentChildren;
}

export function Shell({ crumbs, children }: ShellProps): JSX.Element {
  const pending = useStore(pendingChange);
  const title = crumbs.at(-1)?.[0] ?? '';
  useEffect(() => {
    document.title = `${oneLine(title)} · ${T.product}`;
  }, [title]);
  return (
    <>
      <a class="skip" href="#main">
        {T.skip}
      </a>
      <div class={`shell ${pending === null ? '' : 'has-pend'}`}>
        <SideBar />
        <main id="main" tabIndex={-1}>
          <div class="top">
            <div class="crumbs">
              {crumbs.map(([text, href], i) =>
                href === undefined ? (
                  <b key={i} class="cut">
                    <Foreign text={text.slice(0, 80)} />
                  </b>
                ) : (
                  <>
                    <a key={i} href={href}>
                      {oneLine(text)}
                    </a>
                    <Icon name="right" />
                  </>
                ),
              )}
            </div>
            <Search />
            <Live />
            <button class="btn icon plain" type="button" aria-label={T.switchTheme} onClick={switchTheme}>
              <Icon name="moon" />
            </button>
          </div>
          <AwayBar />
          <PendingBar />
          <div class="page">{children}</div>
        </main>
        <nav class="botnav" aria-label={T.main}>
          <Links isShort />
          <More />
        </nav>
      </div>
      <DialogHost />
      <Toast />
    </>
  );
}

export function Logo(): JSX.Element {
  return (
    <svg class="logo" viewBox="0 0 24 24" aria-hidden="true">
      <rect width={24} height={24} rx={6} class="logo-back" />
      <path d="M7 6v12M17 6v12M7 12h10" class="logo-front" />
    </svg>
  );
}

function SideBar(): JSX.Element {
  const { login } = useStore(session);
  const [, again] = useReducer<number, void>((count) => count + 1, 0);
  const isOn = areShortcutsOn();
  return (
    <header class="side">
      <a class="brand" href="/overview">
        <Logo />
        <div class="grow">
          <b>{T.product}</b>
          <span class="cut">{location.hostname}</span>
        </div>
      </a>
      <nav class="nav" aria-label={T.main}>
        <Links />
      </nav>
      {login !== null && login !== undefined && (
        <div class="foot">
          <Menu
            summaryClass="who"
            isUp
            summary={
              <>
                <div class="k">
                  <Icon name="key" />
                </div>
                <div class="grow">
                  <b class="cut">
                    <Foreign text={login.name.slice(0, 64)} />
                  </b>
                  <span>{T.roles[login.role]}</span>
                </div>
                <Icon name="up" className="muted" />
              </>
            }
            items={[
              ...DENSITIES.map((density) => ({ text: T.density(density), onClick: () => setDensity(density) })),
              { text: T.shortcuts, onClick: openShortcuts },
              {
                text: isOn ? T.shortcutsOff : T.shortcutsOn,
                onClick: () => {
                  setShortcuts(!isOn);
                  again();
                },
              },
              { text: T.signOut, onClick: () => void signOut() },
            ]}
          />
        </div>
      )}
    </header>
  );
}

/** On a phone, the others are behind More. */
const MAX_SHORT = 5;

function More(): JSX.Element {
  const rest = PAGES.filter((one) => one.isOffered?.() !== false).slice(MAX_SHORT);
  return (
    <Menu
      isUp
      summaryClass="more"
      summary={
        <>
          <Icon name="more" />
          {T.more}
        </>
      }
      items={[
        ...rest.map(({ id, title }) => ({ text: title, onClick: () => go(`/${id}`) })),
        { text: T.signOut, onClick: () => void signOut() },
      ]}
    />
  );
}

function Links({ isShort = false }: { readonly isShort?: boolean }): JSX.Element {
  const { parts } = useStore(address);
  const counts = useStore(badges);
  const page = pageOf(parts);
  const active = page?.within ?? page?.id;
  const offered = PAGES.filter((one) => one.isOffered?.() !== false);
  return (
    <>
      {(isShort ? offered.slice(0, MAX_SHORT) : offered).map(({ id, title, shortTitle, icon }) => {
        const badge = isShort ? undefined : counts[id];
        return (
          <a key={id} href={`/${id}`} aria-current={id === active ? 'page' : undefined}>
            <Icon name={icon} />
            {isShort ? shortTitle : title}
            {badge !== undefined && badge.count > 0 && (
              <span class={`count ${badge.level}`}>
                {badge.count}
                <span class="sr"> {badge.word}</span>
              </span>
            )}
          </a>
        );
      })}
    </>
  );
}

function Search(): JSX.Element {
  const input = useRef<HTMLInputElement>(null);
  const find = (event: Event): void => {
    event.preventDefault();
    const text = input.current?.value.trim() ?? '';
    go(text === '' ? '/agents' : `/agents?q=${encodeURIComponent(text)}`);
  };
  return (
    <form class="search" role="search" onSubmit={find}>
      <Icon name="search" />
      <label class="sr" for="find">
        {T.find}
      </label>
      <input type="search" id="find" ref={input} placeholder={T.findPlaceholder} autocomplete="off" maxLength={253} />
      <kbd aria-hidden="true">/</kbd>
    </form>
  );
}

function Live(): JSX.Element {
  useTick(5);
  const { isLive, asOf } = useStore(liveMark);
  return (
    <span class={`livebox hide-phone ${isLive ? '' : 'cut-off'}`}>
      <Icon name={isLive ? 'dot' : 'warn'} />
      {isLive ? T.live : T.reconnecting(asOf === 0 ? '–' : clock(asOf, asOf))}
    </span>
  );
}
