// The tab Release of an agent: what it should run and trust beside what it reports, line by line, and what was changed on
// its host.
import type { ComponentChildren, JSX } from 'preact';
import { get, pages } from '../client/api.ts';
import { useLoaded } from '../client/loaded.ts';
import type { Agent, Reason } from '../client/types.ts';
import { absolute } from '../format.ts';
import { Callout, Card, Failed, SkeletonCard } from '../parts/layout.tsx';
import { Foreign, ForeignLine, Hint, Mark } from '../parts/text.tsx';
import { agentHref } from '../router.ts';
import { T } from '../strings.ts';
import { Measured, Repair } from './release-acts.tsx';
import type { MissingAgent, Rotation } from './certificates/shapes.ts';

const { releaseTab: R } = T;

interface NamedRelease {
  readonly digest: string;
  /** "branch@3f9c21ab". */
  readonly name: string | null;
}

interface Part {
  readonly desired: NamedRelease | null;
  readonly reported: NamedRelease | null;
  readonly reportedAt: string | null;
  readonly drift: {
    readonly changedFiles: readonly string[];
    readonly overriddenKeys: readonly string[];
    readonly reason: Reason | null;
    readonly reportedAt: string;
  } | null;
}

interface AgentProfile extends Part {
  readonly rollout: string | null;
  readonly software: readonly (Part & { readonly part: string })[];
}

/** The same, small, beside why an agent is in its state. Nothing where it could not be read: the tab says why. */
export function DesiredAndReported({ agent }: { readonly agent: Agent }): JSX.Element | null {
  const path = `/agents/${encodeURIComponent(agent.id)}/profile`;
  const { data } = useLoaded(path, async (signal) => (await get<AgentProfile>(path, {}, signal)).data, 15);
  const trust = useLoaded(`trust ${agent.id}`, async (signal) => await trustOf(agent, signal));
  if (data === undefined) return null;
  return (
    <Card title={R.title} right={<a href={agentHref(agent.id, 'release')}>{R.details}</a>}>
      <Lines agent={agent} profile={data} trust={trust.data ?? null} isSmall />
    </Card>
  );
}

export function ReleaseTab({ agent }: { readonly agent: Agent }): JSX.Element {
  const path = `/agents/${encodeURIComponent(agent.id)}/profile`;
  const profile = useLoaded(path, async (signal) => (await get<AgentProfile>(path, {}, signal)).data, 15);
  const trust = useLoaded(`trust ${agent.id}`, async (signal) => await trustOf(agent, signal));
  const { data, problem, again } = profile;
  return (
    <div class="stack">
      <Card
        title={R.title}
        right={
          data !== undefined &&
          data.rollout !== null && <a href={`/rollouts/${data.rollout}`}>{R.inRollout(data.rollout)}</a>
        }
      >
        {data === undefined ? (
          problem === undefined ? (
            <SkeletonCard />
          ) : (
            <Failed problem={problem} again={again} />
          )
        ) : (
          <>
            <Lines agent={agent} profile={data} trust={trust.data ?? null} />
            <Measured
              agent={agent}
              measuredAt={data.drift?.reportedAt ?? null}
              isChanged={[data, ...data.software].some(({ drift }) => (drift?.reason ?? null) !== null)}
              again={again}
            />
          </>
        )}
      </Card>
      {data !== undefined && <Drift part={data} act={repairOf(agent, data)} />}
      {data?.software.map((part) => (
        <Drift key={part.part} part={part} />
      ))}
    </div>
  );
}

interface LinesProps {
  readonly agent: Agent;
  readonly profile: AgentProfile;
  readonly trust: Trust | null;
  /** Without when something was reported, and why it differs. */
  readonly isSmall?: boolean;
}

