// Certificates: what ends soon, and how far is the rotation of the authority?
import type { JSX } from 'preact';
import { get } from '../../client/api.ts';
import { useLoaded } from '../../client/loaded.ts';
import { isUnscoped } from '../../client/session.ts';
import { Card, Failed, Head, SkeletonCard } from '../../parts/layout.tsx';
import type { PageEntry } from '../../shell/pages.ts';
import { Shell } from '../../shell/shell.tsx';
import { T } from '../../strings.ts';
import { AuthoritiesCard } from './authorities.tsx';
import { ExpiryCard } from './expiry.tsx';
import { RotationCard } from './rotation.tsx';
import { ServerCard } from './server.tsx';
import type { Authorities, Rotation, ServerCertificates } from './shapes.ts';

const { certificates: C } = T;

function CertificatesPage(): JSX.Element {
  const rotation = useLoaded(
    'rotation',
    async (signal) => (isUnscoped() ? (await get<Rotation>('/ca/rotation', {}, signal)).data : null),
    3,
  );
  const phase = rotation.data?.phase;
  const server = useLoaded(
    'server-certificate',
    async (signal) => (await get<ServerCertificates>('/server-certificate', {}, signal)).data,
    5,
  );
  const authorities = useLoaded(
    `ca ${phase ?? ''}`,
    async (signal) => (await get<Authorities>('/ca', {}, signal)).data,
    30,
  );
  const again = (): void => {
    rotation.again();
    server.again();
    authorities.again();
  };
  const registered = rotation.data?.trust.registeredCount;
  return (
    <Shell crumbs={[[C.title]]}>
      <Head title={C.title} sub={registered === undefined ? C.subShort : C.sub(registered)}>
        <a class="btn" href="/api/v1/ca/trust-bundle.pem" download="trust-bundle.pem" title={C.trustBundleHint}>
          {C.trustBundle}
        </a>
      </Head>
      <div class="stack">
        {rotation.data === undefined ? (
          <Card title={C.rotation}>
            {rotation.problem === undefined ? (
              <SkeletonCard />
            ) : (
              <Failed problem={rotation.problem} again={rotation.again} />
            )}
          </Card>
        ) : rotation.data === null ? (
          <Card title={C.rotation}>
            <p class="body t2">{C.scoped}</p>
          </Card>
        ) : (
          <RotationCard rotation={rotation.data} authorities={authorities.data} again={again} />
        )}
        <div class="cols">
          <ExpiryCard phase={phase} server={server.data} />
          <div class="stack">
            {server.data === undefined ? (
              <Card title={C.own}>
                {server.problem === undefined ? <SkeletonCard /> : <Failed problem={server.problem} again={again} />}
              </Card>
            ) : (
              <ServerCard certificates={server.data} again={again} />
            )}
            {authorities.data === undefined ? (
              <Card title={C.authorities}>
                <SkeletonCard lines={3} />
              </Card>
            ) : (
              <AuthoritiesCard authorities={authorities.data} again={again} />
            )}
          </div>
        </div>
      </div>
    </Shell>
  );
}

export const CERTIFICATES: PageEntry = {
  id: 'certificates',
  title: C.title,
  shortTitle: 'Certs',
  icon: 'cert',
  key: 'c',
  page: CertificatesPage,
};
