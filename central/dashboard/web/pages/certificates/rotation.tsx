// The rotation of the authority: four steps with their counts in words, whom the next one waits for, and the acts.
import type { ComponentChildren, JSX } from 'preact';
import { may } from '../../client/session.ts';
import { shortHash } from '../../format.ts';
import { Icon, type IconName } from '../../parts/icon.tsx';
import { Bar, Callout, Card } from '../../parts/layout.tsx';
import { Since } from '../../parts/text.tsx';
import { T } from '../../strings.ts';
import { figuresOf } from './figures.ts';
import { RotationActs } from './rotation-acts.tsx';
import type { Authorities, Rotation } from './shapes.ts';
import { WaitingTable } from './waiting.tsx';

const { certificates: C } = T;

type StepState = 'done' | 'now' | 'next';

interface RotationCardProps {
  readonly rotation: Rotation;
  readonly authorities: Authorities | undefined;
  readonly again: () => void;
}

export function RotationCard({ rotation, authorities, again }: RotationCardProps): JSX.Element {
  const { phase, phaseChangedAt, change } = rotation;
  const isWaiting = phase === 'published' || phase === 'switched';
  return (
    <Card
      title={C.rotation}
      right={
        phase !== 'idle' &&
        phaseChangedAt !== null && (
          <span class="muted">
            <Since at={phaseChangedAt} /> {C.phaseSince}
          </span>
        )
      }
    >
      <Stepper rotation={rotation} authorities={authorities} />
      {phase === 'idle' && <p class="body t2 idle">{C.idle}</p>}
      {change !== null && (
        <div class="body">
          <Callout meaning="info" title={C.waitsConfirm} />
        </div>
      )}
      {rotation.profiles.length > 0 && (
        <div class="body">
          <Callout meaning="warn" title={C.profilesStale(rotation.profiles.length)} />
        </div>
      )}
      {isWaiting && <WaitingTable rotation={rotation} />}
      {may('administrator') && <RotationActs rotation={rotation} again={again} />}
    </Card>
  );
}

interface StepperProps {
  readonly rotation: Rotation;
  readonly authorities: Authorities | undefined;
}

function Stepper({ rotation, authorities }: StepperProps): JSX.Element {
  const { at, trusting, renewed, missing } = figuresOf(rotation);
  const next = authorities?.generations.find(({ role }) => role === 'prepared' || role === 'next');
  const texts = C.stepTexts;
  const published = <Counted text={texts.published(trusting.count, trusting.of, trusting.unencrypted)} {...trusting} />;
  const stateOf = (place: number, isOver: boolean): StepState =>
    at > place || (at === place && isOver) ? 'done' : at === place ? 'now' : 'next';
  return (
    <ol class="stepper">
      <Step title={C.steps.prepare} state={at >= 1 ? 'done' : 'next'}>
        {at > 1
          ? texts.created
          : at === 1 && next !== undefined
            ? texts.prepared(shortHash(next.root.thumbprint))
            : texts.prepare}
      </Step>
      <Step title={C.steps.publish} state={stateOf(2, missing === 0)}>
        {at === 2 ? published : at > 2 ? texts.sent : texts.publish}
      </Step>
      <Step title={C.steps.switch} state={stateOf(3, missing === 0)}>
        {at === 3 ? (
          <Counted text={texts.switched(renewed.count, renewed.of)} {...renewed} />
        ) : at > 3 ? (
          texts.signs
        ) : (
          texts.switch
        )}
      </Step>
      <Step title={C.steps.retire} state={at === 4 ? 'done' : 'next'}>
        {at === 4 ? texts.retired : texts.retire}
      </Step>
    </ol>
  );
}

const LOOKS: Readonly<Record<StepState, readonly [css: string, icon: IconName]>> = {
  done: ['ok', 'good'],
  now: ['info', 'connecting'],
  next: ['todo-step', 'todo'],
};

interface StepProps {
  readonly title: string;
  readonly state: StepState;
  readonly children: ComponentChildren;
}

function Step({ title, state, children }: StepProps): JSX.Element {
  const [css, icon] = LOOKS[state];
  return (
    <li class={state === 'next' ? '' : state} aria-current={state === 'now' ? 'step' : undefined}>
      <div class={`h ${css}`}>
        <Icon name={icon} />
        {title}
        <span class="sr">{C.step[state]}</span>
      </div>
      {typeof children === 'string' ? <p>{children}</p> : children}
    </li>
  );
}

function Counted({ text, count, of }: { readonly text: string; readonly count: number; readonly of: number }) {
  return (
    <>
      <p>{text}</p>
      {of > 0 && (
        <Bar
          parts={[
            { meaning: 'ok', count, label: C.ready },
            { meaning: 'none', count: of - count, label: C.notReady },
          ]}
        />
      )}
    </>
  );
}
