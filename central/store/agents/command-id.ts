// The id of a command in Central: of its agent, and of its source and id (CloudEvents), which are unique for each agent
// only. It is looked up without a table of its own.

/** 96 bits (shared/sqlite/logs/fingerprint.ts). */
const HASH = /^[\w-]{16}$/;
const ID = /^([0-9a-f]{8})([0-9a-f]{24})$/;

/** `agentKey`: the number of the agent in the store, which is never reused. */
export function commandIdOf(agentKey: number, hash: string): string {
  if (!HASH.test(hash)) throw new TypeError('not a fingerprint');
  return `${agentKey.toString(16).padStart(8, '0')}${Buffer.from(hash, 'base64url').toString('hex')}`;
}

/** Undefined: it is not the id of a command. */
export function readCommandId(id: string): { readonly agentKey: number; readonly hash: string } | undefined {
  const [, key = '', hash = ''] = ID.exec(id.toLowerCase()) ?? [];
  if (key === '') return undefined;
  return { agentKey: Number.parseInt(key, 16), hash: Buffer.from(hash, 'hex').toString('base64url') };
}
