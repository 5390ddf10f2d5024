// Tickets for downloads: which agent may read which release from the agents' ports, until when. A ticket is an HMAC, so
// that nothing is kept for it; the key is in the store, so that every Central that works on it takes the same tickets.
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { isCoded } from '../../shared/errors.ts';
import { auditEntry, CENTRAL } from '../audit.ts';
import type { KeyMaterialStore } from '../store/key-material-store.ts';

/** A ticket that goes with an offer; a repeated offer has a new one. */
export const TICKET_MS = 24 * 3_600_000;
const SUBJECT = 'release-tickets';
const KEY_NAME = `${SUBJECT}.key`;
/**
 * Version, end in milliseconds (base 36), digest of the release, id of the agent (base64url), HMAC-SHA256 (base64url).
 */
const TICKET = /^1\.([0-9a-z]{1,11})\.([0-9a-f]{64})\.([\w-]{1,340})\.([\w-]{43})$/;

interface Ticket {
  readonly agentId: string;
  /** Of the release. */
  readonly digest: string;
}

export interface Tickets {
  issue(agentId: string, digest: string): string;
  /** Undefined: it is not by this key, or has expired. */
  verify(ticket: string): Ticket | undefined;
}

export async function openTickets(needs: {
  readonly keyMaterial: Pick<KeyMaterialStore, 'load' | 'put'>;
  readonly now: () => number;
}): Promise<Tickets> {
  return createTickets(await ticketKey(needs), needs.now);
}

export function createTickets(key: Buffer, now: () => number): Tickets {
  const seal = (text: string): Buffer => createHmac('sha256', key).update(`queuegate.v1 ticket\n${text}`).digest();
  return {
    issue(agentId, digest) {
      const end = (now() + TICKET_MS).toString(36);
      const text = `1.${end}.${digest}.${Buffer.from(agentId).toString('base64url')}`;
      return `${text}.${seal(text).toString('base64url')}`;
    },
    verify(ticket) {
      const [, end = '', digest = '', agent = '', mac = ''] = TICKET.exec(ticket) ?? [];
      if (mac === '' || !timingSafeEqual(seal(`1.${end}.${digest}.${agent}`), Buffer.from(mac, 'base64url')))
        return undefined;
      return Number.parseInt(end, 36) <= now()
        ? undefined
        : { agentId: Buffer.from(agent, 'base64url').toString(), digest };
    },
  };
}

/** Made at the first start, and then read. */
async function ticketKey(needs: Parameters<typeof openTickets>[0]): Promise<Buffer> {
  const { keyMaterial, now } = needs;
  const { version, rows } = await keyMaterial.load(SUBJECT);
  const kept = rows.find(({ name }) => name === KEY_NAME);
  if (kept !== undefined) return Buffer.from(kept.value, 'base64url');
  const value = randomBytes(32).toString('base64url');
  const entry = auditEntry(CENTRAL, 'release-tickets.create-key', {}, now());
  try {
    await keyMaterial.put([{ subject: SUBJECT, version, entries: [{ name: KEY_NAME, value }] }], entry);
    return Buffer.from(value, 'base64url');
  } catch (error) {
    // Another Central on this store was first.
    if (isCoded(error, 'key_material_conflict')) return await ticketKey(needs);
    throw error;
  }
}
