// The certificate that Central presents, the staged and the previous one, and the acts on them.
import type { JSX } from 'preact';
import { isUnscoped, may } from '../../client/session.ts';
import { date, shortHash } from '../../format.ts';
import { Card } from '../../parts/layout.tsx';
import { Copy, Facts, Foreign, Tag } from '../../parts/text.tsx';
import { T } from '../../strings.ts';
import { ServerActs } from './server-acts.tsx';
import type { ServerCertificates } from './shapes.ts';

const { certificates: C } = T;

interface ServerCardProps {
  readonly certificates: ServerCertificates;
  readonly again: () => void;
}

export function ServerCard({ certificates, again }: ServerCardProps): JSX.Element {
  const { current, staged, previous, request, change } = certificates;
  return (
    <Card
      title={C.own}
      right={
        change === null ? (
          <Tag meaning="ok" icon="good">
            {C.inUse}
          </Tag>
        ) : (
          <Tag meaning="info" icon="clock">
            {C.pending}
          </Tag>
        )
      }
    >
      <div class="body">
        <Facts
          rows={[
            [C.facts.names, <Foreign text={current.names.join(', ')} />],
            [C.facts.issuer, <Foreign text={`${current.issuerSubject} (${C.origins[current.origin] ?? ''})`} />],
            [C.facts.valid, T.toRange(date(current.notBefore), date(current.notAfter))],
            [
              C.facts.pin,
              <span class="pair">
                <code title={current.pin}>{current.pin.slice(0, 23)} …</code>
                <Copy text={current.pin} label={T.copyOf(C.facts.pin)} />
              </span>,
            ],
            [C.facts.thumbprint, <code title={current.thumbprint}>{shortHash(current.thumbprint, 4)} …</code>],
            [C.facts.staged, staged === null ? T.none : C.stagedUntil(date(staged.notAfter))],
            [C.facts.previous, previous === null ? T.none : C.keptUntil(date(previous.notAfter))],
            [C.facts.request, request === null ? T.none : C.requestOpen],
          ]}
        />
      </div>
      {may('administrator') && isUnscoped() && <ServerActs certificates={certificates} again={again} />}
    </Card>
  );
}
