// The errors of subscriptions: what a request about one is refused with, and why deliveries fail.
import { defineErrors, type ErrorTable } from '../../shared/errors.ts';

export const SUBSCRIPTION_ERRORS = {
  subscription_target_invalid: {
    status: 422,
    text: 'The target is not a URL that Central sends events to: {found}.',
    hint: 'Use https, a host name or a public address, and no user name: https://HOST/PATH. Addresses of private networks are allowed by the parameter webhooks.allowedAddresses; http only on an allowed address of this host.',
  },
  subscription_ca_invalid: {
    status: 422,
    text: 'The authorities of the target cannot be read: {found}.',
    hint: 'Send certificates in PEM in "ca", those of the authorities that sign the certificate of the target.',
  },
  webhook_address_denied: {
    text: '{host} has the address {address}, to which Central sends no events.',
    hint: 'If the receiver is in your network, add its address or its range to the parameter webhooks.allowedAddresses.',
  },
  webhook_unreachable: {
    text: 'The receiver cannot be reached: {found}.',
    hint: 'Check that it runs, and its name, port and firewall. Central tries again by itself.',
  },
  webhook_tls_failed: {
    text: 'The certificate of the receiver is not trusted: {found}.',
    hint: 'If an authority of your own signs it, set that in "ca" of the subscription. Otherwise renew the certificate of the receiver. Central tries again by itself.',
  },
  webhook_timeout: {
    text: 'The receiver has not answered within {seconds} s.',
    hint: 'Answer with 204 as soon as the events are stored, and process them afterwards. Central tries again by itself.',
  },
  webhook_refused: {
    text: 'The receiver answered with the status {status}.',
    hint: 'Find the cause in the log of the receiver by the header webhook-id. Success is any status from 200 to 299; redirects are not followed. Central tries again by itself.',
  },
  webhook_gone: {
    text: 'The receiver answered with the status 410: it wants no more events.',
    hint: 'Correct the target with "queuegate subscriptions set", then "queuegate subscriptions resume"; or delete the subscription.',
  },
  subscription_failing: {
    text: 'The subscription {name} delivers nothing since {startedAt}: {found}',
    hint: '"queuegate subscriptions show {name}" names the cause and what to do.',
  },
  subscription_paused: {
    text: 'The subscription {name} is paused: {found}',
    hint: 'Remove the cause, then run "queuegate subscriptions resume {name}".',
  },
  subscription_events_lost: {
    text: 'Up to {count} events were deleted before they were delivered to the subscription {name}, the last ones at {lostAt}.',
    hint: 'Correct the receiver sooner, or raise events.undeliveredRetentionDays. The message ends a day after the last loss.',
  },
} as const satisfies ErrorTable;

export const subscriptionFault = defineErrors(SUBSCRIPTION_ERRORS);