function Lines({ agent, profile, trust, isSmall = false }: LinesProps): JSX.Element {
  const isConnected = agent.session !== null && agent.session.endedAt === null;
  return (
    <div class="tw">
      <table class={isSmall ? 'small' : 'cards'}>
        <caption class="sr">{R.title}</caption>
        <thead>
          <tr>
            {[R.what, R.desired, R.reported].map((label) => (
              <th key={label} scope="col">
                {label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          <Line
            what={T.transport}
            desired="wss"
            reported={isConnected ? agent.session.transport : null}
            isSame={isConnected ? agent.session.transport === 'wss' : null}
          />
          <PartLine what={R.profile} part={profile} isSmall={isSmall} />
          {profile.software.map((part) => (
            <PartLine
              key={part.part}
              what={T.rollouts.parts[part.part] ?? part.part}
              part={part}
              isSmall={isSmall}
              without={part.part === 'program' && isConnected ? R.ofPackage(agent.session.version) : null}
            />
          ))}
          {trust !== null && (
            <Line
              what={R.roots}
              desired={R.trusted}
              reported={trust.isTrusted ? R.trusted : R.notTrusted}
              isSame={trust.isTrusted}
              note={isSmall ? null : trust.detail}
            />
          )}
        </tbody>
      </table>
    </div>
  );
}

interface PartLineProps {
  readonly what: string;
  readonly part: Part;
  readonly isSmall: boolean;
  /** What it runs where it reports no release. */
  readonly without?: string | null;
}

function PartLine({ what, part, isSmall, without = null }: PartLineProps): JSX.Element {
  const { desired, reported, reportedAt } = part;
  return (
    <Line
      what={what}
      desired={nameOf(desired)}
      reported={nameOf(reported) ?? without}
      isSame={desired === null ? null : desired.digest === reported?.digest}
      note={!isSmall && reported !== null && reportedAt !== null ? R.at(absolute(reportedAt)) : null}
    />
  );
}

function nameOf(release: NamedRelease | null): string | null {
  return release === null ? null : (release.name ?? release.digest.slice(0, 16));
}

interface LineProps {
  readonly what: string;
  /** Null: none. */
  readonly desired: string | null;
  readonly reported: string | null;
  /** Null: there is nothing to compare. */
  readonly isSame: boolean | null;
  readonly note?: string | null;
}

function Line({ what, desired, reported, isSame, note = null }: LineProps): JSX.Element {
  const value: ComponentChildren = reported === null ? T.none : <ForeignLine text={reported} />;
  return (
    <tr>
      <td class="t2 nowrap wide">{what}</td>
      <td class="meta" data-l={R.desired}>
        {desired === null ? <span class="muted">{T.none}</span> : <ForeignLine text={desired} />}
      </td>
      <td class="meta" data-l={R.reported}>
        {isSame === null ? (
          <span class="muted">{value}</span>
        ) : (
          <Mark meaning={isSame ? 'ok' : 'warn'} icon={isSame ? 'good' : 'warn'}>
            {value}
            <span class="sr">, {isSame ? R.same : R.differs}</span>
          </Mark>
        )}
        {note !== null && (
          <span class="d2">
            <Foreign text={note} />
          </span>
        )}
      </td>
    </tr>
  );
}

/** Undefined: nothing has changed, or Central has no release to send again. */
function repairOf(agent: Agent, { desired, drift }: Part): ComponentChildren {
  const release = nameOf(desired);
  if (release === null || drift === null || drift.reason === null) return undefined;
  return <Repair agent={agent} release={release} changedFiles={drift.changedFiles} />;
}

function Drift({
  part: { drift },
  act,
}: {
  readonly part: Part;
  readonly act?: ComponentChildren;
}): JSX.Element | null {
  if (drift === null || (drift.reason === null && drift.overriddenKeys.length === 0)) return null;
  const { reason, changedFiles, overriddenKeys, reportedAt } = drift;
  return (
    <Callout meaning={reason === null ? 'info' : 'warn'} title={reason?.detail ?? R.overrides} act={act}>
      {reason?.hint !== null && reason !== null && (
        <p>
          <b>{T.whatToDo}</b> <Hint text={reason.hint} />
        </p>
      )}
      {changedFiles.length > 0 && (
        <p>
          {R.files} <Foreign text={changedFiles.join(', ')} />
        </p>
      )}
      {overriddenKeys.length > 0 && (
        <p>
          {R.keys} <Foreign text={overriddenKeys.join(', ')} />
        </p>
      )}
      <p class="muted">{R.at(absolute(reportedAt))}</p>
    </Callout>
  );
}

interface Trust {
  readonly isTrusted: boolean;
  /** Why it does not. */
  readonly detail: string | null;
}

/** Null: no root is being distributed, or the agent needs none, since it speaks ws. */
async function trustOf({ id, name, session }: Agent, signal: AbortSignal): Promise<Trust | null> {
  const { data: rotation } = await get<Rotation>('/ca/rotation', {}, signal);
  if (rotation.phase === 'idle' || rotation.phase === 'prepared' || session?.transport === 'ws') return null;
  if (rotation.trust.missingCount === 0) return { isTrusted: true, detail: null };
  // In order of name: not farther than this agent.
  for await (const items of pages<MissingAgent>('/ca/rotation/agents', { limit: 1_000 }, signal)) {
    const found = items.find(({ agent, reason }) => agent.id === id && reason !== 'certificate-missing');
    if (found !== undefined) return { isTrusted: false, detail: found.detail };
    if ((items.at(-1)?.agent.name ?? '') > name) break;
  }
  return { isTrusted: true, detail: null };
}
