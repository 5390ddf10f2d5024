// The agents that a rotation waits for: all of them, with why and what to do. Rows keep their places while agents follow.
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { all } from '../../client/api.ts';
import { useLoaded } from '../../client/loaded.ts';
import { useSteady } from '../../client/steady.ts';
import { useStore } from '../../client/store.ts';
import { Chips } from '../../parts/chips.tsx';
import { Failed, SkeletonCard } from '../../parts/layout.tsx';
import { Foreign, ForeignLine, Mark, None, Since } from '../../parts/text.tsx';
import { address, agentHref, setQuery } from '../../router.ts';
import { T } from '../../strings.ts';
import type { MissingAgent, Rotation } from './shapes.ts';

const { certificates: C } = T;

const FIRST = 10;
const CHUNK = 500;

export function WaitingTable({ rotation }: { readonly rotation: Rotation }): JSX.Element {
  const { phase, trust, certificates } = rotation;
  const counts = `${trust.missingCount} ${certificates.missingCount}`;
  const { data, problem, again } = useLoaded(
    `waiting ${phase}`,
    async (signal) => await all<MissingAgent>('/ca/rotation/agents', {}, signal),
    15,
  );
  useEffect(again, [counts, again]);
  const steady = useSteady(data ?? [], ({ agent, reason }) => `${agent.id} ${reason}`, phase);
  if (data === undefined)
    return problem === undefined ? <SkeletonCard lines={3} /> : <Failed problem={problem} again={again} />;
  if (steady.rows.length === 0) return <p class="body t2">{C.noOneMissing}</p>;
  return <Table missing={data} steady={steady} />;
}

interface TableProps {
  readonly missing: readonly MissingAgent[];
  readonly steady: ReturnType<typeof useSteady<MissingAgent>>;
}

function Table({ missing, steady }: TableProps): JSX.Element {
  const { query } = useStore(address);
  const reason = query.get('reason') ?? '';
  const count = Number(query.get('waiting') ?? FIRST) || FIRST;
  const rows = steady.rows.filter(({ item }) => reason === '' || item.reason === reason);
  const reasons = Map.groupBy(missing, (agent) => agent.reason);
  const rest = rows.length - count;
  return (
    <>
      <Chips
        label={C.whyWaits}
        value={reason}
        chips={[
          { value: '', text: C.waitsFor(new Set(missing.map(({ agent }) => agent.id)).size) },
          ...[...reasons].map(([value, of]) => ({ value, text: C.reasons[value]?.[0] ?? value, count: of.length })),
        ]}
        onChange={(value) => setQuery({ reason: value, waiting: null })}
        newText={steady.newCount > 0 ? C.more(steady.newCount) : undefined}
        onUpdate={steady.update}
      />
      <div class="tw">
        <table class="cards">
          <caption class="sr">{C.waitsFor(missing.length)}</caption>
          <thead>
            <tr>
              {[T.agent, C.whyWaits, C.todo].map((label) => (
                <th key={label} scope="col">
                  {label}
                </th>
              ))}
              <th scope="col" class="num">
                {C.since}
              </th>
            </tr>
          </thead>
          <tbody>
            {rows.slice(0, count).map(({ id, item, isGone }) => (
              <Row key={id} missing={item} isReady={isGone} />
            ))}
          </tbody>
        </table>
      </div>
      <div class="tfoot">
        <span class="grow">
          {rest > 0 && (
            <>
              <button
                class="link"
                type="button"
                onClick={() => setQuery({ waiting: String(count + Math.min(rest, CHUNK)) })}
              >
                {rest <= CHUNK ? C.showAll(rows.length) : C.showMore(CHUNK)}
              </button>
              .{' '}
            </>
          )}
          {C.crossCertificate}
        </span>
      </div>
    </>
  );
}

function Row({ missing, isReady }: { readonly missing: MissingAgent; readonly isReady: boolean }): JSX.Element {
  const { agent, reason, detail, startedAt } = missing;
  const [word, todo] = C.reasons[reason] ?? [reason, ''];
  return (
    <tr class={isReady ? 'dim' : ''}>
      <td>
        <a class="name" href={agentHref(agent.id)}>
          <ForeignLine text={agent.name} />
        </a>
      </td>
      <td class="wide">
        {isReady ? (
          <Mark meaning="ok" icon="good">
            {C.readyNow}
          </Mark>
        ) : (
          <>
            {word}
            <span class="d2">
              <Foreign text={detail} />
            </span>
          </>
        )}
      </td>
      <td class="t2 wide">{isReady ? C.todos.none : todo}</td>
      <td class="num meta nowrap" data-l="">
        {startedAt === null || isReady ? <None /> : <Since at={startedAt} />}
      </td>
    </tr>
  );
}
