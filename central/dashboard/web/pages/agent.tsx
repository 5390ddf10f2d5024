// One agent: why is it in its state, what to do about it, and what Central saw.
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useLayoutEffect, useRef } from 'preact/hooks';
import { all, get } from '../client/api.ts';
import { fleet } from '../client/fleet.ts';
import { useLoaded } from '../client/loaded.ts';
import { isUnscoped, may } from '../client/session.ts';
import { useStore } from '../client/store.ts';
import { onChange } from '../client/watch.ts';
import type { Agent } from '../client/types.ts';
import { absolute, date, plural, shortHash } from '../format.ts';
import { Button, Menu } from '../parts/controls.tsx';
import { openDialog } from '../parts/dialog.tsx';
import { Icon } from '../parts/icon.tsx';
import { Callout, Card, Failed, Head, SkeletonCard, Steps } from '../parts/layout.tsx';
import { AgentState, commandsIn, Facts, Foreign, Hint, None, Since } from '../parts/text.tsx';
import { address, agentHref, go } from '../router.ts';
import { Shell } from '../shell/shell.tsx';
import { lookOf, type Meaning } from '../states.ts';
import { T } from '../strings.ts';
import { ReplaceDialog } from './enrollment/replace.tsx';
import { MessagesTab } from './messages/tab.tsx';
import { AgentTasksTab } from './tasks/agent-tab.tsx';
import { ActDialog, RecoveryDialog, type AgentAct } from './agent-acts.tsx';
import { Presence } from './agent-presence.tsx';
import { CertificateTab, Failures, HistoryTab, Timeline, type StateChange } from './agent-tabs.tsx';
import { DesiredAndReported, ReleaseTab } from './release-tab.tsx';

export function AgentPage({ name }: { readonly name: string }): JSX.Element {
  const path = `/agents/${encodeURIComponent(name)}`;
  const loaded = useLoaded(path, async (signal) => (await get<Agent>(path, {}, signal)).data, 30);
  const { agents } = useStore(fleet);
  const read = loaded.data;
  // The stream brings what changes; the answer to this page's own request is the first.
  const kept = read === undefined ? undefined : agents.get(read.id);
  const agent = kept !== undefined && read !== undefined && kept.stateChangedAt >= read.stateChangedAt ? kept : read;
  const id = agent?.id;
  const { again } = loaded;
  const isGone = loaded.problem?.code === 'agent_unknown';
  useEffect(
    () =>
      onChange((event) => {
        if (event.noun === 'agent' && event.id === id) again();
      }),
    [id, again],
  );
  return (
    <Shell crumbs={[[T.agents, '/agents'], [agent?.name ?? name]]}>
      {agent === undefined || isGone ? (
        <section class="card">
          {loaded.problem === undefined ? <SkeletonCard /> : <Failed problem={loaded.problem} again={again} />}
        </section>
      ) : (
        <Known agent={agent} again={again} />
      )}
    </Shell>
  );
}

function Known({ agent, again }: { readonly agent: Agent; readonly again: () => void }): JSX.Element {
  const { query } = useStore(address);
  const tab = query.get('tab') ?? '';
  const waiting = agent.logs.down.messageCount;
  const isWell = agent.state === 'online';
  const nav = useRef<HTMLElement>(null);
  useLayoutEffect(() => {
    // On a phone it may be beyond the edge.
    const { current } = nav;
    const open = current?.querySelector<HTMLElement>('[aria-current]') ?? null;
    if (current !== null && open !== null) current.scrollLeft = open.offsetLeft - current.offsetLeft;
  }, [tab, isWell, waiting]);
  const tabs: readonly (readonly [string, string, number?])[] = [
    ['', isWell ? T.why : T.whyOffline],
    ['history', T.history],
    ['messages', T.messages, waiting],
    ['certificate', T.certificate],
    ['release', T.releaseTab.tab],
    ['tasks', T.tasks.title],
  ];
  return (
    <>
      <Head
        title={<Foreign text={agent.name} />}
        sub={
          <>
            <AgentState state={agent.state} />{' '}
            <span class="muted">
              <Since at={agent.stateChangedAt} />
              {waiting > 0 && ` · ${plural(waiting, 'message')} waiting`}
            </span>
          </>
        }
      >
        {may('administrator') ? <Acts agent={agent} again={again} /> : undefined}
      </Head>
      <nav class="tabs" aria-label={T.agent} ref={nav}>
        {tabs.map(([id, label, count]) => (
          <a
            key={id}
            href={agentHref(agent.id, id === '' ? undefined : id)}
            aria-current={tab === id ? 'page' : undefined}
          >
            {label}
            {count !== undefined && count > 0 && <span class="n">{count}</span>}
          </a>
        ))}
      </nav>
      {tab === 'history' ? (
        <HistoryTab agent={agent} />
      ) : tab === 'messages' ? (
        <MessagesTab agent={agent} />
      ) : tab === 'certificate' ? (
        <CertificateTab agent={agent} />
      ) : tab === 'release' ? (
        <ReleaseTab agent={agent} />
      ) : tab === 'tasks' ? (
        <AgentTasksTab agent={agent} />
      ) : (
        <WhyTab agent={agent} />
      )}
    </>
  );
}

