// The messages that wait for an agent: send one, and withdraw one.
import type { JSX } from 'preact';
import { get } from '../../client/api.ts';
import { useLoaded } from '../../client/loaded.ts';
import { may } from '../../client/session.ts';
import type { Agent, Page } from '../../client/types.ts';
import { absolute, number } from '../../format.ts';
import { Button } from '../../parts/controls.tsx';
import { openDialog } from '../../parts/dialog.tsx';
import { Card, Empty, Failed, SkeletonCard } from '../../parts/layout.tsx';
import { ForeignLine, Since } from '../../parts/text.tsx';
import { T } from '../../strings.ts';
import { SendDialog, WithdrawDialog } from './send.tsx';

interface Command {
  readonly commandId: string;
  readonly number: number | null;
  readonly type: string | null;
  readonly source: string | null;
  readonly queuedAt: string;
  readonly expiresAt: string | null;
}

export function MessagesTab({ agent }: { readonly agent: Agent }): JSX.Element {
  const path = `/agents/${encodeURIComponent(agent.id)}/commands`;
  const { data, problem, again } = useLoaded(
    path,
    async (signal) => (await get<Page<Command>>(path, { limit: 100 }, signal)).data,
    10,
  );
  const count = agent.logs.down.messageCount;
  if (data === undefined)
    return (
      <Card title={T.messagesWait(count)}>
        {problem === undefined ? <SkeletonCard /> : <Failed problem={problem} again={again} />}
      </Card>
    );
  const canSend = may('operator');
  const compose = (): void => openDialog((close) => <SendDialog agent={agent} close={close} whenDone={again} />);
  const right = canSend && agent.state !== 'revoked' && (
    <Button isSmall onClick={compose}>
      {T.message.open}
    </Button>
  );
  return (
    <Card title={T.messagesWait(count)} right={right}>
      {data.items.length === 0 ? (
        <Empty icon="good" title={T.nothingWaits}>
          <p>{T.nothingForAgent}</p>
        </Empty>
      ) : (
        <Table commands={data.items} again={again} />
      )}
    </Card>
  );
}

interface TableProps {
  readonly commands: readonly Command[];
  readonly again: () => void;
}

function Table({ commands, again }: TableProps): JSX.Element {
  const canSend = may('operator');
  return (
    <div class="tw">
      <table class="cards">
        <thead>
          <tr>
            {[T.number, T.type, T.source, T.waitingFor, T.expires].map((label) => (
              <th key={label} scope="col">
                {label}
              </th>
            ))}
            {canSend && (
              <th scope="col">
                <span class="sr">{T.tokens.acts}</span>
              </th>
            )}
          </tr>
        </thead>
        <tbody>
          {commands.map((command) => (
            <Row key={command.commandId} command={command} canSend={canSend} again={again} />
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface RowProps {
  readonly command: Command;
  readonly canSend: boolean;
  readonly again: () => void;
}

function Row({ command, canSend, again }: RowProps): JSX.Element {
  const { commandId, number: place, type, source, queuedAt, expiresAt } = command;
  const withdraw = (): void =>
    openDialog((close) => <WithdrawDialog commandId={commandId} type={type ?? ''} close={close} whenDone={again} />);
  return (
    <tr>
      <td class="meta" data-l={T.number}>
        {place === null ? '–' : number(place)}
      </td>
      <td class="wide">
        <code>
          <ForeignLine text={type ?? '–'} />
        </code>
      </td>
      <td class="t2">
        <code>
          <ForeignLine text={source ?? '–'} />
        </code>
      </td>
      <td class="right">
        <Since at={queuedAt} />
      </td>
      <td class="meta" data-l={T.expires}>
        {expiresAt === null ? T.never : absolute(expiresAt)}
      </td>
      {canSend && (
        <td class="wide">
          <span class="acts">
            <Button isSmall onClick={withdraw}>
              {T.message.withdrawOpen}
            </Button>
          </span>
        </td>
      )}
    </tr>
  );
}
