// The parts that pages are made of: heads, cards, key figures, bars, problems, and the states of a list that is not
// there.
import type { ComponentChildren, JSX } from 'preact';
import type { ProblemDocument } from '../client/types.ts';
import type { Meaning } from '../states.ts';
import { T } from '../strings.ts';
import { Icon, type IconName } from './icon.tsx';
import { Command, Foreign, Hint } from './text.tsx';

interface HeadProps {
  readonly title: ComponentChildren;
  readonly sub?: ComponentChildren;
  /** Buttons. */
  readonly children?: ComponentChildren;
}

export function Head({ title, sub, children }: HeadProps): JSX.Element {
  return (
    <div class="head">
      <div>
        <h1>{title}</h1>
        {sub !== undefined && <p>{sub}</p>}
      </div>
      {children !== undefined && <div class="acts">{children}</div>}
    </div>
  );
}

interface CardProps {
  readonly title: ComponentChildren;
  /** At the right of the title. */
  readonly right?: ComponentChildren;
  readonly children?: ComponentChildren;
}

export function Card({ title, right, children }: CardProps): JSX.Element {
  return (
    <section class="card">
      <header>
        <h2>{title}</h2>
        {right !== undefined && <div class="r">{right}</div>}
      </header>
      {children}
    </section>
  );
}

interface FigureProps {
  readonly href: string;
  readonly label: string;
  /** Null: not known, which is never shown as 0. */
  readonly value: string | null;
  readonly unit?: string;
  readonly note: ComponentChildren;
}

export function KeyFigure({ href, label, value, unit, note }: FigureProps): JSX.Element {
  return (
    <a class="kpi" href={href}>
      <span class="l">{label}</span>
      <span class="n">
        {value ?? '–'}
        {unit !== undefined && value !== null && <small> {unit}</small>}
      </span>
      <span />
      <span class="d">{value === null ? T.notReported : note}</span>
    </a>
  );
}

export interface BarPart {
  readonly meaning: Meaning | 'none';
  readonly count: number;
  readonly label: string;
}

/** Shares as one bar; its numbers are in the text beside it, and in its label. */
export function Bar({ parts }: { readonly parts: readonly BarPart[] }): JSX.Element {
  const total = parts.reduce((sum, { count }) => sum + count, 0);
  let x = 0;
  const rects = parts
    .filter(({ count }) => count > 0)
    .map(({ meaning, count }) => {
      const width = (count / total) * 1000;
      const at = x;
      x += width;
      return (
        <rect class={`f-${meaning}`} x={at} width={at + width > 999 ? width : Math.max(3, width - 2)} height={10} />
      );
    });
  const label = parts.map(({ label, count }) => `${label} ${count}`).join(', ');
  return (
    <svg class="bar" viewBox="0 0 1000 10" preserveAspectRatio="none" role="img" aria-label={label}>
      <rect class="f-none" width={1000} height={10} />
      {rects}
    </svg>
  );
}

interface ProblemProps {
  readonly level: 'bad' | 'warn' | 'info';
  readonly title: ComponentChildren;
  readonly cause?: ComponentChildren;
  readonly hint: string | null;
  readonly act?: ComponentChildren;
  readonly age?: ComponentChildren;
}

/** One problem of a list: title, cause, what to do, one act, its age. */
export function ProblemItem({ level, title, cause, hint, act, age }: ProblemProps): JSX.Element {
  return (
    <li class="prob">
      <Icon name={level} className={level} />
      <h3>{title}</h3>
      {cause !== undefined && <p class="cause">{cause}</p>}
      {hint !== null && (
        <p class="todo">
          <b>{T.whatToDo}</b> <Hint text={hint} />
        </p>
      )}
      <div class="act">
        {act}
        {age !== undefined && <span class="age">{age}</span>}
      </div>
    </li>
  );
}

interface CalloutProps {
  readonly meaning: 'ok' | 'warn' | 'bad' | 'info' | 'plain';
  readonly title: ComponentChildren;
  readonly children?: ComponentChildren;
  readonly act?: ComponentChildren;
}

const CALLOUT_ICONS: Readonly<Record<CalloutProps['meaning'], IconName>> = {
  ok: 'good',
  warn: 'warn',
  bad: 'bad',
  info: 'info',
  plain: 'good',
};

export function Callout({ meaning, title, children, act }: CalloutProps): JSX.Element {
  return (
    <div class={`callout ${meaning}`}>
      <Icon name={CALLOUT_ICONS[meaning]} />
      <div class="bd">
        <h2>{typeof title === 'string' ? <Foreign text={title} /> : title}</h2>
        {children}
      </div>
      {act !== undefined && <div class="act">{act}</div>}
    </div>
  );
}

interface EmptyProps {
  readonly icon: IconName;
  readonly title: string;
  /** It is all that the page has: its title is that of the page. */
  readonly isTop?: boolean;
  readonly children?: ComponentChildren;
}

/** Nothing there, or nothing that fits. */
export function Empty({ icon, title, isTop, children }: EmptyProps): JSX.Element {
  return (
    <div class="empty">
      <Icon name={icon} />
      {isTop === true ? <h1>{title}</h1> : <h2>{title}</h2>}
      {children}
    </div>
  );
}

/** What could not be loaded: Central's problem, what to do, and a button that tries again. */
export function Failed({ problem, again }: { readonly problem: ProblemDocument; again?: () => void }): JSX.Element {
  return (
    <div class="empty" role="alert">
      <Icon name="bad" className="bad" />
      <h2>{T.notLoaded}</h2>
      <p>
        <Foreign text={problem.detail} /> ({problem.code})
      </p>
      <p>
        <b>{T.whatToDo}</b> <Hint text={problem.hint} />
      </p>
      {again !== undefined && (
        <button class="btn primary" type="button" onClick={again}>
          {T.tryAgain}
        </button>
      )}
    </div>
  );
}

/** A refusal beside the act that was refused. */
export function Fault({ problem }: { readonly problem: ProblemDocument }): JSX.Element {
  return (
    <p class="fault" role="alert">
      <Icon name="bad" />
      <span>
        <Foreign text={problem.detail} /> <Hint text={problem.hint} />
        {(problem.errors ?? []).map(({ detail }) => (
          <span class="d2" key={detail}>
            <Foreign text={detail} />
          </span>
        ))}
      </span>
    </p>
  );
}

/** Rows of the height of those that come. */
export function SkeletonRows({
  columns,
  rows = 12,
}: {
  readonly columns: number;
  readonly rows?: number;
}): JSX.Element {
  return (
    <>
      {Array.from({ length: rows }, (_, i) => (
        <tr key={i}>
          {Array.from({ length: columns }, (_, j) => (
            <td key={j}>
              <span class={`sk w${((i + j) % 3) + 1}`} />
            </td>
          ))}
        </tr>
      ))}
    </>
  );
}

export function SkeletonCard({ lines = 5 }: { readonly lines?: number }): JSX.Element {
  return (
    <div class="body stack" aria-busy="true">
      {Array.from({ length: lines }, (_, i) => (
        <span key={i} class={`sk w${(i % 3) + 1}`} />
      ))}
    </div>
  );
}

/** Steps with the command of each. */
export function Steps({
  steps,
}: {
  readonly steps: readonly { readonly text: ComponentChildren; readonly command?: string }[];
}): JSX.Element {
  return (
    <ol class="steps">
      {steps.map(({ text, command }, i) => (
        <li key={i}>
          <div>
            <p>{text}</p>
            {command !== undefined && <Command text={command} />}
          </div>
        </li>
      ))}
    </ol>
  );
}