function Acts({ agent, again }: { readonly agent: Agent; readonly again: () => void }): JSX.Element {
  const isOut = agent.state === 'revoked';
  const open = (act: AgentAct): void =>
    openDialog((close) => (
      <ActDialog agent={agent} act={act} close={close} done={act === 'delete' ? () => go('/agents') : again} />
    ));
  const replace = (): void => openDialog((close) => <ReplaceDialog agent={agent} close={close} whenDone={again} />);
  const offered: readonly AgentAct[] = isOut
    ? ['delete']
    : [agent.state === 'disabled' ? 'enable' : 'disable', 'revoke', 'delete'];
  return (
    <>
      {!isOut && (
        <Button icon="key" onClick={() => openDialog((close) => <RecoveryDialog agent={agent} close={close} />)}>
          {T.recoveryCode}
        </Button>
      )}
      <Menu
        label={T.moreActs}
        summaryClass="btn icon"
        summary={<Icon name="more" />}
        items={[
          ...(isOut || !isUnscoped() ? [] : [{ text: T.enrollment.replace, onClick: replace }]),
          ...offered.map((act) => ({
            text: T.ellipsis(T.acts[act]),
            isBad: act === 'revoke' || act === 'delete',
            onClick: () => open(act),
          })),
        ]}
      />
    </>
  );
}

const CALLOUTS: Readonly<Record<Meaning, 'ok' | 'warn' | 'bad' | 'info' | 'plain'>> = {
  ok: 'ok',
  warn: 'warn',
  bad: 'bad',
  info: 'info',
  quiet: 'plain',
};

function WhyTab({ agent }: { readonly agent: Agent }): JSX.Element {
  const { state, stateReason, stateDeadlineAt } = agent;
  const { meaning, word } = lookOf(state);
  const path = `/agents/${encodeURIComponent(agent.id)}/history`;
  const history = useLoaded(
    `${path} ${agent.stateChangedAt}`,
    async (signal) => await all<StateChange>(path, {}, signal),
  );
  const { hint } = stateReason;
  const steps = hint === null || state === 'online' ? [] : stepsOf(hint);
  return (
    <div class="cols">
      <div class="stack">
        <section class="card">
          <div class="body stack">
            <Callout meaning={CALLOUTS[meaning]} title={<Foreign text={stateReason.detail} />}>
              <p>
                {word}
                {stateReason.code !== null && (
                  <>
                    {' '}
                    (<code>{stateReason.code}</code>)
                  </>
                )}
              </p>
            </Callout>
            {steps.length > 0 && (
              <div>
                <h2 class="h3">{T.stepHint}</h2>
                <Steps steps={steps} />
              </div>
            )}
          </div>
          {state !== 'online' && (
            <div class="tfoot line">
              <Icon name="clock" />
              {stateDeadlineAt !== null
                ? T.until(absolute(stateDeadlineAt))
                : state === 'disabled' || state === 'revoked'
                  ? T.stays
                  : T.reconnects}
            </div>
          )}
        </section>
        <Card title={T.sawHere} right={<a href={agentHref(agent.id, 'history')}>{T.fullHistory}</a>}>
          <div class="body">
            {history.data === undefined ? <SkeletonCard lines={3} /> : <Timeline changes={history.data.slice(0, 6)} />}
          </div>
        </Card>
        {state !== 'online' && <Failures agent={agent} />}
      </div>
      <div class="stack">
        {history.data !== undefined && <Presence agent={agent} changes={history.data} />}
        <DesiredAndReported agent={agent} />
        <Identity agent={agent} />
      </div>
    </div>
  );
}

/** The sentences of a hint, each with the command that it names. */
function stepsOf(hint: string): { readonly text: ComponentChildren; readonly command?: string }[] {
  return hint.split(/(?<=[.:;]) (?=[A-Z"])/).map((sentence) => {
    const [command] = commandsIn(sentence);
    return { text: <Hint text={sentence} />, ...(command === undefined ? {} : { command }) };
  });
}

function Identity({ agent }: { readonly agent: Agent }): JSX.Element {
  const { id, keyThumbprint, session, labels, enrolledAt, enrolledBy, notes, logs } = agent;
  return (
    <Card title={T.identity}>
      <div class="body">
        <Facts
          rows={[
            [
              T.facts.id,
              <code>
                <Foreign text={id} />
              </code>,
            ],
            [T.facts.key, <code title={keyThumbprint}>{shortHash(keyThumbprint, 4)} …</code>],
            [T.facts.address, session === null ? <None /> : <code>{session.address}</code>],
            [T.facts.transport, session === null ? <None /> : session.transport],
            [T.facts.version, session === null ? <None /> : <Foreign text={session.version} />],
            [
              T.facts.labels,
              Object.keys(labels).length === 0
                ? T.none
                : Object.entries(labels).map(([key, value]) => (
                    <span class="tag label" key={key}>
                      <Foreign text={`${key}=${value}`} />
                    </span>
                  )),
            ],
            [T.facts.enrolled, <Foreign text={T.byWhom(date(enrolledAt), enrolledBy)} />],
            [T.facts.events, logs.up.lastAt === null ? T.none : absolute(logs.up.lastAt)],
            [T.facts.notes, notes === '' ? T.none : <Foreign text={notes} />],
          ]}
        />
      </div>
    </Card>
  );
}
