// The key figures of the overview: agents, messages, machines that wait for approval, certificates that end soon. What is
// not known is a dash.
import type { ComponentChildren, JSX } from 'preact';
import { all, get } from '../../client/api.ts';
import { useLoaded } from '../../client/loaded.ts';
import { readRates } from '../../client/rates.ts';
import { isUnscoped } from '../../client/session.ts';
import type { Agent, Page, Status } from '../../client/types.ts';
import { duration, number, rate } from '../../format.ts';
import { Icon, type IconName } from '../../parts/icon.tsx';
import { KeyFigure } from '../../parts/layout.tsx';
import { ForeignLine } from '../../parts/text.tsx';
import { GROUPS } from '../../states.ts';
import { T } from '../../strings.ts';

interface EndingCertificate {
  readonly kind: string;
  readonly agent: { readonly id: string; readonly name: string } | null;
  readonly subject: string;
  readonly daysLeft: number;
}

/** How many agents are in one of these states. */
export function countOf({ agents }: Status, has: (state: string) => boolean): number {
  return agents.states.reduce((sum, { state, agentCount }) => (has(state) ? sum + agentCount : sum), 0);
}

export function Figures({ status }: { readonly status: Status }): JSX.Element {
  const ending = useLoaded(
    'ending',
    async (signal) => await all<EndingCertificate>('/certificates', { expiresWithinDays: 30 }, signal),
    60,
  );
  const [action, live] = ['action', 'live'].map((id) =>
    countOf(status, (state) => GROUPS.find((group) => group.id === id)?.has(state) === true),
  ) as [number, number];
  const pending = status.enrollmentRequests.pendingCount;
  const [first] = ending.data ?? [];
  return (
    <section class={`card kpis ${isUnscoped() ? 'five' : ''}`} aria-label={T.keyFigures}>
      <KeyFigure
        href={action > 0 ? '/agents?state=action' : '/agents'}
        label={T.agentsOnline}
        value={number(live)}
        unit={T.of(status.agents.agentCount)}
        note={action > 0 ? <Noted icon="warn">{T.needAction(action)}</Noted> : T.allWell}
      />
      {isUnscoped() ? <Messages /> : <MostWaiting />}
      <KeyFigure
        href="/agents?state=pending"
        label={T.approvals}
        value={number(pending)}
        note={pending === 0 ? T.approvalsNone : <code>{T.approvalsNote}</code>}
      />
      <KeyFigure
        href="/agents?sort=cert"
        label={T.ending}
        value={ending.data === undefined ? null : number(ending.data.length)}
        note={
          first === undefined ? (
            T.endingNone
          ) : (
            <Noted icon="warn">
              <ForeignLine text={T.endingFirst(first.agent?.name ?? first.kind, first.daysLeft)} />
            </Noted>
          )
        }
      />
    </section>
  );
}

/** The agent for which most messages wait. */
function useMost() {
  return useLoaded(
    'waiting',
    async (signal) => (await get<Page<Agent>>('/agents', { sort: '-queuedCount', limit: 1 }, signal)).data.items[0],
    10,
  );
}

/** Of the whole installation, from its metrics. */
function Messages(): JSX.Element {
  const { data } = useLoaded('rates', readRates, 5);
  const most = useMost().data;
  const mostCount = most?.logs.down.messageCount ?? 0;
  // Central counts what waits every few seconds: in between, the list of agents knows more.
  const isKnown = data !== undefined && (data.waiting > 0 || mostCount === 0);
  const { up = null, down = null, oldestSeconds = null } = data ?? {};
  return (
    <>
      <KeyFigure
        href="/agents"
        label={T.perSecond}
        value={up === null ? null : rate(up)}
        unit={T.upAndDown(rate(down ?? 0))}
        note={T.measuredOver(data?.overSeconds ?? 0)}
      />
      <KeyFigure
        href="/agents?sort=waiting"
        label={T.oldestWaiting}
        value={!isKnown ? null : oldestSeconds === null ? T.none : duration(oldestSeconds * 1_000)}
        note={
          data === undefined || mostCount === 0 ? (
            T.nothingWaits
          ) : (
            <ForeignLine text={T.waitInAll(data.waiting, most?.name ?? '')} />
          )
        }
      />
    </>
  );
}

function MostWaiting(): JSX.Element {
  const waiting = useMost();
  const most = waiting.data?.logs.down.messageCount ?? 0;
  return (
    <KeyFigure
      href="/agents?sort=waiting"
      label={T.mostWaiting}
      value={waiting.problem === undefined ? number(most) : null}
      note={most === 0 ? T.nothingWaits : <ForeignLine text={T.waitFor(waiting.data?.name ?? '')} />}
    />
  );
}

function Noted({ icon, children }: { readonly icon: IconName; readonly children: ComponentChildren }): JSX.Element {
  return (
    <>
      <Icon name={icon} className="warn" />
      {children}
    </>
  );
}
