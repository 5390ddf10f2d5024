// Opens what prepares profiles and serves releases: tickets for downloads.
import type { Pki } from '../pki/open-pki.ts';
import { openTickets, type Tickets } from './tickets.ts';

interface ProfilesNeeds {
  readonly pki: Pick<Pki, 'keyMaterial'>;
  readonly now: () => number;
}

export async function openProfiles({ pki, now }: ProfilesNeeds): Promise<{ readonly tickets: Tickets }> {
  return { tickets: await openTickets({ keyMaterial: pki.keyMaterial, now }) };
}
