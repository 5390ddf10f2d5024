// The secrets of webhooks and their signatures (Standard Webhooks 1.0, standardwebhooks.com). No secret is stored: each is
// derived from one key of the installation and the seed of the subscription, so that a backup and its restore have them.
import { createHash, createHmac, randomBytes } from 'node:crypto';
import { isCoded } from '../../shared/errors.ts';
import { auditEntry, CENTRAL } from '../audit.ts';
import type { KeyMaterialStore } from '../store/key-material-store.ts';
import type { SubscriptionRecord } from '../store/subscriptions/subscription-store.ts';

const SUBJECT = 'subscriptions';
const KEY_NAME = `${SUBJECT}.key`;
const PREFIX = 'whsec_';

export interface WebhookSecrets {
  /** `whsec_` and base64: what the receiver verifies with. */
  secretOf(id: string, seed: string): string;
}

export function createSecrets(key: Buffer): WebhookSecrets {
  return {
    secretOf: (id, seed) =>
      `${PREFIX}${createHmac('sha256', key).update(`queuegate.v1 webhook\n${id}\n${seed}`).digest('base64')}`,
  };
}

/** The key is created at the first start, and read at each later one. */
export async function openSecrets(needs: {
  readonly keyMaterial: Pick<KeyMaterialStore, 'load' | 'put'>;
  readonly now: () => number;
}): Promise<WebhookSecrets> {
  const { keyMaterial, now } = needs;
  const { version, rows } = await keyMaterial.load(SUBJECT);
  const kept = rows.find(({ name }) => name === KEY_NAME);
  if (kept !== undefined) return createSecrets(Buffer.from(kept.value, 'base64url'));
  const value = randomBytes(32).toString('base64url');
  try {
    await keyMaterial.put(
      [{ subject: SUBJECT, version, entries: [{ name: KEY_NAME, value }] }],
      auditEntry(CENTRAL, 'subscriptions.create-key', {}, now()),
    );
    return createSecrets(Buffer.from(value, 'base64url'));
  } catch (error) {
    // Another Central on this store was first.
    if (isCoded(error, 'key_material_conflict')) return await openSecrets(needs);
    throw error;
  }
}

export function newSeed(): string {
  return randomBytes(16).toString('base64url');
}

/** The secrets that sign now: the current one, and for a day after a rotation the one before. */
export function currentSecrets(
  secrets: WebhookSecrets,
  { id, secret: { seed, previous } }: Pick<SubscriptionRecord, 'id' | 'secret'>,
  now: number,
): readonly string[] {
  const old = previous !== null && previous.expiresAt > now ? [secrets.secretOf(id, previous.seed)] : [];
  return [secrets.secretOf(id, seed), ...old];
}

/** The same for each attempt with this batch; another one after a replay. */
export function webhookId({ id, epoch }: Pick<SubscriptionRecord, 'epoch' | 'id'>, body: string): string {
  return `msg_${createHash('sha256').update(`${id}\n${epoch}\n`).update(body).digest('base64url').slice(0, 27)}`;
}

/** The headers of one attempt. `at`: milliseconds. */
export function signedHeaders(
  secrets: readonly string[],
  { id, at, body }: { readonly id: string; readonly at: number; readonly body: string },
): Readonly<Record<string, string>> {
  const timestamp = String(Math.floor(at / 1000));
  const signatures = secrets.map((secret) => {
    const key = Buffer.from(secret.slice(PREFIX.length), 'base64');
    return `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')}`;
  });
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') };
}
