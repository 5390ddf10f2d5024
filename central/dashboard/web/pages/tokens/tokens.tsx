// API tokens: who may do what, until when, and when it was used last. Create one, and revoke one.
import type { JSX } from 'preact';
import { all, centralNow } from '../../client/api.ts';
import { useLoaded } from '../../client/loaded.ts';
import { may, session } from '../../client/session.ts';
import { useStore } from '../../client/store.ts';
import type { ApiToken } from '../../client/types.ts';
import { absolute, date, duration } from '../../format.ts';
import { Button } from '../../parts/controls.tsx';
import { openDialog } from '../../parts/dialog.tsx';
import { Failed, Head, SkeletonRows } from '../../parts/layout.tsx';
import { Ago, ForeignLine, Mark, Tag } from '../../parts/text.tsx';
import type { PageEntry } from '../../shell/pages.ts';
import { Shell } from '../../shell/shell.tsx';
import { T } from '../../strings.ts';
import { CreateDialog } from './create.tsx';
import { RevokeDialog } from './revoke.tsx';

function TokensPage(): JSX.Element {
  const read = async (signal: AbortSignal) => await all<ApiToken>('/api-tokens', {}, signal);
  const { data, problem, again } = useLoaded('api-tokens', read, 30);
  const create = (): void => openDialog((close) => <CreateDialog close={close} whenDone={again} />);
  return (
    <Shell crumbs={[[T.tokens.title]]}>
      <Head title={T.tokens.title}>
        <Button kind="primary" icon="plus" onClick={create}>
          {T.tokens.create}
        </Button>
      </Head>
      <section class="card">
        {data === undefined && problem !== undefined ? (
          <Failed problem={problem} again={again} />
        ) : (
          <Table tokens={data} again={again} />
        )}
        {data !== undefined && <div class="tfoot">{T.tokens.shown(data.length)}</div>}
      </section>
    </Shell>
  );
}

interface TableProps {
  readonly tokens: readonly ApiToken[] | undefined;
  readonly again: () => void;
}

function Table({ tokens, again }: TableProps): JSX.Element {
  const { name, role, scope, expires, used, created } = T.tokens.columns;
  return (
    <div class="tw">
      <table class="fixed cards" aria-busy={tokens === undefined}>
        <caption class="sr">{T.tokens.title}</caption>
        <colgroup>
          {['', 'k-role', '', 'k-expires', 'k-used', 'k-created', 'k-act'].map((each, i) => (
            <col key={i} class={each} />
          ))}
        </colgroup>
        <thead>
          <tr>
            {[name, role, scope, expires, used, created].map((label) => (
              <th key={label} scope="col" class={label === created ? 'k-release' : ''}>
                {label}
              </th>
            ))}
            <th scope="col">
              <span class="sr">{T.tokens.acts}</span>
            </th>
          </tr>
        </thead>
        <tbody>
          {tokens === undefined ? (
            <SkeletonRows columns={7} rows={5} />
          ) : (
            tokens.map((token) => <Row key={token.id} token={token} again={again} />)
          )}
        </tbody>
      </table>
    </div>
  );
}

function Row({ token, again }: { readonly token: ApiToken; readonly again: () => void }): JSX.Element {
  const { login } = useStore(session);
  const { id, name, role, scope, lastUsedAt, createdAt, createdBy } = token;
  const isOwn = login?.id === id;
  const revoke = (): void =>
    openDialog((close) => <RevokeDialog token={token} isOwn={isOwn} close={close} whenDone={again} />);
  return (
    <tr>
      <td>
        <span class="pair">
          <span class="cut name">
            <ForeignLine text={name} />
          </span>
          {isOwn && (
            <Tag meaning="info" icon="key">
              {T.tokens.yours}
            </Tag>
          )}
        </span>
      </td>
      <td class="right">{T.roles[role]}</td>
      <td class="wide">
        <span class="cut">
          {scope === null ? (
            <span class="muted">{T.tokens.all}</span>
          ) : (
            <code>
              <ForeignLine text={scope} />
            </code>
          )}
        </span>
      </td>
      <td class="meta" data-l={T.tokens.columns.expires}>
        <Expires token={token} />
      </td>
      <td class="meta" data-l={T.tokens.columns.used}>
        {lastUsedAt === null ? <span class="muted">{T.tokens.notUsed}</span> : <Ago at={lastUsedAt} />}
      </td>
      <td class="x k-release">
        <span class="cut t2">
          <ForeignLine text={T.tokens.createdBy(date(createdAt), createdBy)} />
        </span>
      </td>
      <td class="wide num">
        <Button isSmall label={`${T.tokens.revoke} ${name}`} onClick={revoke}>
          {T.tokens.revoke}
        </Button>
      </td>
    </tr>
  );
}

const SOON_MS = 14 * 86_400_000;

function Expires({ token: { expiresAt } }: { readonly token: ApiToken }): JSX.Element {
  if (expiresAt === null) return <span class="muted">{T.tokens.neverExpires}</span>;
  const left = Date.parse(expiresAt) - centralNow();
  if (left <= 0)
    return (
      <Mark meaning="bad" icon="bad">
        {T.expired}
      </Mark>
    );
  const text = (
    <time dateTime={expiresAt} title={absolute(expiresAt)}>
      {T.tokens.inTime(duration(left))}
    </time>
  );
  if (left > SOON_MS) return text;
  return (
    <Mark meaning="warn" icon="warn">
      {text}
    </Mark>
  );
}

export const TOKENS: PageEntry = {
  id: 'tokens',
  title: T.tokens.short,
  shortTitle: T.tokens.short,
  icon: 'key',
  key: 't',
  page: TokensPage,
  isOffered: () => may('administrator'),
};
