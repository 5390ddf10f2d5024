// Profiles: which there are, and how many agents have a release of each. The second tab of the page Rollouts.
import type { JSX } from 'preact';
import { all } from '../../client/api.ts';
import { useLoaded } from '../../client/loaded.ts';
import { useStore } from '../../client/store.ts';
import { absolute, bytes, date, number } from '../../format.ts';
import { Empty, Failed, SkeletonRows } from '../../parts/layout.tsx';
import { Command, ForeignLine } from '../../parts/text.tsx';
import { address } from '../../router.ts';
import type { PageEntry } from '../../shell/pages.ts';
import { T } from '../../strings.ts';
import { Frame } from '../rollouts/marks.tsx';
import type { Profile } from '../rollouts/shapes.ts';
import { ProfilePage } from './profile.tsx';

const { rollouts: R } = T;

function ProfilesPage(): JSX.Element {
  const { parts } = useStore(address);
  const [, name] = parts;
  return name === undefined ? <ListTab /> : <ProfilePage key={name} name={name} />;
}

function ListTab(): JSX.Element {
  const { data, problem, again } = useLoaded(
    'profiles',
    async (signal) => await all<Profile>('/profiles', {}, signal),
    15,
  );
  return (
    <Frame tab="profiles">
      {data === undefined && problem !== undefined ? (
        <Failed problem={problem} again={again} />
      ) : data?.length === 0 ? (
        <Empty icon="sliders" title={R.noProfiles}>
          <p>{R.noProfilesText}</p>
          <Command text={R.importLine} />
        </Empty>
      ) : (
        <Table profiles={data} />
      )}
    </Frame>
  );
}

function Table({ profiles }: { readonly profiles: readonly Profile[] | undefined }): JSX.Element {
  const { profile, files, desired, reported, changed } = R.profileColumns;
  return (
    <div class="tw">
      <table class="cards" aria-busy={profiles === undefined}>
        <caption class="sr">{R.profiles}</caption>
        <thead>
          <tr>
            <th scope="col">{profile}</th>
            <th scope="col">{files}</th>
            <th scope="col" class="num" title={R.desiredHint}>
              {desired}
            </th>
            <th scope="col" class="num" title={R.reportedHint}>
              {reported}
            </th>
            <th scope="col">{changed}</th>
          </tr>
        </thead>
        <tbody>
          {profiles === undefined ? (
            <SkeletonRows columns={5} rows={4} />
          ) : (
            profiles.map(
              ({ name, fileCount, bytes: size, desiredAgentCount, reportedAgentCount, changedAt, changedBy }) => (
                <tr key={name}>
                  <td>
                    <a class="name" href={`/profiles/${encodeURIComponent(name)}`}>
                      <ForeignLine text={name} />
                    </a>
                  </td>
                  <td class="right t2">{R.fileCount(fileCount, bytes(size))}</td>
                  <td class="num meta" data-l={desired}>
                    {number(desiredAgentCount)}
                  </td>
                  <td class="num meta" data-l={reported}>
                    {number(reportedAgentCount)}
                  </td>
                  <td class="t2 wide" title={absolute(changedAt)}>
                    <ForeignLine text={R.byWhom(date(changedAt), changedBy)} />
                  </td>
                </tr>
              ),
            )
          )}
        </tbody>
      </table>
    </div>
  );
}

export const PROFILES: PageEntry = {
  id: 'profiles',
  title: R.profiles,
  shortTitle: R.profiles,
  icon: 'sliders',
  key: '',
  page: ProfilesPage,
  within: 'rollouts',
  isOffered: () => false,
};
