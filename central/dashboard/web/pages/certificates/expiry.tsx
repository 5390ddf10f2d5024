// What ends soon: every certificate that Central knows on one line of time, and those that end first, with how each is
// renewed and what to do.
import type { JSX } from 'preact';
import { all, centralNow, get } from '../../client/api.ts';
import { useLoaded } from '../../client/loaded.ts';
import { useStore } from '../../client/store.ts';
import type { Agent, Page } from '../../client/types.ts';
import { absolute, shortHash, visible } from '../../format.ts';
import { Card, Failed, SkeletonCard } from '../../parts/layout.tsx';
import { ForeignLine, Mark } from '../../parts/text.tsx';
import { address, agentHref, setQuery } from '../../router.ts';
import { T } from '../../strings.ts';
import { Radar } from './radar.tsx';
import { renewalOf, type Renewal } from './renewal.ts';
import type { Ending, Phase, ServerCertificates } from './shapes.ts';

const { certificates: C } = T;

const FIRST = 10;
const CHUNK = 500;
/** So many of the agents that end first are asked for their states. */
const ASKED = 20;

interface ExpiryCardProps {
  readonly phase: Phase | undefined;
  readonly server: ServerCertificates | undefined;
}

export function ExpiryCard({ phase, server }: ExpiryCardProps): JSX.Element {
  const { data, problem, again } = useLoaded(
    `certificates ${phase ?? ''} ${server?.current.thumbprint ?? ''}`,
    async (signal) => await all<Ending>('/certificates', {}, signal),
    300,
  );
  const grace = useLoaded(
    'grace',
    async (signal) =>
      (await get<{ readonly value: number }>('/parameters/agents.certificate.graceDays', {}, signal)).data.value,
  );
  if (data === undefined)
    return (
      <Card title={C.expiry}>
        {problem === undefined ? <SkeletonCard /> : <Failed problem={problem} again={again} />}
      </Card>
    );
  return (
    <Card title={C.expiry} right={<span class="muted">{C.expiryCount(data.length)}</span>}>
      <div class="body">
        <Radar days={data.map(({ daysLeft }) => daysLeft)} />
      </div>
      <Table
        certificates={data}
        renewal={(certificate, agent) =>
          renewalOf(certificate, { agent, phase, server, graceDays: grace.data ?? 30, now: centralNow() })
        }
      />
    </Card>
  );
}

interface TableProps {
  readonly certificates: readonly Ending[];
  readonly renewal: (certificate: Ending, agent: Agent | undefined) => Renewal;
}

function Table({ certificates, renewal }: TableProps): JSX.Element {
  const { query } = useStore(address);
  const count = Number(query.get('expiry') ?? FIRST) || FIRST;
  const asked = certificates.flatMap(({ agent }) => (agent === null ? [] : [agent.name])).slice(0, ASKED);
  const found = useLoaded(
    `agents ${asked.join('\n')}`,
    async (signal) =>
      asked.length === 0 ? [] : (await get<Page<Agent>>('/agents', { name: asked, limit: ASKED }, signal)).data.items,
    15,
  );
  const agents = new Map((found.data ?? []).map((agent) => [agent.id, agent]));
  const rest = certificates.length - count;
  return (
    <>
      <div class="tw">
        <table class="cards">
          <caption class="sr">{C.expiry}</caption>
          <thead>
            <tr>
              <th scope="col">{C.certificate}</th>
              <th scope="col">{C.kind}</th>
              <th scope="col" class="num">
                {C.ends}
              </th>
              <th scope="col">{C.renewal}</th>
              <th scope="col">{C.todo}</th>
            </tr>
          </thead>
          <tbody>
            {certificates.slice(0, count).map((certificate) => (
              <Row
                key={`${certificate.kind} ${certificate.slot ?? ''} ${certificate.thumbprint}`}
                certificate={certificate}
                renewal={renewal(certificate, agents.get(certificate.agent?.id ?? ''))}
              />
            ))}
          </tbody>
        </table>
      </div>
      {rest > 0 && (
        <div class="tfoot">
          <button
            class="link"
            type="button"
            onClick={() => setQuery({ expiry: String(count + Math.min(rest, CHUNK)) })}
          >
            {rest <= CHUNK ? C.showAll(certificates.length) : C.showMore(CHUNK)}
          </button>
        </div>
      )}
    </>
  );
}

function Row({ certificate, renewal }: { readonly certificate: Ending; readonly renewal: Renewal }): JSX.Element {
  const { kind, slot, agent, subject, thumbprint, usedFor, notAfter, daysLeft } = certificate;
  return (
    <tr>
      <td>
        {agent === null ? (
          <span class="name cut" title={`${visible(subject)}; ${usedFor}`}>
            {kind === 'server' || kind === 'signing' ? (C.slots[slot ?? ''] ?? slot) : C.root(shortHash(thumbprint))}
          </span>
        ) : (
          <a class="name" href={agentHref(agent.id, 'certificate')}>
            <ForeignLine text={agent.name} />
          </a>
        )}
      </td>
      <td class="t2 x">{C.kinds[kind] ?? kind}</td>
      <td class="num right nowrap">
        <time dateTime={notAfter} title={absolute(notAfter)}>
          {renewal.meaning === 'bad' || renewal.meaning === 'warn' ? (
            <Mark meaning={renewal.meaning} icon={renewal.meaning}>
              <Left days={daysLeft} />
            </Mark>
          ) : (
            <Left days={daysLeft} />
          )}
        </time>
      </td>
      <td class="wide">{renewal.text}</td>
      <td class={`wide ${renewal.meaning === 'ok' ? 'muted' : 't2'}`}>{renewal.todo}</td>
    </tr>
  );
}

function Left({ days }: { readonly days: number }): JSX.Element {
  return <>{days < 0 ? C.endedAgo(-days) : T.days(days)}</>;
}
