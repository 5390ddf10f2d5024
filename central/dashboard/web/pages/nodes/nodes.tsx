// Nodes: the Central processes that share one store, whether each works, which one leads, and how far each is.
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { all, get } from '../../client/api.ts';
import { useTick } from '../../client/clock.ts';
import { useLoaded } from '../../client/loaded.ts';
import { may } from '../../client/session.ts';
import type { Status } from '../../client/types.ts';
import { onChange } from '../../client/watch.ts';
import { number } from '../../format.ts';
import { Empty, Failed, Head, SkeletonRows } from '../../parts/layout.tsx';
import { Ago, ForeignLine, Mark, Tag } from '../../parts/text.tsx';
import type { PageEntry } from '../../shell/pages.ts';
import { Shell } from '../../shell/shell.tsx';
import { T } from '../../strings.ts';
import { NodeActs } from './acts.tsx';
import { isBehind, isClockOff, lookOfNode, type CentralNode } from './shapes.ts';

const { nodes: N } = T;

const EVERY_SECONDS = 5;

async function read(signal: AbortSignal): Promise<readonly CentralNode[]> {
  return await all<CentralNode>('/nodes', {}, signal);
}

function NodesPage(): JSX.Element {
  useTick(EVERY_SECONDS);
  const { data, problem, again } = useLoaded('nodes', read, EVERY_SECONDS);
  const status = useLoaded('status of nodes', async (signal) => (await get<Status>('/status', {}, signal)).data);
  useEffect(
    () =>
      onChange(({ noun }) => {
        if (noun === 'node') again();
      }),
    [again],
  );
  const alive = data?.filter(({ state }) => state === 'alive') ?? [];
  return (
    <Shell crumbs={[[T.overview, '/overview'], [N.title]]}>
      <Head title={N.title} sub={N.sub} />
      <section class="card">
        {data === undefined && problem !== undefined ? (
          <Failed problem={problem} again={again} />
        ) : (
          <Table nodes={data} here={status.data?.node} again={again} />
        )}
        {data?.length === 1 && (
          <Empty icon="info" title={N.single}>
            <p>{N.singleText}</p>
          </Empty>
        )}
        {data !== undefined && data.length > 1 && (
          <div class="tfoot">
            {N.count(
              alive.length,
              alive.reduce((sum, { sessionCount }) => sum + sessionCount, 0),
            )}
          </div>
        )}
      </section>
    </Shell>
  );
}

interface TableProps {
  readonly nodes: readonly CentralNode[] | undefined;
  readonly here: string | undefined;
  readonly again: () => void;
}

function Table({ nodes, here, again }: TableProps): JSX.Element {
  const { node, state, version, sessions, clock, parameters, heard } = N.columns;
  const acts = may('administrator');
  return (
    <div class="tw">
      <table class="cards nodes" aria-busy={nodes === undefined}>
        <caption class="sr">{N.title}</caption>
        <thead>
          <tr>
            {[node, state, version].map((label) => (
              <th key={label} scope="col">
                {label}
              </th>
            ))}
            <th scope="col" class="num">
              {sessions}
            </th>
            {[clock, parameters, heard].map((label) => (
              <th key={label} scope="col">
                {label}
              </th>
            ))}
            {acts && (
              <th scope="col">
                <span class="sr">{T.moreActs}</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {nodes === undefined ? (
            <SkeletonRows columns={acts ? 8 : 7} rows={3} />
          ) : (
            nodes.map((one) => <Row key={one.name} node={one} nodes={nodes} isHere={one.name === here} again={again} />)
          )}
        </tbody>
      </table>
    </div>
  );
}

interface RowProps {
  readonly node: CentralNode;
  readonly nodes: readonly CentralNode[];
  readonly isHere: boolean;
  readonly again: () => void;
}

function Row({ node, nodes, isHere, again }: RowProps): JSX.Element {
  const { word, meaning, icon } = lookOfNode(node);
  const isAlive = node.state === 'alive';
  return (
    <tr>
      <td class="wide">
        <span class="pair">
          <span class="name">
            <ForeignLine text={node.name} />
          </span>
          {node.leader && (
            <Tag meaning="info" icon="good">
              {N.leads}
            </Tag>
          )}
          {isHere && <span class="muted">{N.here}</span>}
        </span>
        {nodes.length > 1 && (
          <span class="d2 cut">{node.address === null ? N.noAddress : <ForeignLine text={node.address} />}</span>
        )}
      </td>
      <td class="wide">
        <Mark meaning={meaning} icon={icon}>
          {N.states[word]}
        </Mark>
      </td>
      <td class="meta" data-l={N.columns.version}>
        <code>
          <ForeignLine text={node.version} />
        </code>
      </td>
      <td class="num meta" data-l={N.columns.sessions}>
        {isAlive ? number(node.sessionCount) : T.none}
      </td>
      <td class="meta" data-l={N.columns.clock}>
        {!isAlive ? (
          T.none
        ) : isClockOff(node) ? (
          <Mark meaning="warn" icon="warn">
            {N.off(node.clockOffsetSeconds)}
          </Mark>
        ) : (
          N.inStep
        )}
      </td>
      <td class="meta" data-l={N.columns.parameters}>
        {!isAlive ? (
          T.none
        ) : isBehind(node, nodes) ? (
          <Mark meaning="warn" icon="clock">
            {N.behind}
          </Mark>
        ) : (
          N.current
        )}
      </td>
      <td class="meta" data-l={N.columns.heard}>
        <Ago at={node.lastSeenAt} />
      </td>
      {may('administrator') && (
        <td class="num wide">
          <NodeActs node={node} nodes={nodes} again={again} />
        </td>
      )}
    </tr>
  );
}

export const NODES: PageEntry = {
  id: 'nodes',
  title: N.title,
  shortTitle: N.title,
  icon: 'rollout',
  key: '',
  page: NodesPage,
  within: 'overview',
  isOffered: () => false,
};
