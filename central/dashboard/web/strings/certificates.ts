// The English of the page Certificates.
import { number, plural } from '../format.ts';

const agents = (count: number): string => plural(count, 'agent');

export const CERTIFICATES_TEXTS = {
  title: 'Certificates',
  sub: (count: number) => `Central's authority, its certificates and those of ${agents(count)}.`,
  subShort: "Central's authority, its certificates and those of agents.",
  trustBundle: 'Trust bundle',
  trustBundleHint: 'The roots that agents trust, as PEM',
  showAll: (count: number) => `Show all ${number(count)}`,
  showMore: (count: number) => `Show ${number(count)} more`,
  showFirst: 'Show the first only',
  // Rotation.
  rotation: 'Rotation of the authority',
  phaseSince: 'in this phase',
  step: { done: ', done', now: ', current step', next: ', not started' },
  steps: { prepare: 'Prepare', publish: 'Publish', switch: 'Switch', retire: 'Retire' },
  stepTexts: {
    prepare: 'The next authority is created. No agent trusts it yet.',
    prepared: (root: string) => `Root ${root} was created. No agent trusts it yet.`,
    created: 'The next authority was created.',
    publish: 'Agents get the new root, in addition to the present one.',
    published: (trusting: number, all: number, unencrypted: number) =>
      `${number(trusting)} of ${agents(all)} ${trusting === 1 ? 'trusts' : 'trust'} the new root${
        unencrypted === 0 ? '.' : `; ${number(unencrypted)} on ws ${unencrypted === 1 ? 'is' : 'are'} not counted.`
      }`,
    sent: 'Agents got the new root.',
    switch: 'The new authority signs; agents renew over their sessions.',
    switched: (renewed: number, all: number) =>
      `The new authority signs. ${number(renewed)} of ${agents(all)} ${renewed === 1 ? 'has' : 'have'} a certificate of it.`,
    signs: 'The new authority signs.',
    retire: 'The previous root is trusted no longer.',
    retired: 'The previous root is trusted no longer. Its key is kept for a rollback.',
  },
  ready: 'ready',
  notReady: 'not ready',
  idle: 'No rotation is in progress. The authority signs until it is replaced here, in four steps; each can be rolled back.',
  waitsConfirm: 'The switch waits for its confirmation: see the bar at the top of the page.',
  profilesStale: (count: number) => `${plural(count, 'truststore')} on Central's host could not be updated`,
  scoped: 'Your token has a scope: the rotation concerns all agents, and is not shown.',
  // Acts of the rotation.
  begin: { prepare: 'Begin a rotation', publish: 'Publish', switch: 'Switch', retire: 'Retire', rollback: '' },
  without: (act: string, count: number) => `${act} without ${agents(count)}…`,
  notYet: (count: number) => `${agents(count)} ${count === 1 ? 'is' : 'are'} not ready yet`,
  locked: 'Another change awaits its confirmation',
  back: 'Back one step…',
  backAct: 'Go back one step',
  backTitle: 'Go back one step of the rotation',
  backDone: 'The rotation is back by one step.',
  backTexts: {
    prepared: 'The prepared authority is deleted. No agent trusts it yet.',
    published: 'The new root is removed from what agents trust. Nothing was signed by it.',
    switched: 'The previous authority signs again; Central and its agents get certificates of it.',
    retired: 'The retired authority is trusted again.',
  } as Readonly<Record<string, string>>,
  actTitles: {
    prepare: 'Begin a rotation: create the next authority',
    publish: 'Publish the new root',
    switch: 'Switch to the new authority',
    retire: 'Retire the previous authority',
  },
  actTexts: {
    prepare:
      'Central creates the next authority. It signs nothing yet, and no agent trusts it. Keys of authorities that were retired are deleted.',
    publish:
      'Agents get the new root in addition to the present one, over their sessions. The present authority signs.',
    switch:
      'The new authority signs from now on: Central gets a certificate of it, and agents renew theirs over their sessions.',
    retire:
      'The previous root is removed from what agents trust. An agent that does not trust the new one cannot connect any more.',
  },
  done: {
    prepare: 'The next authority is prepared.',
    publish: 'The new root is published.',
    switch: 'The new authority signs.',
    retire: 'The previous authority is retired.',
  },
  safer: 'Safer: wait until they are ready; agents that are away get the new root when they connect.',
  ownAuthority: 'Import an authority of the organization instead of creating one',
  authorityHint: 'PKCS#12, JKS or PEM with its key and its chain',
  // Who is missing.
  waitsFor: (count: number) => `Waits for ${agents(count)}`,
  whyWaits: 'Why',
  todo: 'What to do',
  since: 'Since',
  anyReason: 'All',
  reasons: {
    offline: ['Offline', 'Switch it on. It gets the new root when it connects, until Retire.'],
    refused: ['Refused the new root', 'Correct the cause on its machine; it is offered again within ten minutes.'],
    'awaiting-ack': ['Offered, not answered yet', 'No action needed: agents answer within a minute.'],
    unsupported: ['Takes no roots from Central', 'Upgrade it, or import the trust bundle there by hand.'],
    'certificate-missing': [
      'Certificate of the previous authority',
      'No action needed while it is online: it renews over its session.',
    ],
  } as Readonly<Record<string, readonly [string, string]>>,
  readyNow: 'Ready now',
  more: (count: number) => `${agents(count)} more since then.`,
  crossCertificate: 'Agents that are away can follow later: until Retire, Central also presents a cross-certificate.',
  noOneMissing: 'No agent is missing: the next step cuts off none.',
  // Expiry.
  expiry: 'Expiry',
  expiryCount: (count: number) => `${plural(count, 'certificate')}, soonest first`,
  certificate: 'Certificate',
  kind: 'Kind',
  ends: 'Ends',
  renewal: 'Renewal',
  kinds: {
    authority: 'authority',
    server: 'server',
    signing: 'signing',
    trust: 'trusted root',
    agent: 'agent',
  } as Readonly<Record<string, string>>,
  slots: { current: 'Central', staged: 'Central, staged', previous: 'Central, previous' } as Readonly<
    Record<string, string>
  >,
  root: (thumbprint: string) => `Root ${thumbprint}`,
  endedAgo: (days: number) => (days === 0 ? 'today' : `${number(days)} d ago`),
  scale: ['expired', '25 days', '90 days', '200 days', '1 year'],
  radar: (expired: number, month: number, later: number) =>
    `Certificates by days left: ${number(expired)} expired, ${number(month)} within 30 days, ${number(later)} later`,
  renews: (date: string) => `Renews on ${date}, at half of its lifetime`,
  renewalDue: (date: string) => `Due since ${date}; happens over its session`,
  renewalOffline: (state: string) => `Due, but it is ${state.toLowerCase()}`,
  inGrace: (days: number) => `Expired; renewed at its next session, within ${plural(days, 'day')} of grace`,
  pastGrace: 'Expired, past the grace period',
  outOfService: (state: string) => `None: the agent is ${state.toLowerCase()}`,
  reissued: 'Reissued when a third is left',
  notReissued: 'Another authority issued it: not renewed automatically',
  byRotation: 'By a rotation of the authority',
  beingRotated: 'Being rotated',
  notRenewed: 'Not renewed',
  kept: 'Kept to restore it',
  todos: {
    none: 'No action needed',
    recovery: 'Create a recovery code',
    switchOn: 'Switch it on, or delete the agent',
    look: 'Look why it does not renew',
    replace: 'Request or import its successor',
    rotate: 'Begin a rotation in time',
    overBundle: 'Remove it from the truststores, or replace it',
  },
  noEnding: 'No certificate ends within 90 days.',
  // Central's certificate.
  own: 'Certificate of Central',
  inUse: 'In use',
  pending: 'Awaits confirmation',
  facts: {
    names: 'Names',
    issuer: 'Issuer',
    valid: 'Valid',
    pin: 'Pin',
    thumbprint: 'Thumbprint',
    staged: 'Staged',
    previous: 'Previous',
    request: 'Request',
  },
  origins: { issued: "Central's authority", signed: 'another authority', imported: 'imported' } as Readonly<
    Record<string, string>
  >,
  keptUntil: (date: string) => `until ${date}, kept`,
  stagedUntil: (date: string) => `until ${date}, not in use yet`,
  requestOpen: 'open: its answer can be installed',
  // Acts on it.
  moreActs: 'More acts on the certificate',
  swaps: {
    issue: 'Reissue',
    install: 'Install the answer',
    import: 'Import',
    activate: 'Activate',
    restore: 'Restore the previous one',
  },
  swapTitles: {
    issue: 'Reissue the certificate of Central',
    install: 'Install the answer to the request',
    import: 'Import a certificate with its key',
    activate: 'Activate the staged certificate',
    restore: 'Restore the previous certificate',
  },
  swapTexts: {
    issue: "Central's authority issues a new certificate with a new key, for the names that Central has now.",
    install: 'The certificate that another authority issued for the open request takes the place of the present one.',
    import: 'The certificate in the file takes the place of the present one. Its key is encrypted in the store.',
    activate: 'The staged certificate takes the place of the present one; agents trust its root already.',
    restore: 'The previous certificate takes the place of the present one.',
  },
  swapped: 'Central presents the new certificate.',
  staging: (untrusting: number) =>
    untrusting === 0
      ? 'All agents trust it already: it can be activated at once.'
      : `${agents(untrusting)} ${untrusting === 1 ? 'does' : 'do'} not trust it yet: its root is sent to agents, and it is activated when none is left.`,
  stagedNow: 'The certificate is staged: agents get its root now.',
  use: 'Use',
  uses: [
    ['false', 'Now'],
    ['true', 'Stage it: agents get its root first'],
  ] as readonly (readonly [string, string])[],
  installHint: 'PEM or PKCS#7, with its chain',
  importHint: 'PEM, PKCS#12 or JKS, with its key and its chain',
  request: 'Request from another authority…',
  showRequest: 'Show the open request…',
  requestTitle: 'Certificate request for another authority',
  requestSub: 'The private key stays in Central.',
  requestMake: 'Create the request',
  requestNext: 'Send it to the authority, and install its answer here. The certificate in use stays until then.',
  copyRequest: 'Copy the request',
  keyAlgorithm: 'Key',
  keyAlgorithms: [
    ['ec', 'EC P-256'],
    ['rsa', 'RSA'],
  ] as readonly (readonly [string, string])[],
  removals: {
    request: {
      act: 'Delete the request',
      title: 'Delete the open request',
      text: 'Its key is deleted: the answer of the authority can no longer be installed.',
      tick: 'Delete the request and its key.',
      doneText: 'The request is deleted.',
    },
    staged: {
      act: 'Delete the staged one',
      title: 'Delete the staged certificate',
      text: 'Its root is removed from what agents trust. The certificate in use stays.',
      tick: 'Delete the staged certificate.',
      doneText: 'The staged certificate is deleted.',
    },
  },
  deleteKey: 'Delete the key',
  deleteKeyTitle: 'Delete the key of a retired authority',
  deleteKeyText: 'The rotation that retired it can no longer be rolled back.',
  deleteKeyTick: 'Delete the key for good.',
  keyDeleted: 'The key of the retired authority is deleted.',
  // Authorities.
  authorities: 'Authorities',
  roles: { current: 'Signs', prepared: 'Prepared', next: 'Next', previous: 'Previous', retired: 'Retired' } as Readonly<
    Record<string, string>
  >,
} as const;
