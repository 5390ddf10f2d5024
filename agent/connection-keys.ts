// Owns with which key a connection is tried: the next one first, as soon as there is a certificate for it; and the current one when
// Central does not know the next (it was set back to an older backup). Nothing is decided here about either key's future.
import type { ConnectionEnd, DialPlan } from './connection.ts';

export async function connectWithKeys(plan: DialPlan, connect: (plan: DialPlan) => Promise<ConnectionEnd>): Promise<ConnectionEnd> {
  const { next, ...current } = plan;
  if (next === undefined) return await connect(current);
  const end = await connect({ ...current, ...next });
  return end.refusedWith === 'key_conflict' ? await connect(current) : end;
}
