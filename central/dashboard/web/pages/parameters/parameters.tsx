// /parameters: the groups that administrators know, one row for each parameter, and a bar for what is edited.
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { useLoaded } from '../../client/loaded.ts';
import { pendingChange } from '../../client/pending.ts';
import { useStore } from '../../client/store.ts';
import type { Parameter } from '../../client/types.ts';
import { onChange } from '../../client/watch.ts';
import { plural } from '../../format.ts';
import { Button, LinkButton } from '../../parts/controls.tsx';
import { openDialog } from '../../parts/dialog.tsx';
import { Icon } from '../../parts/icon.tsx';
import { Callout, Failed, Head, SkeletonCard } from '../../parts/layout.tsx';
import { address } from '../../router.ts';
import type { PageEntry } from '../../shell/pages.ts';
import { Shell } from '../../shell/shell.tsx';
import { T } from '../../strings.ts';
import { drop, edit, edits, same } from './edits.ts';
import { readParameters } from './list.ts';
import { ReviewDialog } from './review.tsx';
import { mayEdit, ParameterRow } from './row.tsx';

function ParametersPage(): JSX.Element {
  const { data, problem, again } = useLoaded('parameters', readParameters);
  const change = useStore(pendingChange);
  useEffect(() => onChange(({ noun }) => noun === 'parameter' && again()), [again]);
  // A change that is confirmed or rolled back leaves other values.
  useEffect(again, [change?.id, again]);
  return (
    <Shell crumbs={[[T.parameters]]}>
      <Head title={T.parameters} sub={T.parametersSub}>
        <LinkButton href="/audit?q=parameters.">{T.parametersHistory}</LinkButton>
      </Head>
      {change !== null && mayEdit() && (
        <div class="pagegap">
          <Callout meaning="info" title={T.lockedTitle}>
            <p>{T.lockedText}</p>
          </Callout>
        </div>
      )}
      {data === undefined ? (
        <section class="card">
          {problem === undefined ? <SkeletonCard lines={9} /> : <Failed problem={problem} again={again} />}
        </section>
      ) : (
        <Groups items={data.items} isLocked={change !== null || data.isDuringChange} done={again} />
      )}
    </Shell>
  );
}

interface GroupsProps {
  readonly items: readonly Parameter[];
  /** A change is pending, or has just ended and its values are not read again yet. */
  readonly isLocked: boolean;
  readonly done: () => void;
}

function Groups({ items, isLocked, done }: GroupsProps): JSX.Element {
  const { query } = useStore(address);
  const made = useStore(edits);
  const groups = [...new Set(items.map(({ group }) => group))];
  const wanted = query.get('group')?.toLowerCase();
  const group = groups.find((one) => one.toLowerCase() === wanted) ?? groups[0] ?? '';
  const rows = items.filter((one) => one.group === group);
  const review = (): void => openDialog((close) => <ReviewDialog close={close} done={done} />);
  const restore = (): void => {
    for (const parameter of rows) if (!same(parameter.value, parameter.default)) edit(parameter, null);
    review();
  };
  return (
    <div class="plist">
      <nav class="card groups" aria-label={T.parameterGroups}>
        {groups.map((one) => (
          <a
            key={one}
            href={`/parameters?group=${encodeURIComponent(one)}`}
            aria-current={one === group ? 'true' : undefined}
          >
            <span>{one}</span>
            <GroupCount items={items.filter((parameter) => parameter.group === one)} />
          </a>
        ))}
      </nav>
      <div>
        <section class="card">
          <header>
            <h2>{group}</h2>
            {mayEdit() && !isLocked && rows.some(({ isDefault }) => !isDefault) && (
              <div class="r">
                <Button isSmall kind="plain" icon="undo" onClick={restore}>
                  {T.restoreDefaults}
                </Button>
              </div>
            )}
          </header>
          {rows.map((parameter) => (
            <ParameterRow key={parameter.name} parameter={parameter} isLocked={isLocked} />
          ))}
        </section>
        {Object.keys(made).length > 0 && !isLocked && (
          <div class="review" role="region" aria-label={T.edited}>
            <Icon name="sliders" />
            <b>{plural(Object.keys(made).length, 'change')}</b>
            <span class="t2 grow cut">{Object.keys(made).join(', ')}</span>
            <Button onClick={() => drop(Object.keys(made))}>{T.discard}</Button>
            <Button kind="primary" onClick={review}>
              {T.review}
            </Button>
          </div>
        )}
      </div>
    </div>
  );
}

/** How many parameters, and how many of them are edited. */
function GroupCount({ items }: { readonly items: readonly Parameter[] }): JSX.Element {
  const made = useStore(edits);
  const edited = items.filter(({ name }) => made[name] !== undefined).length;
  return <span class="n">{edited === 0 ? items.length : T.editedOf(edited, items.length)}</span>;
}

export const PARAMETERS: PageEntry = {
  id: 'parameters',
  title: T.parameters,
  shortTitle: T.parametersShort,
  icon: 'sliders',
  key: 'p',
  page: ParametersPage,
};
