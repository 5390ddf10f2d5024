// Runs a task: at an agent, with one of the handlers that it has reported, or at one of the agents of a queue. What it
// will be is shown before it is requested.
import type { JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { all, centralNow, get, send, type Terms } from '../../client/api.ts';
import { fleet, startFleet } from '../../client/fleet.ts';
import { useLoaded } from '../../client/loaded.ts';
import { useStore } from '../../client/store.ts';
import type { Agent } from '../../client/types.ts';
import { duration, visible } from '../../format.ts';
import { Field, Select } from '../../parts/controls.tsx';
import { Callout, Fault, SkeletonCard } from '../../parts/layout.tsx';
import { CUTS_NONE, PreflightDialog, type Checked } from '../../parts/preflight.tsx';
import { Foreign } from '../../parts/text.tsx';
import { go } from '../../router.ts';
import { T } from '../../strings.ts';
import type { Task, TaskHandler } from './shapes.ts';

const { tasks: K } = T;

interface Draft {
  readonly agent: string;
  readonly queue: string;
  readonly handler: string;
  readonly words: readonly string[];
}

interface StartDialogProps {
  readonly close: () => void;
  /** What is filled in. */
  readonly first: Partial<Draft>;
}

const MOST_SUGGESTIONS = 20;
/** A name is typed before its handlers are read. */
const TYPED_MS = 400;

const isOnline = ({ state }: Agent): boolean => state === 'online' || state === 'degraded';

/** The value once it has not changed for a moment. */
function useSettled(value: string): string {
  const [settled, settle] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => settle(value), TYPED_MS);
    return () => clearTimeout(timer);
  }, [value]);
  return settled;
}

interface Offered {
  readonly agent: Agent;
  readonly handlers: readonly TaskHandler[];
}

async function readOffered(reference: string, signal: AbortSignal): Promise<Offered | null> {
  if (reference === '') return null;
  const { data: agent } = await get<Agent>(`/agents/${encodeURIComponent(reference)}`, {}, signal);
  return { agent, handlers: await all<TaskHandler>(`/agents/${agent.id}/task-handlers`, {}, signal) };
}

/** Names of agents that contain what was typed. */
function useSuggestions(typed: string): readonly string[] {
  useEffect(startFleet, []);
  const { agents } = useStore(fleet);
  const found: string[] = [];
  for (const { name } of agents.values()) {
    if (found.length === MOST_SUGGESTIONS) break;
    if (name.includes(typed)) found.push(name);
  }
  return found;
}

/** What would be requested, as far as it is filled in. */
function useOrder(draft: Draft, isQueue: boolean, text: string) {
  const reference = useSettled(draft.agent.trim());
  const offered = useLoaded(`offered ${reference}`, async (signal) => await readOffered(reference, signal));
  const handlers = offered.data?.handlers ?? [];
  const chosen = isQueue ? undefined : (handlers.find(({ name }) => name === draft.handler) ?? handlers[0]);
  const handler = isQueue ? draft.handler.trim() : (chosen?.name ?? '');
  const queue = draft.queue.trim();
  const takesWords = isQueue || chosen?.arguments === 'list';
  const agent = offered.data?.agent;
  return {
    reference,
    offered,
    chosen,
    takesWords,
    agentId: agent?.id ?? '',
    place: isQueue ? K.ofQueue(queue) : visible(agent?.name ?? ''),
    isComplete: handler !== '' && (isQueue ? queue !== '' : reference === draft.agent.trim()),
    body: {
      ...(isQueue ? { queue } : { agent: agent?.id }),
      handler,
      arguments: takesWords ? text.split('\n').filter((line) => line !== '') : [],
    },
  };
}

