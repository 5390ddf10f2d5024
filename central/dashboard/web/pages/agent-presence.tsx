// How much an agent was online in the last seven days, from the changes of its state that Central keeps.
import type { JSX } from 'preact';
import { centralNow } from '../client/api.ts';
import type { Agent } from '../client/types.ts';
import { absolute, date } from '../format.ts';
import { Card } from '../parts/layout.tsx';
import { GROUPS, lookOf, type Meaning } from '../states.ts';
import { T } from '../strings.ts';
import type { StateChange } from './agent-tabs.tsx';

const WEEK_MS = 7 * 86_400_000;
/** Where the axis has its dates, as parts of the week before now. */
const AXIS = [1, 0.75, 0.5, 0.25];

interface Span {
  readonly from: number;
  readonly to: number;
  readonly meaning: Meaning;
}

/** Oldest first. What was before the oldest change that is kept is unknown, and in none of them. */
function spansOf(changes: readonly StateChange[], from: number, now: number): Span[] {
  const spans: Span[] = [];
  let to = now;
  for (const { state, stateChangedAt } of changes) {
    const began = Math.max(from, Date.parse(stateChangedAt));
    if (began < to) spans.push({ from: began, to, meaning: lookOf(state).meaning });
    to = Math.min(to, began);
    if (to <= from) break;
  }
  return spans.toReversed();
}

function isLive(state: string): boolean {
  return GROUPS.find(({ id }) => id === 'live')?.has(state) === true;
}

interface PresenceProps {
  readonly agent: Agent;
  /** Newest first. */
  readonly changes: readonly StateChange[];
}

export function Presence({ agent, changes }: PresenceProps): JSX.Element {
  const now = centralNow();
  const from = now - WEEK_MS;
  const spans = spansOf(changes, from, now);
  const live = spansOf(
    changes.map((change) => ({ ...change, state: isLive(change.state) ? 'online' : 'disconnected' })),
    from,
    now,
  );
  const length = (parts: readonly Span[]): number => parts.reduce((sum, span) => sum + span.to - span.from, 0);
  const known = length(spans);
  const share =
    known === 0 ? T.shareUnknown : T.onlineShare(length(live.filter(({ meaning }) => meaning === 'ok')) / known);
  const [first] = spans;
  return (
    <Card title={T.lastWeek} right={<span class="muted">{share}</span>}>
      <div class="body">
        <svg
          class="presence"
          viewBox="0 0 1000 28"
          preserveAspectRatio="none"
          role="img"
          aria-label={T.presence(share, lookOf(agent.state).word)}
        >
          <rect class="f-none" width={1000} height={28} />
          {spans.map((span) => (
            <rect
              key={span.from}
              class={`f-${span.meaning}`}
              x={((span.from - from) / WEEK_MS) * 1000}
              width={Math.max(1, ((span.to - span.from) / WEEK_MS) * 1000)}
              height={28}
            />
          ))}
        </svg>
        <div class="axis" aria-hidden="true">
          {AXIS.map((part) => (
            <span key={part}>{date(now - part * WEEK_MS).slice(5)}</span>
          ))}
          <span>{T.now}</span>
        </div>
        {first !== undefined && first.from > from && <p class="t2">{T.presenceKnown(absolute(first.from))}</p>}
      </div>
    </Card>
  );
}
