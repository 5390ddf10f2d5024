// Certificates on a line of time, from those that have expired to those of a year and more: one mark for all that end
// at about the same time.
import type { JSX } from 'preact';
import { T } from '../../strings.ts';

const { certificates: C } = T;

const WIDTH = 1_000;
const MARK = 5;

/** The near days get more of the line than the far ones. */
function placeOf(days: number): number {
  if (days < 0) return 0;
  return Math.min(WIDTH - MARK, 20 + Math.sqrt(Math.min(days, 365) / 365) * 960);
}

function lookOf(days: number): 'bad' | 'warn' | 'info' | 'quiet' {
  return days < 0 ? 'bad' : days <= 14 ? 'warn' : days <= 30 ? 'info' : 'quiet';
}

export function Radar({ days }: { readonly days: readonly number[] }): JSX.Element {
  const marks = new Map<number, number>();
  for (const one of days) {
    const at = Math.round(placeOf(one) / MARK) * MARK;
    marks.set(at, Math.min(one, marks.get(at) ?? one));
  }
  const count = (has: (one: number) => boolean): number => days.filter(has).length;
  const label = C.radar(
    count((one) => one < 0),
    count((one) => one >= 0 && one <= 30),
    count((one) => one > 30),
  );
  return (
    <>
      <svg class="radar" viewBox={`0 0 ${WIDTH} 44`} preserveAspectRatio="none" role="img" aria-label={label}>
        <rect class="f-none" x={0} y={20} width={WIDTH} height={2} />
        {[...marks].map(([at, nearest]) => {
          const look = lookOf(nearest);
          const isNear = look !== 'quiet';
          return (
            <rect
              key={at}
              class={`f-${look}`}
              x={at}
              y={isNear ? 8 : 14}
              width={isNear ? 4 : 3}
              height={isNear ? 26 : 14}
            />
          );
        })}
      </svg>
      <div class="axis" aria-hidden="true">
        {C.scale.map((text) => (
          <span key={text}>{text}</span>
        ))}
      </div>
    </>
  );
}
