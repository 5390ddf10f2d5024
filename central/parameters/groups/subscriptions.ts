// The parameters of subscriptions to events (central/subscriptions).

/** `group`: that of messages. */
export function subscriptionDefinitions<const G extends string>(group: G) {
  return {
    'events.undeliveredRetentionDays': {
      group,
      type: 'integer',
      unit: 'days',
      minimum: 1,
      maximum: 3650,
      default: 90,
      description:
        'How long events stay that are not yet delivered to every subscription, if that is longer than events.retentionDays. While disk space is low, events.retentionDays applies to them, too.',
      reason: 'A receiver that fails for a month is noticed and repaired before events are lost.',
      applying: 'At the next pruning. Deleted entries are not restored.',
    },
    'webhooks.allowedAddresses': {
      group,
      type: 'list',
      of: 'cidr',
      maxItems: 64,
      default: [],
      description:
        'Addresses of private networks, and of this host, to which subscriptions may send events, as CIDR (10.0.0.0/8) or single addresses. Public addresses are always allowed.',
      reason: 'Without this rule, a subscription could send requests into the network of Central.',
      applying: 'With the next attempt of a delivery.',
    },
  } as const;
}
