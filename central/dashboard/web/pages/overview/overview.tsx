// Overview: is everything all right? Key figures, problems, states, transport, releases and listeners.
import type { ComponentChildren, JSX } from 'preact';
import { get } from '../../client/api.ts';
import { useLoaded } from '../../client/loaded.ts';
import { isUnscoped } from '../../client/session.ts';
import type { Status } from '../../client/types.ts';
import { number, percent } from '../../format.ts';
import { Icon, type IconName } from '../../parts/icon.tsx';
import { Bar, Card, Failed, SkeletonCard } from '../../parts/layout.tsx';
import { ForeignLine, Mark } from '../../parts/text.tsx';
import type { PageEntry } from '../../shell/pages.ts';
import { Shell } from '../../shell/shell.tsx';
import { lookOf, STATE_ORDER, type Meaning } from '../../states.ts';
import { T } from '../../strings.ts';
import { countOf, Figures } from './figures.tsx';
import { Problems } from './problems.tsx';

function OverviewPage(): JSX.Element {
  const status = useLoaded('status', async (signal) => (await get<Status>('/status', {}, signal)).data, 5);
  const { data } = status;
  return (
    <Shell crumbs={[[T.overview]]}>
      <h1 class="sr">{T.overview}</h1>
      {data === undefined ? (
        <section class="card">
          {status.problem === undefined ? <SkeletonCard /> : <Failed problem={status.problem} again={status.again} />}
        </section>
      ) : (
        <>
          <Figures status={data} />
          <div class="cols">
            <div class="stack">
              <Problems status={data} readAt={status.readAt} />
              <Listeners status={data} />
            </div>
            <Fleet status={data} />
          </div>
        </>
      )}
    </Shell>
  );
}

/** What Central says of a listener, without its name and port, which are beside it. */
function reachableFrom(text: string): string {
  const [, addresses, how] = /^.*? listens on (.*), port \d+: (.*)\.$/.exec(text) ?? [];
  if (addresses === undefined || how === undefined) return text;
  const from = `${addresses}, ${how.replace(/, for this host only$/, '')}`;
  return from.charAt(0).toUpperCase() + from.slice(1);
}

function Listeners({ status }: { readonly status: Status }): JSX.Element {
  const sessions = new Map(status.sessions?.map(({ listener, sessionCount }) => [listener, sessionCount]));
  return (
    <Card title={T.listeners} right={isUnscoped() ? <a href="/nodes">{T.nodes.title}</a> : undefined}>
      <div class="tw">
        <table class="cards">
          <thead>
            <tr>
              <th scope="col">{T.listener}</th>
              <th scope="col">{T.port}</th>
              <th scope="col">{T.servedFor}</th>
              <th scope="col" class="num">
                {T.sessions}
              </th>
            </tr>
          </thead>
          <tbody>
            {status.listeners.map(({ listener, port, encrypted, text }) => {
              const from = reachableFrom(text);
              const isOpen = !encrypted && !from.includes(' only');
              return (
                <tr key={listener}>
                  <td class="name">{T.listenerNames[listener] ?? listener}</td>
                  <td class="right">
                    <code>{port}</code>
                  </td>
                  <td class="wide">
                    {isOpen ? (
                      <Mark meaning="warn" icon="warn">
                        {from}
                      </Mark>
                    ) : (
                      from
                    )}
                  </td>
                  <td class="num meta" data-l={T.sessions}>
                    {countText(sessions.get(listener))}
                  </td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
    </Card>
  );
}

/** A listener of the administration has requests, and no sessions. */
const countText = (count: number | undefined): string => (count === undefined ? '–' : number(count));

const MEANINGS: readonly Meaning[] = ['ok', 'bad', 'warn', 'info', 'quiet'];

function Fleet({ status }: { readonly status: Status }): JSX.Element {
  const { agentCount: total, states, transports } = status.agents;
  const counts = new Map(states.map(({ state, agentCount }) => [state, agentCount]));
  const shown = ['online', ...STATE_ORDER.filter((state) => state !== 'online')].filter(
    (state) => (counts.get(state) ?? 0) > 0,
  );
  const byTransport = new Map(transports.map(({ transport, agentCount }) => [transport, agentCount]));
  const [wss, ws] = [byTransport.get('wss') ?? 0, byTransport.get('ws') ?? 0];
  return (
    <Card title={T.agentsByState} right={<span class="muted">{T.registered(total)}</span>}>
      <div class="body">
        <Bar
          parts={MEANINGS.map((meaning) => ({
            meaning,
            count: countOf(status, (state) => lookOf(state).meaning === meaning),
            label: meaning,
          }))}
        />
        <div class="legend">
          {shown.map((state) => {
            const { word, meaning, icon } = lookOf(state);
            return (
              <Row
                key={state}
                href={`/agents?state=${state}`}
                icon={icon}
                meaning={meaning}
                count={counts.get(state) ?? 0}
                total={total}
              >
                {word}
              </Row>
            );
          })}
        </div>
        <h3 class="sub">{T.transport}</h3>
        <Bar
          parts={[
            { meaning: 'ok', count: wss, label: 'wss' },
            { meaning: 'warn', count: ws, label: 'ws' },
          ]}
        />
        <div class="legend">
          <Row href="/agents?transport=wss" icon="lock" meaning="ok" count={wss} total={wss + ws}>
            {T.wss}
          </Row>
          <Row href="/agents?transport=ws" icon="warn" meaning="warn" count={ws} total={wss + ws}>
            {T.ws}
          </Row>
        </div>
        <Software status={status} />
      </div>
    </Card>
  );
}

function Software({ status }: { readonly status: Status }): JSX.Element {
  const { agentCount: total, versions, releases } = status.agents;
  return (
    <>
      {versions.length > 0 && <h3 class="sub">{T.version}</h3>}
      <div class="legend">
        {versions.slice(0, 5).map(({ version, agentCount }) => (
          <Row
            key={version}
            href={`/agents?version=${encodeURIComponent(version)}`}
            icon="rollout"
            meaning="quiet"
            count={agentCount}
            total={total}
          >
            <code>
              <ForeignLine text={version} />
            </code>
          </Row>
        ))}
      </div>
      {releases.length > 0 && <h3 class="sub">{T.release}</h3>}
      <div class="legend">
        {releases.slice(0, 5).map(({ release, name, agentCount }) => (
          <Row
            key={release}
            href={`/agents?release=${release}`}
            icon="rollout"
            meaning="quiet"
            count={agentCount}
            total={total}
          >
            <code title={release}>
              <ForeignLine text={`${name ?? ''}@${release.slice(0, 8)}`} />
            </code>
          </Row>
        ))}
      </div>
    </>
  );
}

interface RowProps {
  readonly href: string;
  readonly icon: IconName;
  readonly meaning: Meaning;
  readonly count: number;
  readonly total: number;
  readonly children: ComponentChildren;
}

function Row({ href, icon, meaning, count, total, children }: RowProps): JSX.Element {
  return (
    <a href={href}>
      <Icon name={icon} className={meaning} />
      {children}
      <span class="n">{number(count)}</span>
      <span class="p">{total === 0 ? '' : percent(count / total)}</span>
    </a>
  );
}

export const OVERVIEW: PageEntry = {
  id: 'overview',
  title: T.overview,
  shortTitle: T.overview,
  icon: 'home',
  key: 'o',
  page: OverviewPage,
};
