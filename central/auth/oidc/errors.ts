// The errors of sign-in with OpenID Connect. A browser sees them on the sign-in page.
import { defineErrors, type ErrorTable } from '../../../shared/errors.ts';

export const OIDC_ERRORS = {
  oidc_off: {
    status: 404,
    text: 'This Central has no OpenID provider with which to sign in.',
    hint: 'Sign in with an API token. An administrator sets the provider in central.conf (oidc.issuer, docs/DASHBOARD.md).',
  },
  oidc_unreachable: {
    status: 503,
    text: 'The OpenID provider {issuer} did not answer: {found}.',
    hint: 'Try again, or sign in with an API token. On the host of Central, check that {issuer}/.well-known/openid-configuration can be read (curl).',
  },
  oidc_untrusted: {
    status: 503,
    text: 'The certificate of the OpenID provider {issuer} is not trusted: {found}.',
    hint: 'Sign in with an API token. If the provider has a certificate of your own authority, name that in oidc.caFile in central.conf, and restart Central.',
  },
  oidc_answer_bad: {
    status: 403,
    text: 'The answer of the OpenID provider {issuer} is not accepted: {found}.',
    hint: 'Sign in again. If this goes on, compare oidc.issuer, oidc.clientId and the secret in oidc.clientSecretFile with the settings of the client at the provider.',
  },
  oidc_denied: {
    status: 403,
    text: 'The OpenID provider {issuer} refused the sign-in: {found}.',
    hint: 'Sign in again. If this goes on, ask an administrator of the provider: it does not admit this account to this client, or does not know the address {address} or one of the scopes.',
  },
  oidc_sign_in_unknown: {
    status: 400,
    text: 'This sign-in is not known: this browser did not begin it, it was used already, or it took longer than {minutes} minutes.',
    hint: 'Sign in again at {address}.',
  },
  oidc_no_role: {
    status: 403,
    text: '"{name}" may not use this Central: none of the groups has a role here: {groups}.',
    hint: 'Ask an administrator of the provider for a group that has a role, or an administrator of Central for a role of one of these groups (oidc.roles in central.conf).',
  },
  oidc_groups_missing: {
    status: 403,
    text: 'The OpenID provider does not tell the groups of "{name}": the claim {claim} is missing.',
    hint: 'At the provider, add the claim to the ID token or to the userinfo of this client. If it has another name, or comes with another scope, set oidc.groupsClaim or oidc.scopes in central.conf.',
  },
  oidc_busy: {
    status: 503,
    text: 'Too many sign-ins with the OpenID provider are in progress.',
    hint: 'Sign in again in a few seconds.',
  },
  oidc_file_bad: {
    text: 'The file {file} of {setting} holds {found}.',
    hint: 'Write {allowed} into it.',
  },
} as const satisfies ErrorTable;

export const oidcFault = defineErrors(OIDC_ERRORS);
