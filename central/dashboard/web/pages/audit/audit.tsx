// Audit: who did what, from where, why? Refusals too, the newest first; whether the log is unbroken; all of it as a file.
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { centralNow, problemOf } from '../../client/api.ts';
import { isUnscoped, may } from '../../client/session.ts';
import { useStore } from '../../client/store.ts';
import { absolute, clock, visible } from '../../format.ts';
import { Button, LinkButton, Select } from '../../parts/controls.tsx';
import { openDialog } from '../../parts/dialog.tsx';
import { Empty, Failed, Head, SkeletonRows } from '../../parts/layout.tsx';
import { ForeignLine, Mark, None } from '../../parts/text.tsx';
import { say } from '../../parts/toast.tsx';
import { address, agentHref, go, setQuery } from '../../router.ts';
import type { PageEntry } from '../../shell/pages.ts';
import { Shell } from '../../shell/shell.tsx';
import { T } from '../../strings.ts';
import { AUDIT_FILTERS, exportEntries, isRefusal, useEntries, useNewest, type AuditEntry } from './entries.ts';
import { EntryDialog } from './entry.tsx';
import { CompareDialog, VerifiedMark, VerifyButton } from './verified.tsx';

function AuditPage(): JSX.Element {
  const { query } = useStore(address);
  const [turn, update] = useState(0);
  const newest = useNewest();
  const entries = useEntries(query, turn);
  const opened = query.get('entry');
  const { items, problem } = entries;
  // Entries come at the top: they wait there until they are asked for.
  const newer = items === undefined || newest === undefined || entries.isBusy ? 0 : newest.number - entries.through;
  return (
    <Shell crumbs={[[T.audit.title]]}>
      <Head title={T.audit.title}>
        {may('administrator') && (
          <span class="only-phone">
            <LinkButton href="/tokens">{T.tokens.title}</LinkButton>
          </span>
        )}
        <ExportButton query={query} />
        {may('administrator') && (
          <Button onClick={() => openDialog((close) => <CompareDialog close={close} />)}>{T.audit.compare}</Button>
        )}
        <VerifyButton />
      </Head>
      <VerifiedMark newest={newest} />
      <section class="card">
        <Filters query={query} />
        {newer > 0 && (
          <div class="newrows">
            <span>
              {T.audit.newer(newer)}{' '}
              <button class="link" type="button" onClick={() => update(turn + 1)}>
                {T.audit.showNewer}
              </button>
            </span>
          </div>
        )}
        {items === undefined && problem !== null ? (
          <Failed problem={problem} again={() => update(turn + 1)} />
        ) : items?.length === 0 && !entries.isBusy ? (
          <Empty icon="search" title={T.audit.noMatch}>
            <p>{T.audit.noMatchText}</p>
            <Button onClick={() => go('/audit')}>{T.clearFilters}</Button>
          </Empty>
        ) : (
          <Table items={items} isBusy={entries.isBusy} />
        )}
        <div class="tfoot">
          {items !== undefined && T.audit.shown(items.length, newest?.number ?? items.length)}
          <span class="grow" />
          {entries.next !== null && (
            <Button isSmall why={entries.isBusy ? T.audit.searching : undefined} onClick={entries.older}>
              {T.audit.older}
            </Button>
          )}
        </div>
      </section>
      {opened !== null && <EntryDialog key={opened} number={opened} close={() => setQuery({ entry: null })} />}
    </Shell>
  );
}

function ExportButton({ query }: { readonly query: URLSearchParams }): JSX.Element {
  const [count, setCount] = useState<number | null>(null);
  const run = (): void => {
    setCount(0);
    exportEntries(query, setCount)
      .then((all) => say(T.audit.exported(all)))
      .catch((error: unknown) => say(problemOf(error).detail))
      .finally(() => setCount(null));
  };
  return (
    <Button why={count === null ? undefined : T.audit.exporting(count)} onClick={run}>
      {T.audit.export}
    </Button>
  );
}

function Filters({ query }: { readonly query: URLSearchParams }): JSX.Element {
  const isFiltered = AUDIT_FILTERS.some((name) => query.has(name));
  return (
    <div class="filters">
      <input
        type="search"
        aria-label={T.audit.filter}
        placeholder={T.audit.placeholder}
        value={query.get('q') ?? ''}
        maxLength={255}
        onChange={({ currentTarget }) => setQuery({ q: currentTarget.value.trim() })}
      />
      <Select
        label={T.audit.result}
        isLabelShown={false}
        value={query.get('result') ?? ''}
        options={T.audit.results}
        onChange={(result) => setQuery({ result })}
      />
      <Select
        label={T.audit.period}
        isLabelShown={false}
        value={query.get('days') ?? ''}
        options={T.audit.periods}
        onChange={(days) => setQuery({ days })}
      />
      {isFiltered && (
        <Button kind="plain" icon="x" onClick={() => go('/audit')}>
          {T.clear}
        </Button>
      )}
    </div>
  );
}

