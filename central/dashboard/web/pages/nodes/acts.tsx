// What administrators decide about a node: drain it and end that; delete one that is dead or stopped.
import type { JSX } from 'preact';
import { all, send, type Terms } from '../../client/api.ts';
import { Button } from '../../parts/controls.tsx';
import { openDialog } from '../../parts/dialog.tsx';
import { CUTS_NONE, PreflightDialog, type Checked } from '../../parts/preflight.tsx';
import { T } from '../../strings.ts';
import { lookOfNode, type CentralNode } from './shapes.ts';

const { nodes: N } = T;

type Act = 'drain' | 'undrain' | 'remove';

interface NodeActsProps {
  readonly node: CentralNode;
  readonly nodes: readonly CentralNode[];
  readonly again: () => void;
}

const admits = ({ state, drainedAt }: CentralNode): boolean => state === 'alive' && drainedAt === null;

export function NodeActs({ node, nodes, again }: NodeActsProps): JSX.Element | null {
  const act = node.state === 'alive' ? (node.drainedAt === null ? 'drain' : 'undrain') : 'remove';
  const isAlone = !nodes.some((one) => one.name !== node.name && admits(one));
  // With one node there is nothing to decide.
  if (nodes.length === 1) return null;
  return (
    <Button
      isSmall
      label={`${T.ellipsis(N[act])} ${node.name}`}
      why={act === 'drain' && isAlone ? N.onlyOne : undefined}
      onClick={() => openDialog((close) => <ActDialog act={act} node={node} close={close} done={again} />)}
    >
      {T.ellipsis(N[act])}
    </Button>
  );
}

const DIALOGS = {
  drain: { title: N.drainTitle, text: N.drainText, done: N.drained },
  undrain: { title: N.undrainTitle, text: N.undrainText, done: N.undrained },
  remove: { title: N.removeTitle, text: N.removeText, done: N.removed },
} as const;

interface ActDialogProps {
  readonly act: Act;
  readonly node: CentralNode;
  readonly close: () => void;
  readonly done: () => void;
}

function ActDialog({ act, node, close, done }: ActDialogProps): JSX.Element {
  const path = `/nodes/${encodeURIComponent(node.name)}`;
  const { title, text, done: doneText } = DIALOGS[act];
  /** The node as it is now, and what it would be. */
  const check = async (): Promise<Checked> => {
    const now = (await all<CentralNode>('/nodes')).find(({ name }) => name === node.name) ?? node;
    const from = N.states[lookOfNode(now).word];
    const to = act === 'remove' ? T.none : N.states[act === 'drain' ? 'drained' : 'alive'];
    return { ...CUTS_NONE, changed: from === to ? [] : [{ name: node.name, from, to }] };
  };
  const apply = async ({ comment, ticket }: Terms): Promise<void> => {
    const query = { comment, ticket } as Terms;
    if (act === 'remove') await send('DELETE', path, { query });
    else await send('POST', `${path}/drain`, { body: { cancel: act === 'undrain' }, query });
  };
  return (
    <PreflightDialog
      title={title(node.name)}
      act={N[act]}
      isDanger={act !== 'undrain'}
      {...(act === 'drain' ? { tick: N.drainTick } : {})}
      inputs={node.name}
      check={check}
      apply={apply}
      doneText={doneText(node.name)}
      close={close}
      done={done}
    >
      <p>{text}</p>
    </PreflightDialog>
  );
}
