// The agent's errors: what an operator of the daemon may meet. One line that says what happened, one that says the hint.
import { defineErrors } from '../shared/errors.ts';

export const AGENT_ERRORS = {
  // identity and enrollment
  not_enrolled: {
    text: 'This agent is not enrolled with a Central yet.',
    hint: 'On Central run "queuegate enrollment-tokens create"; it prints the line "queue-agent enroll ..." to run here, with the same --profile.',
  },
  already_enrolled: {
    text: 'This agent is enrolled already, as {name} ({id}).',
    hint: 'To enroll it anew (the old one must be removed on Central first), add --replace-identity.',
  },
  identity_damaged: {
    text: 'The identity file {file} cannot be used: {found}.',
    hint: 'Restore it from a backup, or delete the data folder and enroll the agent again.',
  },
  enroll_url_bad: {
    text: 'The address "{found}" is no address of a Central.',
    hint: 'Give it as https://HOST:PORT (secure port, 9150 by default) or http://HOST:PORT, as in the line that Central printed.',
  },
  token_bad: {
    text: 'The token is no enrollment token (it begins with qge_).',
    hint: 'Copy the whole line that Central printed.',
  },
  enrollment_undecided: {
    retryable: true,
    text: 'Nobody has accepted this machine within {seconds} seconds.',
    hint: 'On Central: "queuegate enrollment-requests list", then "queuegate enrollment-requests accept" with the thumbprint {key}. Run this line again then, or wait longer with --wait SECONDS; Central keeps the request for a day.',
  },
  enroll_unproven: {
    text: 'Over plain http nobody proves that Central answers, and this profile is set to wss (central.websocket.secure=true): the roots that it would trust could be those of a stranger.',
    hint: 'Ask over https with the pin ("queuegate ca show" on Central shows it), or enroll with a token, which is proven over http too.',
  },
  recovery_code_bad: {
    text: 'The recovery code is malformed: it has {found} characters; a code has 20 letters and digits, as in XXXXX-XXXXX-XXXXX-XXXXX.',
    hint: 'Type the code that "queuegate agents recovery-code create" printed on Central; upper and lower case are the same, dashes may be left out.',
  },
  recovery_address_missing: {
    text: 'Nothing says where Central is: there is no identity in {folder}, and no central.host in the configuration.',
    hint: 'Name it: queue-agent recover --central-host HOST',
  },
  request_missing: {
    text: 'There is no key in the data folder {folder}, so that no certificate can be for this machine.',
    hint: 'Make the request first: queue-agent certificate request --out agent.csr',
  },
  certificate_file_unfit: {
    text: 'The certificates in {file} cannot be used: {found}.',
    hint: 'Nothing was changed. Take the file that "queuegate agents create" wrote for the request of this machine, as it is.',
  },
  certificate_other_agent: {
    text: 'The certificate in {file} is for the agent {found}, and this machine is enrolled as {id}.',
    hint: 'Take the file that was made for this machine; to make it another agent, delete its data folder first.',
  },
  central_address_missing: {
    text: 'Nothing says where Central is: no central.host in the configuration, and no --central.',
    hint: 'Name it: queue-agent certificate install FILE --central https://HOST:9150, or set central.host in agent.local.conf.',
  },
  pin_bad: {
    text: 'The pin is no pin; it looks like sha256: and 64 hexadecimal digits.',
    hint: 'Copy the whole line that Central printed.',
  },
  pin_missing: {
    text: 'Enrolling over https needs the pin of Central.',
    hint: 'Copy the whole line that Central printed, with --pin sha256:...',
  },
  pin_mismatch: {
    text: '{host} does not show the certificate with the pin {pin}; it shows {found}.',
    hint: 'Nothing was sent. Either the address is another Central, or somebody stands in the line: compare with "queuegate status" on Central.',
  },
  enrollment_refused_by_central: { text: 'Central refused the enrollment: {found}', hint: '{hint}' },
  enrollment_answer_bad: {
    text: 'The answer to the enrollment is not as it must be: {found}.',
    hint: 'Something between this machine and Central answers in its place, or Central is of another version.',
  },
  enrollment_file_bad: {
    text: 'The enrollment file {file} cannot be used: {found}.',
    hint: 'Let Central write it anew (restart Central), or enroll by hand with "queue-agent enroll".',
  },

  // the connection
  central_unreachable: {
    retryable: true,
    text: '{target} cannot be reached: {found}.',
    hint: 'Look at the network, the name and the port; on Central "queuegate status" shows what listens where.',
  },
  connection_refused: {
    retryable: true,
    text: 'Nothing listens at {target}.',
    hint: 'Look whether Central runs and listens on that port for other machines ("queuegate status" there): with websocket.enabled off the plain port is open on Central\'s own host only.',
  },
  host_unknown: {
    retryable: true,
    text: 'The name {host} is not known to the name service.',
    hint: 'Correct central.host in agent.local.conf, or the name service of this machine.',
  },
  connect_timeout: {
    retryable: true,
    text: '{target} did not answer within {seconds} seconds.',
    hint: 'Look whether a firewall lets this port pass.',
  },
  tls_unknown_authority: {
    text: 'The certificate of {target} is signed by "{issuer}", which {truststore} does not trust.',
    hint: 'Import Central\'s root: "queuegate ca trust-bundle" there, then "queue-agent truststore import {truststore} --certificate root.pem" here.',
  },
  tls_wrong_name: {
    text: 'The certificate of {target} does not stand for {host}; it stands for {names}.',
    hint: 'Dial Central by one of these names (central.host), or add {host} to the parameter certificate.subjectAlternativeNames on Central.',
  },
  tls_expired: {
    text: 'The certificate of {target} expired on {date}.',
    hint: 'Renew it on Central. If it did not expire, correct the clock of this machine: it shows {now}.',
  },
  tls_not_yet_valid: {
    text: 'The certificate of {target} is valid from {date} on only.',
    hint: 'Correct the clock of this machine: it shows {now}.',
  },
  tls_authority_expired: {
    text: 'The certificate of the authority "{name}", by which {target} is trusted, expired on {date}.',
    hint: 'Renew the authority on Central and import the new root into {truststore}. If it did not expire, correct the clock of this machine: it shows {now}.',
  },
  tls_authority_not_yet_valid: {
    text: 'The certificate of the authority "{name}", by which {target} is trusted, is valid from {date} on only.',
    hint: 'Correct the clock of this machine: it shows {now}.',
  },
  tls_plain_port: {
    text: '{target} does not speak TLS.',
    hint: 'This is the plain port, or no Central: look at central.websocket.secure.port (9150 by default) in agent.conf.',
  },
  tls_old_protocol: {
    text: '{target} does not offer TLS 1.3.',
    hint: 'Something old stands between this machine and Central and ends TLS: let the agent pass it by.',
  },
  tls_failed: {
    text: 'TLS with {target} failed: {found}.',
    hint: 'Look at what stands between this machine and Central.',
  },
  plain_on_secure_port: {
    text: '{target} speaks TLS, and this agent is set to plain.',
    hint: 'Set central.websocket.secure=true in agent.conf, or look at central.websocket.port (8787 by default).',
  },
  protocol_differs: {
    text: '{target} is a Central of another version: it does not take the protocol {subprotocol}.',
    hint: 'Bring this agent to the version of that Central ("queuegate status" there tells it), or Central to the version of this agent.',
  },
  no_central: {
    text: '{target} is no Central: it answered {found}.',
    hint: 'Look at host and port; the REST API (8443) is not where agents connect.',
  },
  refused: { text: 'Central refused: {found}', hint: '{hint}' },
  closed: {
    retryable: true,
    text: 'The connection to {target} ended: {found}.',
    hint: 'Nothing to do: the agent dials again.',
  },
  binding_unavailable: {
    text: 'The TLS connection to {target} cannot be bound to the session.',
    hint: 'Something between this machine and Central speaks TLS 1.2: let the agent pass it by.',
  },
  next_key: {
    retryable: true,
    text: 'The agent comes back with its fresh key.',
    hint: 'Nothing to do: its certificate was renewed.',
  },
  renewal_unfit: {
    text: 'The renewed certificate that Central sent is not what was asked for: {found}.',
    hint: 'The agent keeps the one it has, and asks again. If it stays so, run "queue-agent doctor" here, and look at "queuegate ca show" on Central.',
  },
  stopped: { text: 'The agent stops.', hint: 'Nothing to do.' },

  // what Central is to be trusted by
  trust_unreadable: {
    text: 'Central named certificates that cannot be read: {found}.',
    hint: 'Bring this agent to the version of that Central ("queuegate status" there tells it).',
  },
  trust_failed: {
    text: 'The truststore could not be changed: {found}.',
    hint: 'Nothing was changed. Look at the disk and the rights of the truststore; Central says it again at the next connection.',
  },
  trust_would_cut_off: {
    text: 'Without what Central wants to be trusted by no more, {file} would hold nothing that verifies the certificate it shows now.',
    hint: 'Nothing was changed. Look at "queuegate ca rotation show" on Central; a proxy between may show a certificate of its own, whose root belongs in the truststore.',
  },
  trust_record_damaged: {
    text: 'The record of what Central gave, {file}, cannot be used: {found}.',
    hint: 'Remove it: what is in the truststore now then counts as put there by a person, and stays.',
  },
  truststore_read_only: {
    text: 'The truststore {file} is read-only.',
    hint: 'Let it be written (chmod u+w), and Central\'s roots come in by themselves; or import them: "queuegate ca trust-bundle" on Central, "queue-agent truststore import" here.',
  },

  // the doctor
  daemon_not_online: { text: 'The daemon runs and is not online ({state} since {since}): {found}', hint: '{hint}' },
  daemon_silent: {
    text: 'A daemon holds the data folder {folder}, and its local API does not answer.',
    hint: 'It may be starting or stopping: run the doctor again in a moment, or look at its log.',
  },
  doctor_other_account: {
    text: 'Authentication was not tried: no daemon answers, and the data folder {folder} belongs to another account ({owner}).',
    hint: 'Run the doctor as that account, or start the daemon and run the doctor again: it then asks the daemon.',
  },

  // the local API
  local_port_taken: {
    retryable: true,
    text: 'Port {port} on {address} is taken by another process: the local API does not listen there.',
    hint: 'Stop that process, and the agent takes the port within seconds; or set local.api.port in agent.local.conf to a free port (0: any).',
  },
  local_port_refused: {
    retryable: true,
    text: 'The local API cannot listen on port {port}: {found}.',
    hint: 'Set local.api.port in agent.local.conf to another port.',
  },
  local_group_unknown: {
    text: 'The group "{group}" (local-api.group) does not exist on this host. Only the account of the agent may use the socket.',
    hint: 'Create the group, or correct local-api.group in agent.local.conf; then restart the agent.',
  },
  local_group_refused: {
    text: 'The socket {path} cannot be given to the group "{group}": {found}. Only the account of the agent may use it.',
    hint: 'Make the account of the agent a member of that group, and restart the agent.',
  },
  local_unauthorized: {
    status: 401,
    text: 'The local token is missing or wrong.',
    hint: 'Send "Authorization: Bearer TOKEN" with the token from the file local-api.json in the data folder of the agent.',
  },
  local_browser_refused: {
    status: 403,
    text: 'Requests of web pages are refused (found: {found}).',
    hint: 'Call the local API from a program, as http://127.0.0.1:PORT or http://localhost:PORT, without the headers Origin and Sec-Fetch-Site.',
  },
  local_owner_only: {
    status: 403,
    text: 'Only the account of the agent may do this.',
    hint: 'Run "queue-agent consumers rotate-token" as that account, or send the request over the socket in its data folder.',
  },
  local_consumer_unknown: {
    status: 404,
    text: 'There is no consumer "{found}".',
    hint: 'The only consumer is "default".',
  },
  local_busy: {
    status: 503,
    text: 'The local API is busy: {found}.',
    hint: 'Try again later; close connections that are not used, and read answers to their end.',
  },
  local_call_refused: { text: 'The daemon refused: {found}', hint: '{hint}' },
  local_not_found: {
    status: 404,
    text: 'There is nothing at {method} {path}.',
    hint: 'The local API has POST /api/v1/events, GET /api/v1/commands, POST /api/v1/commands/ack and GET /api/v1/status.',
  },
  local_body_too_large: {
    status: 413,
    text: 'The body is larger than {maxBytes} bytes.',
    hint: 'Post fewer events at once.',
  },
  local_body_bad: {
    status: 400,
    text: 'The body cannot be used: {found}.',
    hint: 'Send one CloudEvents event as JSON, or an array of them.',
  },
  local_parameter_unknown: {
    status: 400,
    text: 'There is no query parameter {found}; allowed: {allowed}.',
    hint: 'Correct its name, or remove it.',
  },
  local_query_bad: { status: 400, text: '{name} is "{found}"; allowed: {allowed}.', hint: 'Correct the query.' },
} as const;

export const agentFault = defineErrors(AGENT_ERRORS);
