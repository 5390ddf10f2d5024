// What the pages of rollouts share: the head with the tabs, the state of a rollout, and the newest ones in short.
import type { ComponentChildren, JSX } from 'preact';
import { date, number } from '../../format.ts';
import { Head } from '../../parts/layout.tsx';
import { ForeignLine, Mark } from '../../parts/text.tsx';
import { Shell } from '../../shell/shell.tsx';
import { T } from '../../strings.ts';
import { useRollouts } from './kept.ts';
import { lookOfRollout, releaseText } from './shapes.ts';

const { rollouts: R } = T;

interface FrameProps {
  readonly tab: 'rollouts' | 'profiles' | 'software';
  readonly acts?: ComponentChildren;
  readonly children: ComponentChildren;
}

const TABS = [
  ['rollouts', '/rollouts'],
  ['profiles', '/profiles'],
  ['software', '/rollouts?tab=software'],
] as const;

/** The head and the tabs of the three lists. */
export function Frame({ tab, acts, children }: FrameProps): JSX.Element {
  return (
    <Shell crumbs={[[R.tabs[tab]]]}>
      <Head title={R.tabs[tab]}>{acts}</Head>
      <nav class="tabs" aria-label={R.title}>
        {TABS.map(([id, href]) => (
          <a key={id} href={href} aria-current={id === tab ? 'page' : undefined}>
            {R.tabs[id]}
          </a>
        ))}
      </nav>
      <section class="card">{children}</section>
    </Shell>
  );
}

export function RolloutMark({ state }: { readonly state: string }): JSX.Element {
  const { meaning, icon } = lookOfRollout(state);
  return (
    <Mark meaning={meaning} icon={icon}>
      {R.states[state] ?? state}
    </Mark>
  );
}

/** The newest ones beside another page. */
export function OtherRollouts({ except }: { readonly except: string }): JSX.Element {
  const { rollouts } = useRollouts();
  return (
    <table>
      <caption class="sr">{R.others}</caption>
      <tbody>
        {rollouts
          .filter(({ id }) => id !== except)
          .slice(0, 5)
          .map((rollout) => (
            <tr key={rollout.id}>
              <td>
                <a class="name" href={`/rollouts/${rollout.id}`}>
                  {rollout.id}
                </a>
              </td>
              <td title={`${date(rollout.createdAt)}, ${number(rollout.counts.total)}`}>
                <code>
                  <ForeignLine text={releaseText(rollout)} />
                </code>
              </td>
              <td class="num">
                <RolloutMark state={rollout.state} />
              </td>
            </tr>
          ))}
      </tbody>
    </table>
  );
}