interface TableProps {
  readonly items: readonly AuditEntry[] | undefined;
  readonly isBusy: boolean;
}

function Table({ items, isBusy }: TableProps): JSX.Element {
  const { time, who, from, act, target, comment, ticket } = T.audit.columns;
  return (
    <div class="tw">
      <table class="fixed cards audit" aria-busy={isBusy}>
        <caption class="sr">{T.audit.title}</caption>
        <colgroup>
          {['a-time', 'a-who', 'a-from', 'a-act', 'a-target', '', 'a-ticket', 'a-result'].map((name) => (
            <col key={name} class={name} />
          ))}
        </colgroup>
        <thead>
          <tr>
            {[time, who, from, act, target, comment, ticket, T.audit.result].map((label) => (
              <th key={label} scope="col" class={label === from ? 'k-release' : ''}>
                {label}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {items === undefined ? (
            <SkeletonRows columns={8} />
          ) : (
            items.map((entry) => <Row key={entry.number} {...entry} />)
          )}
        </tbody>
      </table>
    </div>
  );
}

/** The address of one entry; the filters stay. */
function entryHref(number_: number): string {
  const query = new URLSearchParams(location.search);
  query.set('entry', String(number_));
  return `/audit?${query.toString()}`;
}

function Row(entry: AuditEntry): JSX.Element {
  const { createdAt, actor, address: from, action, ticket, number: number_ } = entry;
  const open = (event: MouseEvent): void => {
    if (event.target instanceof Element && event.target.closest('a, button') === null) go(entryHref(number_));
  };
  const why = commentOf(entry);
  return (
    <tr class="go" onClick={open}>
      <td class="nowrap t2 meta" data-l="">
        <time dateTime={createdAt} title={absolute(createdAt)}>
          {clock(createdAt, centralNow())}
        </time>
      </td>
      <td>
        <span class="cut">
          <a class="name" href={entryHref(number_)}>
            <ForeignLine text={actor} />
            <span class="sr">{T.audit.openEntry(number_)}</span>
          </a>
        </span>
      </td>
      <td class="x k-release">
        <code class="cut">
          <ForeignLine text={from} />
        </code>
      </td>
      <td class="wide">
        <code class="cut">
          <ForeignLine text={action} />
        </code>
      </td>
      <td class="meta" data-l="">
        <span class="cut">
          <Target entry={entry} />
        </span>
      </td>
      <td class="wide">
        <span class="cut t2" title={visible(why).slice(0, 1_000)}>
          <ForeignLine text={why} />
        </span>
      </td>
      <td class="x">
        <span class="cut">{ticket === null || ticket === '' ? <None /> : <ForeignLine text={ticket} />}</span>
      </td>
      <td class="right">
        {isRefusal(action) ? (
          <Mark meaning="bad" icon="revoked">
            {T.audit.refused}
          </Mark>
        ) : (
          <Mark meaning="ok" icon="good">
            {T.audit.done}
          </Mark>
        )}
      </td>
    </tr>
  );
}

/** A link where the target is an agent that was there. */
function Target({ entry: { action, target } }: { readonly entry: AuditEntry }): JSX.Element {
  if (target === null) return <None />;
  if (!action.startsWith('agents.') || /\.(?:delete|refuse)$/.test(action)) return <ForeignLine text={target} />;
  return (
    <a href={agentHref(target)}>
      <ForeignLine text={target} />
    </a>
  );
}

/** Of a refusal without a comment: the code, and how often. */
function commentOf({ comment, detail }: AuditEntry): string {
  if (comment !== null && comment !== '') return comment;
  const { code, count } = (typeof detail === 'object' && detail !== null ? detail : {}) as Record<string, unknown>;
  if (typeof code !== 'string') return '';
  return typeof count === 'number' ? T.audit.attempts(code, count) : code;
}

export const AUDIT: PageEntry = {
  id: 'audit',
  title: T.audit.short,
  shortTitle: T.audit.short,
  icon: 'audit',
  key: 'u',
  page: AuditPage,
  isOffered: isUnscoped,
};
