// The error table of Central's authority, certificates and enrollment.
import { defineErrors, type ErrorTable } from '../../shared/errors.ts';

export const PKI_ERRORS = {
  certificate_unreadable: {
    status: 422,
    text: '{what} is no certificate that can be read: {found}.',
    hint: 'Give it as PEM (-----BEGIN CERTIFICATE-----), the certificate of the server first, the root last.',
  },
  key_material_damaged: {
    status: 500,
    text: 'What the store keeps as "{name}" cannot be used: {found}.',
    hint: 'Restore the data folder of Central from a backup. Central makes no new one by itself: every agent would have to enroll again.',
  },
  key_encryption_key_bad: {
    text: 'The key-encryption key in {origin} is no key: it holds {found}; allowed are 32 bytes, as they are or as base64 or hex.',
    hint: 'Put back the key of this data folder. A new one for a new data folder: openssl rand -base64 32. A password is no key: it is guessed.',
  },
  key_encryption_key_missing: {
    text: 'The private keys in the store are sealed with the key {expected}, and there is none.',
    hint: 'Put back the file key-encryption-key in the data folder, or name the key (key.encryption.file, QUEUEGATE_KEY_ENCRYPTION_KEY, the systemd credential queuegate-key). Nothing was changed.',
  },
  key_encryption_key_wrong: {
    text: 'The private keys in the store are sealed with the key {expected}; {origin} holds the key {found}.',
    hint: 'Give the key {expected} back. To change the key, name the old one with key.encryption.previous.file beside the new one, once. Nothing was changed.',
  },
  distinguished_name_bad: {
    status: 422,
    text: '"{found}" is no distinguished name: {reason}.',
    hint: 'Write it as in CN=central.bank.example, O=Bank, C=CH.',
  },
  server_certificate_unfit: {
    status: 422,
    text: 'The server certificate cannot be used: {found}.',
    hint: 'The certificate in use stays. Correct what is named, and try again.',
  },
  authority_unfit: {
    status: 422,
    text: 'The authority cannot be used: {found}.',
    hint: 'The authority in use stays. Give the key with its certificate and everything up to the root, as PKCS#12 or PEM.',
  },
  authority_known: {
    status: 409,
    text: 'The authority {thumbprint} is here already; its role is {role}.',
    hint: 'Look at "queuegate ca show": nothing has to be imported.',
  },
  authority_unknown: {
    status: 404,
    text: 'There is no authority {thumbprint}.',
    hint: 'See "queuegate ca show" for those there are.',
  },
  authority_in_use: {
    status: 409,
    text: 'The authority {thumbprint} cannot be forgotten: its role is {role}, and only a retired one is out of use.',
    hint: 'See "queuegate ca rotation show" for the steps that lead there.',
  },
  authority_next_there: {
    status: 409,
    text: 'The authority {thumbprint} waits already to be the next one.',
    hint: 'Let it sign ("queuegate ca rotation switch"), or take it back ("queuegate ca rotation rollback"), before another one is prepared.',
  },
  export_password_weak: {
    status: 422,
    text: 'The password for the key of the authority {found}.',
    hint: 'Take one of at least 12 characters that is used for nothing else: whoever has the file and the password can pretend to be Central.',
  },
  certificate_file_missing: {
    status: 422,
    text: 'There is no certificate in {file}.',
    hint: 'Give the certificate of the server and everything up to the root, as PEM, PKCS#7 or PKCS#12.',
  },
  certificate_not_requested: {
    status: 409,
    text: 'No certificate in {file} belongs to the request that is out{found}.',
    hint: 'Install the answer to the newest request ("queuegate server-certificate request create" makes one; its key stays in Central), or import a certificate with its key ("queuegate server-certificate import").',
  },
  certificate_nothing_staged: {
    status: 409,
    text: 'No certificate is staged.',
    hint: 'Stage one first: "queuegate server-certificate install FILE --stage" or "queuegate server-certificate import FILE --stage".',
  },
  certificate_no_previous: {
    status: 409,
    text: 'There is no earlier certificate to go back to.',
    hint: 'See "queuegate server-certificate show"; "queuegate server-certificate issue" makes a new one.',
  },
  certificate_in_use: {
    status: 409,
    text: 'The certificate {thumbprint} is in use already.',
    hint: 'Nothing to do. See "queuegate server-certificate show".',
  },
  csr_unreadable: {
    status: 422,
    text: 'The certificate request cannot be read: {found}.',
    hint: 'Send a PKCS#10 request as PEM (-----BEGIN CERTIFICATE REQUEST-----).',
  },
  csr_signature: {
    status: 422,
    text: 'The certificate request is not signed with the key that it names.',
    hint: 'Make the request again on the machine that holds the key.',
  },
  csr_key_type: {
    status: 422,
    text: 'The key of the certificate request is {found}; allowed: ECDSA on the curve P-256.',
    hint: 'Let the agent make its key by itself ("queue-agent enroll").',
  },
  renewal_signature: {
    status: 403,
    text: 'The request for a renewal is not signed by the current key of the agent.',
    hint: 'The agent retries automatically. If it stays so, its data folder is damaged or a copy: let it have a new key ("queuegate agents recovery-code create").',
  },
  renewal_certificate_unknown: {
    status: 403,
    text: 'The agent asks to renew the certificate {thumbprint}, which is not its current one.',
    hint: 'The agent retries automatically. If it stays so, its data folder was restored from elsewhere: let it have a new key ("queuegate agents recovery-code create").',
  },
  renewal_rate: {
    status: 429,
    text: 'The agent asks for certificates too often; allowed again in {seconds} seconds.',
    hint: 'No action needed: the agent asks again automatically. If it goes on, look at the log of the agent for what is wrong with the certificates that it gets.',
  },
  certificate_renewed_twice: {
    status: 409,
    text: 'The certificate {thumbprint} was renewed already, with another key, from the address {address}.',
    hint: 'Two machines run with one identity, or this one went back to an older copy of its data folder. Both go on as they are; look at "queuegate incidents list", and let the one that was copied have a new key ("queuegate agents recovery-code create") or an identity of its own.',
  },
  renewal_failed: {
    status: 500,
    text: 'Central could not renew the certificate.',
    hint: 'The agent retries automatically. Look at the log of Central at this time.',
  },
  crl_unavailable: {
    status: 404,
    text: 'There is no revocation list: the authority "{name}" may not sign one (key usage cRLSign).',
    hint: 'Central itself refuses what is revoked all the same. For a list, import an authority whose certificate has cRLSign.',
  },
  certificate_revoked: {
    status: 403,
    text: 'The client certificate of this connection was revoked ({reason}).',
    hint: 'If the agent may come back, let it have a new key: on Central run "queuegate agents recovery-code create", on its machine the line that it prints.',
  },
  enrollment_closed: {
    status: 403,
    text: 'Central takes no new agents (parameter agents.enrollment is closed).',
    hint: 'Set agents.enrollment to token: queuegate parameters set agents.enrollment=token',
  },
  enrollment_name_reserved: {
    status: 409,
    text: "The name {name} is kept for the agent on Central's own host.",
    hint: 'Give this agent another name (agent.name, --agent-name).',
  },
  enrollment_refused: {
    status: 401,
    text: 'The enrollment token is not valid, or was made for another agent, or the request was changed on its way.',
    hint: 'Make a new one on Central with "queuegate enrollment-tokens create" and use the line that it prints as it is.',
  },
  enrollment_token_in_the_clear: {
    status: 400,
    text: 'An enrollment token may not cross an unencrypted line; this request carried one, and the token was withdrawn.',
    hint: 'Make a new token, and enroll over the secure port, or with an agent that sends the proof instead of the token.',
  },
  enrollment_token_needed: {
    status: 403,
    text: 'Central takes new agents with an enrollment token only (parameter agents.enrollment is token).',
    hint: 'On Central run "queuegate enrollment-tokens create", on this machine the line that it prints; or set agents.enrollment to approve.',
  },
  enrollment_rejected: {
    status: 403,
    text: 'This machine was not accepted: {who} rejected it{comment}.',
    hint: 'Ask there why. An administrator can still accept it with "queuegate enrollment-requests accept"; after a day it is forgotten, and the machine may ask again.',
  },
  enrollment_thumbprint_bad: {
    status: 400,
    text: '"{found}" is no thumbprint of a key; it has 64 hexadecimal digits, of which the first {least} or more are enough.',
    hint: 'Take it from "queuegate enrollment-requests list", and compare it with what "queue-agent enroll" printed on the machine.',
  },
  enrollment_request_ambiguous: {
    status: 409,
    text: 'Several machines have asked with a key that begins with {found}.',
    hint: 'Give more of the thumbprint: "queuegate enrollment-requests list" shows all of it.',
  },
  issue_name_missing: {
    status: 422,
    text: 'The name of the agent is {found}; it has to be a host name.',
    hint: 'Give it with --name; "queue-agent certificate request" writes it into the request.',
  },
  recovery_code_unknown: {
    status: 401,
    text: 'There is no agent {name} with this recovery code.',
    hint: 'Type the code again as it was read out. Wrong codes are answered more and more slowly; the right one is not. A new one: "queuegate agents recovery-code create AGENT" on Central.',
  },
  recovery_certificate_mismatch: {
    status: 409,
    text: 'The agent was shown the certificate with the pin {found}, Central shows {pin}.',
    hint: 'Something between agent and Central opens the TLS connection (a proxy that inspects, or an attacker), or Central changed its certificate in this moment. Try again; then let the agent pass it by, or set central.websocket.proxied=true and name the proxy in websocket.trustedProxies.',
  },
  enrollment_request_bad: {
    status: 400,
    text: 'The enrollment request is not as the protocol has it: {found}.',
    hint: 'Use "queue-agent enroll" of the version that belongs to this Central.',
  },
} as const satisfies ErrorTable;

export const pkiFault = defineErrors(PKI_ERRORS);

export const ROTATION_ERRORS = {
  rotation_wrong_phase: {
    status: 409,
    text: 'The rotation of the authority is {found}; {step} is for one that is {allowed}.',
    hint: 'See "queuegate ca rotation show" for where it stands and what comes next.',
  },
  rotation_agents_missing: {
    status: 409,
    text: 'The new authority is not trusted yet by {count}: {names}.',
    hint: '"queuegate ca rotation show" says why for each. With --force it signs all the same: agents that trust the one before still find the way, until that one is retired.',
  },
  rotation_still_needed: {
    status: 409,
    text: '{step} would leave behind {count}: {names}.',
    hint: '"queuegate ca rotation show" says why for each: wait until they have come back and renewed, remove them, or go on with --force.',
  },
  rotation_nothing_to_confirm: {
    status: 409,
    text: 'The certificate that Central shows is from another authority (it was {origin}) and stays: nothing would be shown that agents could come back over.',
    hint: 'Switch without --confirm-within; or go back to a certificate of the own authority first: queuegate server-certificate issue',
  },
} as const satisfies ErrorTable;

export const rotationFault = defineErrors(ROTATION_ERRORS);
