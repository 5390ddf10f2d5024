// Software: the releases of the agents' program and of Node.js that were imported.
import type { JSX } from 'preact';
import { all } from '../../client/api.ts';
import { useLoaded } from '../../client/loaded.ts';
import { absolute, bytes, date } from '../../format.ts';
import { Empty, Failed, SkeletonRows } from '../../parts/layout.tsx';
import { Command, ForeignLine } from '../../parts/text.tsx';
import { T } from '../../strings.ts';
import { Frame } from './marks.tsx';
import type { SoftwareRelease } from './shapes.ts';

const { rollouts: R } = T;

export function SoftwareTab(): JSX.Element {
  const { data, problem, again } = useLoaded(
    'software',
    async (signal) => await all<SoftwareRelease>('/software-releases', {}, signal),
    30,
  );
  return (
    <Frame tab="software">
      {data === undefined && problem !== undefined ? (
        <Failed problem={problem} again={again} />
      ) : data?.length === 0 ? (
        <Empty icon="rollout" title={R.noSoftware}>
          <p>{R.noSoftwareText}</p>
          <Command text={R.softwareLine} />
        </Empty>
      ) : (
        <Table releases={data} />
      )}
    </Frame>
  );
}

function Table({ releases }: { readonly releases: readonly SoftwareRelease[] | undefined }): JSX.Element {
  return (
    <div class="tw">
      <table class="cards" aria-busy={releases === undefined}>
        <caption class="sr">{R.tabs.software}</caption>
        <thead>
          <tr>
            {Object.values(R.softwareColumns).map((label) => (
              <th key={label} scope="col">
                {label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {releases === undefined ? (
            <SkeletonRows columns={5} rows={4} />
          ) : (
            releases.map(({ release, digest, version, part, target, bytes: size, preparedAt, preparedBy }) => (
              <tr key={digest}>
                <td class="name">
                  <span class="cut" title={digest}>
                    <ForeignLine text={release} />
                  </span>
                </td>
                <td class="right">
                  <ForeignLine text={version} />
                </td>
                <td class="meta" data-l={R.softwareColumns.part}>
                  {R.parts[part] ?? part}
                  {target !== null && (
                    <>
                      {' '}
                      <ForeignLine text={target} />
                    </>
                  )}
                </td>
                <td class="meta" data-l={R.softwareColumns.size}>
                  {bytes(size)}
                </td>
                <td class="t2 wide" title={absolute(preparedAt)}>
                  <ForeignLine text={R.byWhom(date(preparedAt), preparedBy)} />
                </td>
              </tr>
            ))
          )}
        </tbody>
      </table>
    </div>
  );
}
