// What the program of a task wrote: standard output or standard error, followed while it runs, and as a file. It is text
// of others: only text nodes, with its control characters written out.
import type { JSX, TargetedEvent } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { getBytes, problemOf } from '../../client/api.ts';
import { useStore } from '../../client/store.ts';
import type { ProblemDocument } from '../../client/types.ts';
import { visible } from '../../format.ts';
import { Chips } from '../../parts/chips.tsx';
import { Button } from '../../parts/controls.tsx';
import { Card, Fault } from '../../parts/layout.tsx';
import { address, setQuery } from '../../router.ts';
import { T } from '../../strings.ts';
import { CHANNELS, hasEnded, type Channel, type Task } from './shapes.ts';
import { SHOWN_BYTES, useOutput, type Output } from './stream.ts';

const { tasks: K } = T;

export function OutputCard({ task }: { readonly task: Task }): JSX.Element {
  const { query } = useStore(address);
  const wanted = CHANNELS.find((one) => one === query.get('channel'));
  // Of a task that failed, standard error has the reason.
  const isError = task.state === 'failed' && (task.stderr?.keptBytes ?? 0) > 0 && (task.stdout?.keptBytes ?? 0) === 0;
  const channel = wanted ?? (isError ? 'stderr' : 'stdout');
  return (
    <Card title={K.output}>
      <Chips
        label={K.output}
        value={channel}
        chips={CHANNELS.map((value) => ({ value, text: K.channels[value] }))}
        onChange={(value) => setQuery({ channel: value })}
      />
      {task.startedAt === null ? (
        <p class="body muted">{hasEnded(task.state) ? K.neverStarted : K.notStarted}</p>
      ) : (
        <ChannelOutput key={channel} task={task} channel={channel} />
      )}
    </Card>
  );
}

interface ChannelProps {
  readonly task: Task;
  readonly channel: Channel;
}

function ChannelOutput({ task, channel }: ChannelProps): JSX.Element {
  const isOver = hasEnded(task.state);
  const report = task[channel];
  // Decided once: one that is followed to its end is not read again.
  const [isFollowing, follow] = useState(!isOver);
  const [isStopped, stop] = useState(false);
  const [fromBytes] = useState(Math.max(0, (report?.keptBytes ?? 0) - SHOWN_BYTES));
  const [turn, again] = useState(0);
  const isNothing = isOver && report === null;
  const reading = isStopped || isNothing ? null : { task: task.id, channel, fromBytes, isFollowing };
  const output = useOutput(reading, turn);
  const isBusy = reading !== null && !output.isWhole && output.problem === null;
  const start = (): void => {
    stop(false);
    follow(!isOver);
    again(turn + 1);
  };
  return (
    <>
      <div class="outbar">
        <span class="grow muted" role="status">
          {isNothing ? K.nothing : positionOf(output, isBusy, isFollowing, isStopped)}
        </span>
        {isFollowing && isBusy && (
          <Button isSmall onClick={() => stop(true)}>
            {K.stop}
          </Button>
        )}
        {!isBusy && !isNothing && (
          <Button isSmall onClick={start}>
            {isOver ? K.again : K.follow}
          </Button>
        )}
        {!isNothing && <Download task={task} channel={channel} />}
      </div>
      {output.problem !== null && (
        <div class="body">
          <Fault problem={output.problem} />
        </div>
      )}
      <Text task={task} channel={channel} output={output} isBusy={isBusy} />
      {report?.truncated === true && <p class="tfoot">{K.truncated(report.keptBytes)}</p>}
    </>
  );
}

function positionOf(
  { bytes, blocks, problem, isCut, isWhole }: Output,
  isBusy: boolean,
  isFollowing: boolean,
  isStopped: boolean,
): string {
  if (isCut && !isStopped) return K.continues;
  if (problem !== null && blocks.length === 0) return '';
  if (isWhole) return K.whole(bytes);
  if (!isBusy) return K.stopped(bytes);
  return isFollowing ? K.following(bytes) : K.loading(bytes);
}

interface TextProps extends ChannelProps {
  readonly output: Output;
  readonly isBusy: boolean;
}

/** How near to its end a reader is who sees what comes. */
const NEAR_PX = 40;

function Text({ task, channel, output, isBusy }: TextProps): JSX.Element | null {
  const box = useRef<HTMLPreElement>(null);
  const isAtEnd = useRef(true);
  const { blocks, skippedBytes, isWhole, problem } = output;
  const tail = blocks.length === 0 && problem !== null ? tailOf(task, channel) : null;
  const shown = tail === null ? blocks : [{ number: 0, text: tail.text }];
  useLayoutEffect(() => {
    const { current } = box;
    if (current !== null && isAtEnd.current) current.scrollTop = current.scrollHeight;
  }, [output, tail === null]);
  if (shown.length === 0)
    return isWhole || isBusy ? <p class="body muted">{isWhole ? K.nothing : K.nothingYet}</p> : null;
  const onScroll = ({ currentTarget }: TargetedEvent<HTMLPreElement>): void => {
    isAtEnd.current = currentTarget.scrollHeight - currentTarget.scrollTop - currentTarget.clientHeight < NEAR_PX;
  };
  return (
    <>
      {tail !== null && <p class="outnote">{K.tailOnly(tail.bytes)}</p>}
      {tail === null && skippedBytes > 0 && <p class="outnote">{K.skipped(skippedBytes)}</p>}
      <pre class="output" ref={box} tabIndex={0} role="region" aria-label={K.channels[channel]} onScroll={onScroll}>
        {shown.map(({ number, text }) => (
          <div key={number}>
            <bdi>{text}</bdi>
          </div>
        ))}
      </pre>
    </>
  );
}

/** What the report of the agent has of it, where that is all that can be had. */
function tailOf(task: Task, channel: Channel): { readonly text: string; readonly bytes: number } | null {
  const report = task[channel];
  if (report === null || report.tail === '') return null;
  const bytes = Uint8Array.from(atob(report.tail), (sign) => sign.charCodeAt(0));
  return { text: visible(new TextDecoder().decode(bytes)), bytes: bytes.length };
}

function Download({ task: { id }, channel }: ChannelProps): JSX.Element {
  const [end, setEnd] = useState<AbortController | null>(null);
  const [problem, setProblem] = useState<ProblemDocument | null>(null);
  useEffect(() => () => end?.abort(), [end]);
  const run = (): void => {
    const own = new AbortController();
    setEnd(own);
    setProblem(null);
    save(id, channel, own.signal)
      .catch((error: unknown) => own.signal.aborted || setProblem(problemOf(error)))
      .finally(() => setEnd(null));
  };
  return (
    <>
      <Button isSmall why={end === null ? undefined : K.downloading} onClick={run}>
        {K.download}
      </Button>
      {problem !== null && <Fault problem={problem} />}
    </>
  );
}

/** Byte for byte. An output that is cut, or is not what the agent reported, ends with an error and is not saved. */
async function save(id: string, channel: Channel, signal: AbortSignal): Promise<void> {
  const parts: Uint8Array<ArrayBuffer>[] = [];
  for await (const bytes of getBytes(`/tasks/${id}/output/${channel}`, {}, signal)) parts.push(bytes.slice());
  const link = document.createElement('a');
  link.href = URL.createObjectURL(new Blob(parts, { type: 'application/octet-stream' }));
  link.download = `${id}-${channel}.log`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
