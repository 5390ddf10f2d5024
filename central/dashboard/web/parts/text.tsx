// Text on the page: names and texts of others as text nodes, states with shape and word, times, commands to copy.
import type { ComponentChildren, JSX } from 'preact';
import { useState } from 'preact/hooks';
import { centralNow } from '../client/api.ts';
import { absolute, duration, oneLine, shortDuration, visible } from '../format.ts';
import { lookOf, type Meaning } from '../states.ts';
import { T } from '../strings.ts';
import { Icon, type IconName } from './icon.tsx';
import { say } from './toast.tsx';

const MAX_SHOWN = 200;

/** A name, label or payload of others: isolated in its direction, invisible characters shown, cut when it is long. */
export function Foreign({ text }: { readonly text: string }): JSX.Element {
  const [isWhole, show] = useState(false);
  const shown = visible(text);
  if (shown.length <= MAX_SHOWN || isWhole) return <bdi>{shown}</bdi>;
  return (
    <>
      <bdi>{shown.slice(0, MAX_SHOWN)}…</bdi>{' '}
      <button class="link" type="button" onClick={() => show(true)}>
        {T.showAll(shown.length)}
      </button>
    </>
  );
}

/** For places of one line, such as a cell: cut, with the rest in the tooltip. */
export function ForeignLine({ text }: { readonly text: string }): JSX.Element {
  const shown = visible(text);
  return <bdi title={shown.length > 40 ? shown.slice(0, 1_000) : undefined}>{shown.slice(0, MAX_SHOWN)}</bdi>;
}

/** The state of an agent: its shape and always its word. */
export function AgentState({ state }: { readonly state: string }): JSX.Element {
  const { word, meaning, icon } = lookOf(state);
  return (
    <span class={`st ${meaning}`}>
      <Icon name={icon} />
      {word}
    </span>
  );
}

interface MarkProps {
  readonly meaning: Meaning;
  readonly icon: IconName;
  readonly children: ComponentChildren;
}

/** Any state in words, with its shape. */
export function Mark({ meaning, icon, children }: MarkProps): JSX.Element {
  return (
    <span class={`st ${meaning}`}>
      <Icon name={icon} />
      {children}
    </span>
  );
}

export function Tag({ meaning, icon, children }: MarkProps): JSX.Element {
  return (
    <span class={`tag ${meaning}`}>
      <Icon name={icon} />
      {children}
    </span>
  );
}

/** How long ago; the absolute time is in the tooltip. */
export function Ago({ at }: { readonly at: string }): JSX.Element {
  return (
    <time dateTime={at} title={absolute(at)}>
      {T.ago(shortDuration(centralNow() - Date.parse(at)))}
    </time>
  );
}

/** For how long. */
export function Since({ at }: { readonly at: string }): JSX.Element {
  return (
    <time dateTime={at} title={absolute(at)}>
      {T.for(duration(centralNow() - Date.parse(at)))}
    </time>
  );
}

/** A dash where nothing is known. */
export function None(): JSX.Element {
  return <span class="muted">–</span>;
}

export function Copy({ text, label }: { readonly text: string; readonly label: string }): JSX.Element {
  const copy = (): void => {
    // Over plain HTTP from another host a browser has no clipboard: the text can be selected.
    void navigator.clipboard?.writeText(text).then(() => say(T.copied), undefined);
  };
  return (
    <button class="btn sm icon plain" type="button" aria-label={oneLine(label)} onClick={copy}>
      <Icon name="copy" />
    </button>
  );
}

/** A command to run, whole, with a button that copies it. */
export function Command({ text, label }: { readonly text: string; readonly label?: string }): JSX.Element {
  return (
    <div class="cmd">
      <code>{visible(text)}</code>
      <Copy text={text} label={label ?? T.copyOf(text)} />
    </div>
  );
}

/** A hint of Central: the commands in quotes are shown as code. */
export function Hint({ text }: { readonly text: string }): JSX.Element {
  const pieces = visible(text).split(/"((?:queuegate|queue-agent|ss)(?: [^"]*)?)"/);
  return <>{pieces.map((piece, i) => (i % 2 === 1 ? <code key={i}>{piece}</code> : piece))}</>;
}

/** The commands that a hint names. */
export function commandsIn(hint: string): string[] {
  return Array.from(hint.matchAll(/"((?:queuegate|queue-agent) [^"]*)"/g), ([, command = '']) => command);
}

export function Facts({ rows }: { readonly rows: readonly (readonly [string, ComponentChildren])[] }): JSX.Element {
  return (
    <dl class="dl">
      {rows.map(([label, value]) => (
        <>
          <dt key={label}>{label}</dt>
          <dd>{value}</dd>
        </>
      ))}
    </dl>
  );
}
