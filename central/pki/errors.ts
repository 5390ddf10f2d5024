// The error table of Central's authority, certificates and enrollment.
import { defineErrors, type ErrorTable } from '../../shared/errors.ts';

export const PKI_ERRORS = {
  certificate_unreadable: {
    status: 422,
    text: '{what} cannot be read as a certificate: {found}.',
    hint: 'Send it as PEM (-----BEGIN CERTIFICATE-----), the certificate of the server first, the root last.',
  },
  key_material_damaged: {
    status: 500,
    text: 'What the store keeps as "{name}" cannot be used: {found}.',
    hint: 'Restore the data folder of Central from a backup. Central does not create a new one: every agent would have to enroll again.',
  },
  key_encryption_key_bad: {
    text: 'The key-encryption key in {origin} cannot be used: it is {found}; allowed are 32 bytes, as they are or as base64 or hex.',
    hint: 'Restore the key of this data folder. For a new data folder, create one with: openssl rand -base64 32. Do not use a password: it can be guessed.',
  },
  key_encryption_key_missing: {
    text: 'The private keys in the store are encrypted with the key {expected}, which was not found.',
    hint: 'Restore the file key-encryption-key in the data folder, or name the key (keyEncryption.file, QUEUEGATE_KEY_ENCRYPTION_KEY, the systemd credential queuegate-key). Nothing was changed.',
  },
  key_encryption_key_elsewhere: {
    text: 'The private keys in the store are encrypted with the key {expected}, which another node has; this node has {found}.',
    hint: 'Copy the key from the host of {nodes}: the file that keyEncryption.file names there, or key-encryption-key in its data folder. Put it on this host (owner: the account of Central, mode 0600), name it with keyEncryption.file in central.conf, and start again. No key was made here, and nothing was changed.',
  },
  key_encryption_key_wrong: {
    text: 'The private keys in the store are encrypted with the key {expected}; {origin} holds the key {found}.',
    hint: 'Restore the key {expected}. To change the key, name the old one with keyEncryption.previousFile beside the new one, once. Nothing was changed.',
  },
  distinguished_name_bad: {
    status: 422,
    text: '"{found}" is not a distinguished name: {reason}.',
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
    hint: 'The authority in use stays. Send the key with its certificate and every issuer up to the root, as PKCS#12 or PEM.',
  },
  authority_known: {
    status: 409,
    text: 'The authority {thumbprint} exists already; its role is {role}.',
    hint: 'No import is needed: see "queuegate ca show".',
  },
  authority_unknown: {
    status: 404,
    text: 'There is no authority {thumbprint}.',
    hint: 'List them with "queuegate ca show".',
  },
  authority_in_use: {
    status: 409,
    text: 'The key of the authority {thumbprint} cannot be deleted: its role is {role}, and only a retired one is out of use.',
    hint: 'See "queuegate ca rotation show" for the steps that lead there.',
  },
  authority_next_there: {
    status: 409,
    text: 'The authority {thumbprint} is prepared already.',
    hint: 'Let it sign ("queuegate ca rotation switch"), or roll it back ("queuegate ca rotation rollback"), before you prepare another one.',
  },
  export_password_weak: {
    status: 422,
    text: 'The password for the key of the authority {found}.',
    hint: 'Choose one of at least 12 characters that is used for nothing else: the file and the password together are enough to impersonate Central.',
  },
  certificate_file_missing: {
    status: 422,
    text: 'There is no certificate in {file}.',
    hint: 'Send the certificate of the server and every issuer up to the root, as PEM, PKCS#7 or PKCS#12.',
  },
  certificate_not_requested: {
    status: 409,
    text: 'No certificate in {file} belongs to the open request{found}.',
    hint: 'Install the answer to the newest request ("queuegate server-certificate request create" makes one; its key stays in Central), or import a certificate with its key ("queuegate server-certificate import").',
  },
  certificate_nothing_staged: {
    status: 409,
    text: 'No certificate is staged.',
    hint: 'Stage one first: "queuegate server-certificate install FILE --stage" or "queuegate server-certificate import FILE --stage".',
  },
  certificate_request_missing: {
    status: 409,
    text: 'No request for a certificate is open.',
    hint: 'Create one: queuegate server-certificate request create',
  },
  certificate_no_previous: {
    status: 409,
    text: 'There is no previous certificate to restore.',
    hint: 'See "queuegate server-certificate show"; "queuegate server-certificate issue" issues a new one.',
  },
  certificate_in_use: {
    status: 409,
    text: 'The certificate {thumbprint} is in use already.',
    hint: 'No action needed. See "queuegate server-certificate show".',
  },
  csr_unreadable: {
    status: 422,
    text: 'The certificate request cannot be read: {found}.',
    hint: 'Send a PKCS#10 request as PEM (-----BEGIN CERTIFICATE REQUEST-----).',
  },
  csr_signature: {
    status: 422,
    text: 'The certificate request is not signed with the key that it names.',
    hint: 'Create the request again on the machine that holds the key.',
  },
  csr_key_type: {
    status: 422,
    text: 'The key of the certificate request is {found}; allowed: ECDSA on the curve P-256.',
    hint: 'Let the agent create its key ("queue-agent enroll").',
  },
  renewal_signature: {
    status: 403,
    text: 'The request for a renewal is not signed by the current key of the agent.',
    hint: 'The agent retries automatically. If the error persists, its data folder is damaged or a copy: give it a new key ("queuegate agents recovery-code create").',
  },
  renewal_certificate_unknown: {
    status: 403,
    text: 'The agent requested to renew the certificate {thumbprint}, which is not its current one.',
    hint: 'The agent retries automatically. If the error persists, its data folder was restored from elsewhere: give it a new key ("queuegate agents recovery-code create").',
  },
  renewal_rate: {
    status: 429,
    text: 'The agent requests certificates too often; allowed again in {seconds} seconds.',
    hint: 'No action needed: the agent retries automatically. If the error persists, look in the log of the agent for what is wrong with the certificates that it receives.',
  },
  certificate_renewed_twice: {
    status: 409,
    text: 'The certificate {thumbprint} was renewed already, with another key, from the address {address}.',
    hint: 'Two machines run with one identity, or this one was restored from an older copy of its data folder. Both keep working; see "queuegate incidents list", and give the copy a new key ("queuegate agents recovery-code create") or an identity of its own.',
  },
  renewal_failed: {
    status: 500,
    text: 'Central could not renew the certificate.',
    hint: 'The agent retries automatically. Look at the log of Central at this time.',
  },
  crl_unavailable: {
    status: 404,
    text: 'There is no revocation list: the authority "{name}" may not sign one (key usage cRLSign).',
    hint: 'Central itself still refuses revoked certificates. For a list, import an authority whose certificate has cRLSign.',
  },
  certificate_revoked: {
    status: 403,
    text: 'The client certificate of this connection was revoked ({reason}).',
    hint: 'To readmit the agent, give it a new key: on Central run "queuegate agents recovery-code create", on its machine the line that it prints.',
  },
  enrollment_closed: {
    status: 403,
    text: 'Enrollment is closed (parameter agents.enrollment).',
    hint: 'Set agents.enrollment to token: queuegate parameters set agents.enrollment=token',
  },
  enrollment_name_reserved: {
    status: 409,
    text: "The name {name} is reserved for the agent on Central's own host.",
    hint: 'Choose another name for this agent (agent.name, --agent-name).',
  },
  enrollment_refused: {
    status: 401,
    text: 'The enrollment token is not valid, or is bound to another agent, or the request was modified in transit.',
    hint: 'Create a new one on Central with "queuegate enrollment-tokens create", and use the line that it prints unchanged.',
  },
  enrollment_token_in_the_clear: {
    status: 400,
    text: 'An enrollment token must not be sent over an unencrypted connection; this request contained one, and the token was revoked.',
    hint: 'Create a new token, and enroll over the wss port, or with an agent that sends the proof instead of the token.',
  },
  enrollment_token_needed: {
    status: 403,
    text: 'Enrollment requires a token (parameter agents.enrollment is token).',
    hint: 'On Central run "queuegate enrollment-tokens create", on this machine the line that it prints; or set agents.enrollment to approve.',
  },
  enrollment_rejected: {
    status: 403,
    text: 'The enrollment request of this machine was rejected by {who}{comment}.',
    hint: 'Ask the administrator for the reason. An administrator can still accept it with "queuegate enrollment-requests accept"; after a day the request expires, and the machine may send another one.',
  },
  enrollment_thumbprint_bad: {
    status: 400,
    text: '"{found}" is not the thumbprint of a key; allowed are its 64 hexadecimal digits, or the first {least} or more of them.',
    hint: 'Take it from "queuegate enrollment-requests list", and compare it with what "queue-agent enroll" printed on the machine.',
  },
  enrollment_request_ambiguous: {
    status: 409,
    text: 'Several enrollment requests have a key that begins with {found}.',
    hint: 'Use more digits of the thumbprint: "queuegate enrollment-requests list" shows all of them.',
  },
  issue_name_missing: {
    status: 422,
    text: 'The name of the agent is {found}; allowed: a host name.',
    hint: 'Set it with --name; "queue-agent certificate request" writes it into the request.',
  },
  device_name_bad: {
    text: '{found} cannot be in the certificate of a port for devices; allowed: host names and addresses.',
    hint: 'Set localApi.tls.names in agent.local.conf to the host names and addresses by which devices connect.',
  },
  device_name_taken: {
    text: '{found} is a name of {owner}: a certificate with it could pass for {owner}.',
    hint: 'Set localApi.tls.names in agent.local.conf to other names, by which devices reach this agent alone.',
  },
  device_rate: {
    text: 'The agent requests certificates for its port for devices too often; the next is possible in {seconds} s.',
    hint: 'No action needed: the agent asks again. Check that it keeps its data folder.',
  },
  device_failed: {
    text: 'Central could not issue the certificate.',
    hint: 'No action needed: the agent asks again. See the log of Central.',
  },
  recovery_code_unknown: {
    status: 401,
    text: 'No agent {name} has this recovery code.',
    hint: 'Type the code again. Wrong codes are answered more and more slowly, the right one is not. To create a new one: "queuegate agents recovery-code create AGENT" on Central.',
  },
  recovery_certificate_mismatch: {
    status: 409,
    text: 'The agent saw a certificate with the pin {found}; Central shows {pin}.',
    hint: 'The TLS connection is intercepted between agent and Central (by an inspecting proxy or an attacker), or Central just changed its certificate. Try again; if it fails, let the agent bypass the proxy, or set central.websocket.proxied=true and name the proxy in websocket.trustedProxies.',
  },
  enrollment_request_bad: {
    status: 400,
    text: 'The enrollment request does not follow the protocol: {found}.',
    hint: 'Use "queue-agent enroll" of a version that matches this Central.',
  },
} as const satisfies ErrorTable;

export const pkiFault = defineErrors(PKI_ERRORS);

export const ROTATION_ERRORS = {
  rotation_wrong_phase: {
    status: 409,
    text: 'The rotation of the authority is {found} since {since}; {step} requires that it is {allowed}.',
    hint: 'See "queuegate ca rotation show" for the phase and the next step, and "queuegate audit list" for who took the one before: with several Centrals it may have been at another node.',
  },
  rotation_nothing_to_confirm: {
    status: 409,
    text: 'The certificate that Central shows is from another authority (it was {origin}) and stays in use: agents would have no new certificate to reconnect over.',
    hint: 'Switch without --confirm-within, or issue a certificate by the own authority of Central first: queuegate server-certificate issue',
  },
} as const satisfies ErrorTable;

export const rotationFault = defineErrors(ROTATION_ERRORS);
