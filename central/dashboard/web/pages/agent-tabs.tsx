// The tabs of an agent: its states, the messages that wait for it, its certificate; and failed handshakes from its address.
import type { JSX } from 'preact';
import { all, centralNow, get } from '../client/api.ts';
import { useLoaded } from '../client/loaded.ts';
import type { Agent, Page, Reason } from '../client/types.ts';
import { absolute, clock, date, shortHash } from '../format.ts';
import { Icon } from '../parts/icon.tsx';
import { Card, Empty, Failed, SkeletonCard } from '../parts/layout.tsx';
import { Ago, Facts, Foreign, ForeignLine, Tag } from '../parts/text.tsx';
import { lookOf } from '../states.ts';
import { T } from '../strings.ts';

export interface StateChange {
  readonly state: string;
  readonly stateChangedAt: string;
  readonly stateReason: Reason;
}

export function Timeline({ changes }: { readonly changes: readonly StateChange[] }): JSX.Element {
  const now = centralNow();
  return (
    <ol class="tl">
      {changes.map(({ state, stateChangedAt, stateReason }, i) => {
        const { word, meaning, icon } = lookOf(state);
        return (
          <li key={`${stateChangedAt} ${i}`}>
            <time dateTime={stateChangedAt} title={absolute(stateChangedAt)}>
              {clock(stateChangedAt, now)}
            </time>
            <Icon name={icon} className={meaning} />
            <div>
              <b>{word}</b>
              <p class="t2">
                <Foreign text={stateReason.detail} />
              </p>
            </div>
          </li>
        );
      })}
    </ol>
  );
}

export function HistoryTab({ agent }: { readonly agent: Agent }): JSX.Element {
  const path = `/agents/${encodeURIComponent(agent.id)}/history`;
  const key = `${path} ${agent.stateChangedAt}`;
  const { data, problem, again } = useLoaded(key, async (signal) => await all<StateChange>(path, {}, signal));
  return (
    <Card title={T.history} right={<span class="muted">{T.historyKept}</span>}>
      {data === undefined ? (
        problem === undefined ? (
          <SkeletonCard />
        ) : (
          <Failed problem={problem} again={again} />
        )
      ) : (
        <div class="body">
          <Timeline changes={data} />
        </div>
      )}
    </Card>
  );
}

export function CertificateTab({ agent }: { readonly agent: Agent }): JSX.Element {
  const { certificate, renewal } = agent;
  if (certificate === null)
    return (
      <Card title={T.certificate}>
        <Empty icon="cert" title={T.noCertificate} />
      </Card>
    );
  const isOver = Date.parse(certificate.notAfter) < centralNow();
  const { revocation } = certificate;
  const right =
    revocation !== null ? (
      <Tag meaning="bad" icon="revoked">
        Revoked
      </Tag>
    ) : isOver ? (
      <Tag meaning="bad" icon="bad">
        Expired
      </Tag>
    ) : (
      <Tag meaning="ok" icon="good">
        Valid
      </Tag>
    );
  return (
    <Card title={T.certificate} right={right}>
      <div class="body">
        <Facts
          rows={[
            [T.facts.thumbprint, <code title={certificate.thumbprint}>{shortHash(certificate.thumbprint, 8)} …</code>],
            [T.facts.serial, <code>{certificate.serialNumber}</code>],
            [
              T.facts.issuer,
              <code title={certificate.issuerThumbprint}>{shortHash(certificate.issuerThumbprint, 4)} …</code>,
            ],
            [T.facts.valid, T.toRange(date(certificate.notBefore), date(certificate.notAfter))],
            [T.facts.renewal, renewal === null ? T.none : T.renewing(absolute(renewal.startedAt))],
          ]}
        />
      </div>
    </Card>
  );
}

interface Failure {
  readonly id?: string;
  readonly listener: string;
  readonly cause: string;
  readonly address: string;
  readonly count: number;
  readonly lastAt: string;
  readonly hint?: string;
}

/** Empty most of the time: then it is not shown. */
export function Failures({ agent }: { readonly agent: Agent }): JSX.Element | null {
  const { data } = useLoaded(
    `failures ${agent.id}`,
    async (signal) => (await get<Page<Failure>>('/handshake-failures', { agent: agent.id, limit: 5 }, signal)).data,
    15,
  );
  if (data === undefined || data.items.length === 0) return null;
  return (
    <Card title={T.failures} right={<span class="muted">{T.failuresNote}</span>}>
      <div class="tw">
        <table class="cards">
          <tbody>
            {data.items.map(({ listener, cause, count, lastAt, address }) => (
              <tr key={`${listener} ${cause} ${address}`}>
                <td>
                  <code>
                    <ForeignLine text={cause} />
                  </code>
                </td>
                <td>{listener}</td>
                <td>{T.times(count)}</td>
                <td class="right">
                  <Ago at={lastAt} />
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}
