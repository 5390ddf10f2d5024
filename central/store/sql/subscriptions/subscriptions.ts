// Writes and reads the rows of subscriptions and of their attempts (central/store/subscriptions/subscription-store.ts).
import type { SqlDatabase } from '../../../../shared/sqlite/sql.ts';
import { integer, integerOrNull, text, type Row } from '../../../../shared/sqlite/row.ts';
import { storeFault } from '../../errors.ts';
import {
  MAX_DELIVERIES,
  MAX_SUBSCRIPTIONS,
  type DeliveryAttempt,
  type DeliveryRecord,
  type NewSubscription,
  type SubscriptionChange,
  type SubscriptionProgress,
  type SubscriptionRecord,
} from '../../subscriptions/subscription-store.ts';

const COLUMNS = 'id, name, document, version, epoch, cursor, lost_count, lost_at';

export function subscriptionWrites(database: SqlDatabase) {
  const count = database.prepare('SELECT count(*) AS subscriptions FROM subscription');
  const named = database.prepare('SELECT id FROM subscription WHERE name = ?');
  const get = database.prepare(`SELECT ${COLUMNS} FROM subscription WHERE id = ?`);
  const insert = database.prepare('INSERT INTO subscription (id, name, document, cursor) VALUES (?, ?, ?, ?)');
  const update = database.prepare(
    'UPDATE subscription SET name = ?, document = ?, cursor = ?, epoch = ?, version = version + 1 WHERE id = ?',
  );
  const remove = database.prepare('DELETE FROM subscription WHERE id = ?');
  const removeDeliveries = database.prepare('DELETE FROM subscription_delivery WHERE subscription = ?');
  const find = (id: string): SubscriptionRecord => {
    const row = get.get(id);
    if (row === undefined) throw storeFault('subscription_unknown', { id });
    return recordOf(row);
  };
  const assertFree = (name: string, id: string): void => {
    const row = named.get(name);
    if (row !== undefined && text(row, 'id') !== id)
      throw storeFault('subscription_name_taken', { name, id: text(row, 'id') });
  };

  return {
    ...progressWrites(database),
    /** Errors: subscription_name_taken, subscriptions_full. */
    createSubscription({ id, name, cursor, ...document }: NewSubscription): SubscriptionRecord {
      assertFree(name, id);
      if (integer(count.get(), 'subscriptions') >= MAX_SUBSCRIPTIONS)
        throw storeFault('subscriptions_full', { most: MAX_SUBSCRIPTIONS });
      insert.run(id, name, JSON.stringify(document), cursor);
      return find(id);
    },

    /** Errors: subscription_unknown, subscription_name_taken, version_conflict. */
    changeSubscription(id: string, change: SubscriptionChange, version: number | null): SubscriptionRecord {
      const before = find(id);
      if (version !== null && version !== before.version)
        throw storeFault('version_conflict', {
          subject: `the subscription ${before.name}`,
          found: before.version,
          expected: version,
        });
      const {
        name,
        cursor,
        id: _,
        version: __,
        epoch,
        lostCount: ___,
        lostAt: ____,
        ...document
      } = {
        ...before,
        ...change,
      };
      assertFree(name, id);
      update.run(name, JSON.stringify(document), cursor, change.cursor === undefined ? epoch : epoch + 1, id);
      return find(id);
    },

    /** Errors: subscription_unknown. */
    removeSubscription(id: string): void {
      find(id);
      remove.run(id);
      removeDeliveries.run(id);
    },
  };
}

function progressWrites(database: SqlDatabase) {
  const isCurrent = database.prepare('SELECT 1 FROM subscription WHERE id = ? AND epoch = ?');
  const move = database.prepare('UPDATE subscription SET cursor = ? WHERE id = ?');
  const lose = database.prepare('UPDATE subscription SET lost_count = lost_count + ?, lost_at = ? WHERE id = ?');
  const last = database.prepare('SELECT max(number) AS last FROM subscription_delivery WHERE subscription = ?');
  const add = database.prepare('INSERT INTO subscription_delivery (subscription, number, document) VALUES (?, ?, ?)');
  const forget = database.prepare('DELETE FROM subscription_delivery WHERE subscription = ? AND number <= ?');
  return {
    recordProgress(id: string, epoch: number, { attempt, cursor, lost }: SubscriptionProgress): void {
      if (isCurrent.get(id, epoch) === undefined) return;
      if (attempt !== undefined) {
        const number = (integerOrNull(last.get(id), 'last') ?? 0) + 1;
        add.run(id, number, JSON.stringify(attempt));
        forget.run(id, number - MAX_DELIVERIES);
      }
      if (cursor !== undefined) move.run(cursor, id);
      if (lost !== undefined) lose.run(lost.count, lost.at, id);
    },
  };
}

export function subscriptionReads(database: SqlDatabase) {
  const list = database.prepare(`SELECT ${COLUMNS} FROM subscription ORDER BY name`);
  const deliveries = database.prepare(
    'SELECT number, document FROM subscription_delivery WHERE subscription = ? AND number < ? ORDER BY number DESC LIMIT ?',
  );
  return {
    listSubscriptions: (): SubscriptionRecord[] => list.all().map(recordOf),
    listDeliveries: (id: string, before: number, limit: number): DeliveryRecord[] =>
      deliveries.all(id, before, limit).map((row) => ({
        // Written from an attempt only.
        ...(JSON.parse(text(row, 'document')) as DeliveryAttempt),
        number: integer(row, 'number'),
      })),
  };
}

type Document = Omit<SubscriptionRecord, 'cursor' | 'epoch' | 'id' | 'lostAt' | 'lostCount' | 'name' | 'version'>;

function recordOf(row: Row): SubscriptionRecord {
  return {
    // Written from a record only.
    ...(JSON.parse(text(row, 'document')) as Document),
    id: text(row, 'id'),
    name: text(row, 'name'),
    version: integer(row, 'version'),
    epoch: integer(row, 'epoch'),
    cursor: integer(row, 'cursor'),
    lostCount: integer(row, 'lost_count'),
    lostAt: integerOrNull(row, 'lost_at'),
  };
}
