// The one report of all acts that can cut agents off, with and without a dry run.
import type { FastifyReply } from 'fastify';
import type { Change } from '../../change/changes.ts';
import { cutOffJson, type CutOffAgent, type Notice } from '../../change/report.ts';
import { timeOf } from '../page.ts';

export interface Report<R> {
  readonly dryRun: boolean;
  readonly changed: readonly { readonly name: string; readonly from: unknown; readonly to: unknown }[];
  readonly cutOff: readonly CutOffAgent[];
  readonly notices: readonly Notice[];
  /** False where agents are cut off by the meaning of the act, or later: it needs no force. */
  readonly needsForce?: boolean;
  /** The change that waits for its confirmation. */
  readonly change: Change | null;
  readonly result: R;
}

/** Sends it: 202 with the place of the change while that waits for its confirmation. */
export function sendReport<R>(reply: FastifyReply, report: Report<R>): FastifyReply {
  const { dryRun, changed, cutOff, notices, needsForce = cutOff.length > 0, change, result } = report;
  if (change !== null) void reply.code(202).header('location', `/api/v1/changes/${change.id}`);
  return reply.send({
    dryRun,
    changed: changed.map(({ name, from, to }) => ({ name, from, to })),
    cutOff: cutOffJson(cutOff),
    notices,
    needsForce,
    change: changeReference(change),
    result,
  });
}

/** What a dry run says of an act that cuts off no more than its meaning. */
export function rehearsal(changed: Report<null>['changed'], cutOff: readonly CutOffAgent[] = []): Report<null> {
  return { dryRun: true, changed, cutOff, notices: [], needsForce: false, change: null, result: null };
}

/** A change in the answer of its subject; GET /changes/{change} has all of it. */
export function changeReference(change: Change | null) {
  return change === null ? null : { id: change.id, state: change.state, expiresAt: timeOf(change.expiresAt) };
}
