// The tables of subscriptions. What an administrator sets is a JSON document, since it is read and written whole; how
// far the subscription is changes with each delivery.

export const SUBSCRIPTIONS = `
  CREATE TABLE subscription (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL COLLATE NOCASE UNIQUE,
    document TEXT NOT NULL,
    version INTEGER NOT NULL DEFAULT 1,
    epoch INTEGER NOT NULL DEFAULT 1,
    cursor INTEGER NOT NULL,
    lost_count INTEGER NOT NULL DEFAULT 0,
    lost_at INTEGER
  ) STRICT;
  CREATE TABLE subscription_delivery (
    subscription TEXT NOT NULL,
    number INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (subscription, number)
  ) STRICT, WITHOUT ROWID;
`;

/** The events behind this cursor are not delivered to some subscription; null: there is none. */
export const UNDELIVERED_AFTER = 'SELECT min(cursor) AS undelivered FROM subscription';
