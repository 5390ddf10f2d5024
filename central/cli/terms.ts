// The options that many commands share: dry run, force, reason and commit-confirm, and how they go into a request.
import type { CommandCall } from './command.ts';
import { recordOf, rowsOf, shown } from './print.ts';

export const REASON = {
  comment: { type: 'string', doc: 'reason, for the audit log' },
  ticket: { type: 'string', doc: 'ticket number, for the audit log' },
} as const;
export const DRY_RUN = {
  'dry-run': { type: 'boolean', doc: 'only show what would change and which agents it would cut off' },
} as const;
/** Of each command that asks (CommandCall.confirm). */
export const YES = { yes: { type: 'boolean', short: 'y', doc: 'do not ask' } } as const;
export const IF_MATCH = {
  'if-match': { type: 'string', value: 'ETAG', doc: 'only if it is unchanged since an answer with this ETag' },
} as const;
export const FORCE = { force: { type: 'boolean', doc: 'do it even if agents are cut off' } } as const;
export const CONFIRM = {
  'confirm-within': {
    type: 'string',
    doc: 'roll back automatically unless "queuegate changes confirm" follows within this time, such as 10m',
  },
  'confirm-share': {
    type: 'string',
    doc: 'share of the agents that must have reconnected by then, such as 95%; 90% unless set',
  },
} as const;

/** Asks before an act with --force, and does nothing without. Errors: those of CommandCall.confirm. */
export async function confirmForce(call: CommandCall, act: string, effect = 'Agents may be cut off.'): Promise<void> {
  if (call.flag('force')) await call.confirm({ act, effect });
}

/** The terms that were typed, as query parameters. Options that a command does not have are absent. Errors: usage. */
export function termsOf(call: CommandCall): Readonly<Record<string, string | number | boolean | undefined>> {
  const withinSeconds = call.seconds('confirm-within');
  const share = call.share('confirm-share');
  if (withinSeconds === undefined && share !== undefined)
    throw call.complain('--confirm-share has no effect without --confirm-within');
  return {
    dryRun: call.flag('dry-run') || undefined,
    force: call.flag('force') || undefined,
    stage: call.flag('stage') || undefined,
    comment: call.text('comment'),
    ticket: call.text('ticket'),
    confirmWithinSeconds: withinSeconds,
    confirmShare: share,
  };
}

/** What the resource is after these members were set. Errors: usage, where there are none; those of the request. */
export async function changed(
  call: CommandCall,
  path: string,
  body: Readonly<Record<string, unknown>>,
): Promise<Readonly<Record<string, unknown>>> {
  if (Object.keys(body).length === 0) throw call.complain('nothing is to be set');
  return recordOf(
    await call.client.request('PATCH', path, { query: termsOf(call), body, ifMatch: call.text('if-match') }),
  );
}

/** The agents that a report names, below a title; no line when there are none. */
export function cutOffText(report: unknown, title: string): string[] {
  const cutOff = recordOf(recordOf(report)['cutOff']);
  const rows = rowsOf(cutOff, 'items').map(
    (row) => `  ${shown(recordOf(row['agent'])['name'])}: ${shown(row['detail'])}`,
  );
  const more = Number(cutOff['count']) - rows.length;
  return rows.length === 0 ? [] : [title, ...rows, ...(more > 0 ? [`  and ${more} more`] : [])];
}

/** The notices of a report, one a line. */
export function noticeText(report: unknown): string[] {
  return rowsOf(report, 'notices').map(({ detail }) => `Note: ${shown(detail)}`);
}

/** The change that awaits its confirmation, or how it ended. */
export function pendingText(value: unknown): string[] {
  if (value === null || value === undefined) return [];
  const { id, expiresAt, state } = recordOf(value);
  if (state === 'confirmed') return ['Confirmed.'];
  if (state === 'rolled-back') return ['Rolled back: all is as it was before.'];
  return [
    `Pending: rolled back at ${shown(expiresAt)} unless "queuegate changes confirm" follows before; "queuegate changes show ${shown(id)}" counts the agents that have reconnected.`,
  ];
}
