import { describe, expect, it } from 'vitest';
import { createTickets, openTickets, TICKET_MS } from '../../../central/profiles/tickets.ts';
import type { KeyMaterialChange } from '../../../central/store/key-material-store.ts';
import { fault } from '../fakes.ts';

const digest = 'ab'.repeat(32);

/** A store whose first write loses against another Central where `rival` is set. */
function keyMaterial(rival = false) {
  let rows: { name: string; value: string }[] = [];
  const put = async (value: string): Promise<void> => void (rows = [{ name: 'release-tickets.key', value }]);
  return {
    load: async () => ({ version: rows.length, rows }),
    async put([change]: readonly KeyMaterialChange[]) {
      const value = change?.entries[0]?.value ?? '';
      if (!rival || rows.length > 0) return await put(value);
      await put(Buffer.alloc(32, 1).toString('base64url'));
      throw fault('key_material_conflict', 409);
    },
  };
}

describe('tickets', () => {
  it('say which agent may read which release, for a day', () => {
    let now = 1_790_000_000_000;
    const tickets = createTickets(Buffer.alloc(32, 7), () => now);
    const ticket = tickets.issue('branch 7/ä', digest);
    expect(ticket).toMatch(/^[A-Za-z0-9._~-]{16,512}$/);
    expect(tickets.verify(ticket)).toEqual({ agentId: 'branch 7/ä', digest });
    now += TICKET_MS - 1;
    expect(tickets.verify(ticket)).toBeDefined();
    now += 1;
    expect(tickets.verify(ticket)).toBeUndefined();
  });

  it('fit into a frame with the longest id', () => {
    const ticket = createTickets(Buffer.alloc(32, 7), Date.now).issue('x'.repeat(255), digest);
    expect(ticket.length).toBeLessThanOrEqual(512);
  });

  it('are refused when one character was changed, and with another key', () => {
    const now = (): number => 1_790_000_000_000;
    const ticket = createTickets(Buffer.alloc(32, 7), now).issue('a1', digest);
    for (const at of ticket.slice(0, -1).split('').keys()) {
      const changed = `${ticket.slice(0, at)}${ticket[at] === 'a' ? 'b' : 'a'}${ticket.slice(at + 1)}`;
      expect(createTickets(Buffer.alloc(32, 7), now).verify(changed)).toBeUndefined();
    }
    expect(createTickets(Buffer.alloc(32, 8), now).verify(ticket)).toBeUndefined();
    for (const found of ['', '1', ticket.slice(0, -1), `${ticket}a`])
      expect(createTickets(Buffer.alloc(32, 7), now).verify(found)).toBeUndefined();
  });

  it('are taken over a restart, and by every Central on the same store', async () => {
    const now = (): number => 1_790_000_000_000;
    const store = keyMaterial();
    const ticket = (await openTickets({ keyMaterial: store, now })).issue('a1', digest);
    expect((await openTickets({ keyMaterial: store, now })).verify(ticket)).toEqual({ agentId: 'a1', digest });

    const shared = keyMaterial(true);
    const second = await openTickets({ keyMaterial: shared, now });
    expect(createTickets(Buffer.alloc(32, 1), now).verify(second.issue('a1', digest))).toBeDefined();
  });
});
