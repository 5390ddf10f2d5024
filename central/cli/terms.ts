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

/** The agents that a report names, below a title; no line when there are none. */
export function cutOffText(answer: unknown, title: string): string[] {
  const rows = rowsOf(answer, 'cutOff').map((row) => `  ${shown(row['name'])}`);
  return rows.length === 0 ? [] : [title, ...rows];
}

/** The notices of a report, one a line. */
export function noticeText(answer: unknown): string[] {
  const notices: unknown = recordOf(answer)['notices'];
  return Array.isArray(notices) ? notices.map((notice) => `Note: ${shown(notice)}`) : [];
}

/** The change that awaits its confirmation. */
export function pendingText(value: unknown): string[] {
  if (value === null || value === undefined) return [];
  const pending = recordOf(value);
  return [
    `Pending: rolled back at ${shown(pending['deadline'])} unless "queuegate changes confirm" follows before and ${Math.round(Number(pending['share']) * 100)} % of the ${shown(pending['agents'])} agents have reconnected.`,
  ];
}