export function StartDialog({ close, first }: StartDialogProps): JSX.Element {
  const [where, setWhere] = useState((first.queue ?? '') === '' ? 'agent' : 'queue');
  const [draft, setDraft] = useState<Draft>({ agent: '', queue: '', handler: '', words: [], ...first });
  const [text, setText] = useState((first.words ?? []).join('\n'));
  const [seconds, setSeconds] = useState('86400');
  const attempt = useRef({ inputs: '', key: '', deadlineAt: '' });
  const begun = useRef('');
  const isQueue = where === 'queue';
  const { reference, offered, chosen, takesWords, agentId, place, isComplete, body } = useOrder(draft, isQueue, text);
  const check = async (): Promise<Checked> => {
    if (isQueue) return CUTS_NONE;
    const { data: agent } = await get<Agent>(`/agents/${encodeURIComponent(agentId)}`);
    return {
      ...CUTS_NONE,
      notices: isOnline(agent) ? [] : [{ code: 'agent_offline', detail: K.agentAway(agent.name) }],
    };
  };
  const apply = async ({ comment, ticket }: Terms): Promise<void> => {
    const inputs = JSON.stringify([body, seconds]);
    // Requested again after a line that was cut, it is the same task.
    if (attempt.current.inputs !== inputs) {
      const deadlineAt = new Date(centralNow() + Number(seconds) * 1000).toISOString();
      attempt.current = { inputs, key: crypto.randomUUID(), deadlineAt };
    }
    const { key, deadlineAt } = attempt.current;
    const query = { comment, ticket } as Terms;
    const sent = { body: { ...body, deadlineAt }, query, idempotencyKey: key };
    begun.current = (await send<Task>('POST', '/tasks', sent)).data.id;
  };
  const set = (member: keyof Draft) => (value: string) => setDraft({ ...draft, [member]: value });
  return (
    <PreflightDialog
      title={K.start}
      act={K.start}
      inputs={isComplete ? JSON.stringify(body) : null}
      check={check}
      apply={apply}
      effects={() => (
        <Callout meaning="info" title={K.runs(body.handler, body.arguments.length, place)}>
          <p>{K.onceOnly}</p>
        </Callout>
      )}
      doneText={K.started}
      close={close}
      done={() => go(`/tasks/${begun.current}`)}
    >
      <div class="frow">
        <Select label={K.where} value={where} options={K.wheres} onChange={setWhere} />
        <Select label={K.deadline} value={seconds} options={K.deadlines} onChange={setSeconds} />
      </div>
      {isQueue ? (
        <OfQueue draft={draft} set={set} />
      ) : (
        <OfAgent draft={draft} set={set} reference={reference} offered={offered} chosen={chosen} />
      )}
      {takesWords ? (
        <Arguments text={text} pattern={chosen?.argumentPattern ?? null} onInput={setText} />
      ) : (
        chosen !== undefined && <p class="t2">{K.argumentsNone}</p>
      )}
    </PreflightDialog>
  );
}

interface ArgumentsProps {
  readonly text: string;
  readonly pattern: string | null;
  readonly onInput: (text: string) => void;
}

/** One on each line. */
function Arguments({ text, pattern, onInput }: ArgumentsProps): JSX.Element {
  return (
    <label class="field">
      <span>{K.arguments}</span>
      <textarea
        rows={4}
        value={text}
        spellcheck={false}
        onInput={({ currentTarget }) => onInput(currentTarget.value)}
      />
      <small>
        {K.argumentsHint} {pattern !== null && <Foreign text={K.argumentsMatch(pattern)} />}
      </small>
    </label>
  );
}

interface PlaceProps {
  readonly draft: Draft;
  readonly set: (member: keyof Draft) => (value: string) => void;
}

function OfQueue({ draft, set }: PlaceProps): JSX.Element {
  return (
    <>
      <Field label={K.queue} hint={K.queueHint} value={draft.queue} maxLength={64} onInput={set('queue')} />
      <Field label={K.handler} hint={K.handlerHint} value={draft.handler} maxLength={64} onInput={set('handler')} />
    </>
  );
}

interface OfAgentProps extends PlaceProps {
  readonly reference: string;
  readonly offered: ReturnType<typeof useLoaded<Offered | null>>;
  readonly chosen: TaskHandler | undefined;
}

function OfAgent({ draft, set, reference, offered, chosen }: OfAgentProps): JSX.Element {
  const suggestions = useSuggestions(draft.agent.trim());
  const { data, problem } = offered;
  const queues = data?.handlers[0]?.queues ?? [];
  return (
    <>
      <Field
        label={K.agent}
        hint={K.agentHint}
        value={draft.agent}
        maxLength={255}
        suggestions={suggestions}
        onInput={set('agent')}
      />
      {problem !== undefined && <Fault problem={problem} />}
      {data === undefined && problem === undefined && reference !== '' && <SkeletonCard lines={2} />}
      {data !== undefined && data !== null && data.handlers.length === 0 && (
        <Callout meaning="warn" title={K.noHandlers(data.agent.name)}>
          <p>{K.noHandlersText}</p>
        </Callout>
      )}
      {data !== undefined && data !== null && chosen !== undefined && (
        <div class="field">
          <Select
            label={K.handler}
            value={chosen.name}
            options={data.handlers.map(({ name }) => [name, name])}
            onChange={set('handler')}
          />
          <small>
            {K.handlerFacts(
              duration(chosen.timeoutSeconds * 1000),
              chosen.concurrencyCount,
              K.accounts[chosen.accounts] ?? chosen.accounts,
            )}{' '}
            {queues.length > 0 && <Foreign text={K.queuesOf(queues.join(', '))} />}
          </small>
        </div>
      )}
    </>
  );
}
