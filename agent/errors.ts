// The agent's errors: what an operator of the daemon may meet. One line that says what happened, one that says the
// hint.
import { CodedError, defineErrors } from '../shared/errors.ts';

export const AGENT_ERRORS = {
  // identity and enrollment
  not_enrolled: {
    text: 'This agent is not enrolled yet.',
    hint: 'On Central run "queuegate enrollment-tokens create", and run the "queue-agent enroll ..." line that it prints here, with the same --profile.',
  },
  already_enrolled: {
    text: 'This agent is already enrolled, as {name} ({id}).',
    hint: 'To enroll it again, delete the old agent on Central first, then add --replace-identity.',
  },
  identity_damaged: {
    text: 'The identity file {file} cannot be used: {found}.',
    hint: 'Restore it from a backup, or delete the data folder and enroll the agent again.',
  },
  enroll_url_bad: {
    text: '"{found}" is not an address of a Central.',
    hint: 'Use https://HOST:PORT (9150 by default) or http://HOST:PORT, as in the line that Central printed.',
  },
  token_bad: {
    text: 'Malformed enrollment token; a token begins with qge_.',
    hint: 'Copy the whole line that Central printed.',
  },
  enrollment_undecided: {
    retryable: true,
    text: 'The enrollment was not accepted within {seconds} seconds.',
    hint: 'On Central run "queuegate enrollment-requests list", then "queuegate enrollment-requests accept" with the thumbprint {key}. Then run this command again, or wait longer, such as with --wait 1h. Central keeps the request for a day.',
  },
  enroll_unproven: {
    text: 'Plain http does not prove which Central answers, and this profile is set to wss (central.websocket.secure=true): the roots that it would trust could belong to an attacker.',
    hint: 'Enroll over https with the pin ("queuegate ca show" on Central shows it), or with a token, which is proven over http too.',
  },
  recovery_code_bad: {
    text: 'Malformed recovery code: it has {found} characters; allowed: 20 letters and digits, as in XXXXX-XXXXX-XXXXX-XXXXX.',
    hint: 'Enter the code that "queuegate agents recovery-code create" printed on Central. Case does not matter, and dashes may be left out.',
  },
  recovery_address_missing: {
    text: 'The address of Central is unknown: {folder} holds no identity, and central.host is not configured.',
    hint: 'Add it: queue-agent recover --central-host HOST',
  },
  request_missing: {
    text: 'The data folder {folder} holds no key, so no certificate can belong to this machine.',
    hint: 'Create the request first: queue-agent certificate request --out agent.csr',
  },
  certificate_file_unfit: {
    text: 'The certificates in {file} cannot be used: {found}.',
    hint: 'Nothing was changed. Use the unchanged file that "queuegate agents create" wrote for the request of this machine.',
  },
  certificate_other_agent: {
    text: 'The certificate in {file} belongs to the agent {found}, but this machine is enrolled as {id}.',
    hint: 'Use the file that was issued for this machine. To make it another agent, delete its data folder first.',
  },
  central_address_missing: {
    text: 'The address of Central is unknown: central.host is not configured, and --central is missing.',
    hint: 'Add it: queue-agent certificate install FILE --central https://HOST:9150, or set central.host in agent.local.conf.',
  },
  pin_bad: {
    text: 'Malformed pin; allowed: sha256: and 64 hexadecimal digits.',
    hint: 'Copy the whole line that Central printed.',
  },
  pin_missing: {
    text: 'Enrollment over https needs the pin of Central.',
    hint: 'Copy the whole line that Central printed, with --pin sha256:...',
  },
  pin_mismatch: {
    text: '{host} does not present the certificate with the pin {pin}; it presents {found}.',
    hint: 'Nothing was sent. Either this is another Central, or the connection is intercepted: compare with "queuegate status" on Central.',
  },
  enrollment_refused_by_central: { text: 'Central refused the enrollment: {found}', hint: '{hint}' },
  enrollment_answer_bad: {
    text: 'Invalid answer to the enrollment: {found}.',
    hint: "Check for a proxy that answers in Central's place, and compare the versions of agent and Central.",
  },
  enrollment_file_bad: {
    text: 'The enrollment file {file} cannot be used: {found}.',
    hint: 'Restart Central, which writes the file again, or enroll manually with "queue-agent enroll".',
  },

  // the connection
  central_unreachable: {
    retryable: true,
    text: '{target} cannot be reached: {found}.',
    hint: 'Check the network, the name and the port; "queuegate status" on Central shows what listens where.',
  },
  connection_refused: {
    retryable: true,
    text: 'Nothing listens at {target}.',
    hint: 'Check that Central runs and listens on that port for other machines ("queuegate status" there). With websocket.enabled=false the ws port is open on Central\'s own host only.',
  },
  host_unknown: {
    retryable: true,
    text: 'The host name {host} cannot be resolved.',
    hint: 'Correct central.host in agent.local.conf, or the name resolution of this machine.',
  },
  connect_timeout: {
    retryable: true,
    text: '{target} did not answer within {seconds} seconds.',
    hint: 'Check that firewalls allow this port.',
  },
  proxy_unreachable: {
    retryable: true,
    text: 'The proxy {proxy} ({origin}) cannot be reached: {found}.',
    hint: 'Correct the host and port of the proxy, or set central.proxy=none in agent.local.conf to connect without it.',
  },
  proxy_login_required: {
    retryable: true,
    text: 'The proxy {proxy} requires a login (HTTP {status}): {found}.',
    hint: 'Set central.proxy=http://USER@HOST:PORT in agent.local.conf, and write the password into the file that central.proxy.passwordFile names. The proxy has to accept the scheme Basic, or this machine without a login.',
  },
  proxy_forbids: {
    retryable: true,
    text: 'The proxy {proxy} does not allow connections to {target}: {found}.',
    hint: 'Allow CONNECT to port {port} of that host in the proxy (Squid: add the port to SSL_ports; Tinyproxy: ConnectPort {port}).',
  },
  proxy_host_unknown: {
    retryable: true,
    text: 'The proxy {proxy} cannot resolve the host name {host}: {found}.',
    hint: 'Correct central.host in agent.local.conf, or the name resolution of the proxy: it resolves the name, not this machine.',
  },
  proxy_target_unreachable: {
    retryable: true,
    text: 'The proxy {proxy} cannot reach {target}: {found}.',
    hint: 'Check that Central runs, and that the host of the proxy can reach that host and port.',
  },
  proxy_answer_bad: {
    retryable: true,
    text: '{proxy} ({origin}) is not an HTTP proxy that supports CONNECT: {found}.',
    hint: 'Correct the host and port of the proxy, or set central.proxy=none in agent.local.conf to connect without it.',
  },
  tls_unknown_authority: {
    text: 'The certificate of {target} is signed by "{issuer}", which {truststore} does not trust.',
    hint: 'If "{issuer}" belongs to a proxy that inspects TLS, exempt the connection to Central from inspection there. If not: {hint}',
  },
  tls_issuer_missing: {
    text: 'The certificate of {target} is signed by "{issuer}", whose certificate that host does not send and {truststore} does not trust.',
    hint: 'If "{issuer}" is an intermediate, add its certificate to the certificate file of that host or proxy, behind its own (nginx: ssl_certificate). If it belongs to a proxy that inspects TLS, exempt the connection to Central there. If it is a root: {hint}',
  },
  tls_wrong_name: {
    text: 'The certificate of {target} is not valid for {host}; it is valid for {names}.',
    hint: 'Connect to Central by one of these names (central.host), or add {host} to the parameter certificate.subjectAlternativeNames on Central.',
  },
  tls_expired: {
    text: 'The certificate of {target} expired on {date}.',
    hint: 'Renew it on Central. If it has not expired, correct the clock of this machine, which shows {now}.',
  },
  tls_not_yet_valid: {
    text: 'The certificate of {target} is not valid before {date}.',
    hint: 'Correct the clock of this machine, which shows {now}.',
  },
  tls_date_unreadable: {
    text: 'The certificate of {target}, or of an authority above it, has a date that is not in the calendar.',
    hint: 'Reissue it: "queuegate server-certificate issue" on Central issues one for its hosts. Behind a proxy that inspects TLS, reissue the certificate of the proxy.',
  },
  tls_authority_expired: {
    text: 'The certificate of the authority "{name}", which {target} is trusted by, expired on {date}.',
    hint: 'Renew the authority on Central and import the new root into {truststore}. If it has not expired, correct the clock of this machine, which shows {now}.',
  },
  tls_authority_not_yet_valid: {
    text: 'The certificate of the authority "{name}", which {target} is trusted by, is not valid before {date}.',
    hint: 'Correct the clock of this machine, which shows {now}. If it is right, import a root that is valid now into {truststore}.',
  },
  tls_plain_port: {
    text: '{target} does not speak TLS.',
    hint: 'This is the ws port, or another server. Check central.websocket.secure.port (9150 by default) in agent.conf.',
  },
  tls_old_protocol: {
    text: '{target} does not offer TLS 1.3.',
    hint: 'A proxy between this machine and Central terminates TLS with an old version: enable TLS 1.3 in it (nginx: ssl_protocols TLSv1.3), or exempt the agent from it.',
  },
  tls_failed: {
    text: 'The TLS handshake with {target} failed: {found}.',
    hint: 'Check the proxies and firewalls between this machine and Central.',
  },
  plain_on_secure_port: {
    text: '{target} speaks TLS, but this agent is set to ws.',
    hint: 'Set central.websocket.secure=true in agent.conf, or check central.websocket.port (8787 by default).',
  },
  proxy_drops_upgrade: {
    retryable: true,
    text: 'A proxy on the way to {target} removes the header Upgrade, so no WebSocket can be opened.',
    hint: 'Let the proxy pass Upgrade and Connection over HTTP/1.1 (nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"). For a proxy of this network, connect with CONNECT instead: central.proxy.',
  },
  proxy_gateway_failed: {
    retryable: true,
    text: '{target} is a proxy that gets no answer from Central: it answered {found}.',
    hint: 'Check that Central runs, and the host and port to which the proxy forwards (nginx: proxy_pass; HAProxy: server).',
  },
  session_cut_regularly: {
    retryable: true,
    text: 'The connection to {target} was cut {count} times in a row, each time after about {seconds} seconds.',
    hint: 'A proxy or firewall on the way ends it: raise its timeout for idle connections (nginx: proxy_read_timeout; HAProxy: timeout tunnel) and its limit of their lifetime, or set the parameter agents.heartbeatSeconds on Central to less than {seconds}.',
  },
  protocol_differs: {
    text: '{target} is a Central of another version: it does not support the protocol {subprotocol}.',
    hint: 'Install the same version on both sides ("queuegate status" on Central shows its version).',
  },
  no_central: {
    text: '{target} is not a Central: it answered {found}.',
    hint: 'Check the host and the port. Agents do not connect to the port of the REST API (8443).',
  },
  refused: { text: 'Central refused: {found}', hint: '{hint}' },
  closed: {
    retryable: true,
    text: 'The connection to {target} ended: {found}.',
    hint: 'No action needed: the agent reconnects automatically.',
  },
  binding_unavailable: {
    text: 'The session cannot be bound to the TLS connection to {target}.',
    hint: 'A device between this machine and Central speaks TLS 1.2: exempt the agent from it.',
  },
  next_key: {
    retryable: true,
    text: 'The agent reconnects with its new key.',
    hint: 'No action needed: its certificate was renewed.',
  },
  renewal_unfit: {
    text: 'The renewed certificate from Central does not match the request: {found}.',
    hint: 'The agent keeps its present certificate and retries. If this continues, run "queue-agent doctor" here and check "queuegate ca show" on Central.',
  },
  stopped: { text: 'The agent is stopping.', hint: 'No action needed.' },
  taken_over: {
    retryable: true,
    text: 'The connection of a release on trial took the session over.',
    hint: 'No action needed.',
  },

  // releases
  release_record_damaged: {
    text: 'The record of releases {file} cannot be used: {found}.',
    hint: 'The agent runs with the profile of its command line. Delete the file, then upgrade the agent from Central again.',
  },
  release_missing: {
    text: 'The folder of the release {release} is missing: {folder}.',
    hint: 'The agent runs with {instead}. Upgrade it from Central again.',
  },
  release_download_failed: {
    retryable: true,
    text: 'The download of the release stopped: {found}.',
    hint: 'No action needed: the agent continues where it stopped. If it repeats, check the network to Central.',
  },
  release_answer_bad: {
    retryable: true,
    text: 'Central answered a download with {found}, which is not what the instruction names.',
    hint: 'The agent tries it again. If it repeats, look for a device on the way that changes traffic, or use wss.',
  },
  release_blob_damaged: {
    retryable: true,
    text: 'A file of the release was damaged on the way: the SHA-256 should be {blob}, found: {found}.',
    hint: 'The agent downloads it again. If it repeats, look for a device on the way that changes traffic, or use wss.',
  },
  release_ticket_refused: {
    text: 'Central refused the ticket of the download: {found}.',
    hint: 'No action needed if it has expired: Central repeats the offer with a new one. If it repeats, retry the rollout.',
  },
  release_unavailable: {
    text: 'Central does not have a file of the release: {found}.',
    hint: 'Prepare the release again on Central, and start a new rollout.',
  },
  release_wrong_kind: {
    text: 'The release {release} is of the kind {found}, where {expected} is expected.',
    hint: 'Nothing was changed. Start a new rollout with a release of the right kind.',
  },
  release_incomplete: {
    retryable: true,
    text: 'The release {release} was incomplete after it was written to the disk.',
    hint: 'The agent writes it again. If it repeats, check the disk.',
  },
  release_timeout: {
    text: 'The release {release} was not finished within {hours} hours.',
    hint: 'The agent stays on its release. Check its connection to Central, then retry the rollout.',
  },
  release_failed: {
    text: 'The release could not be installed: {found}.',
    hint: 'The agent stays on its release. Look at its log, then retry the rollout.',
  },
  trial_without_session: {
    retryable: true,
    text: 'The session of the present release ended during the trial.',
    hint: 'No action needed: the agent tries the release again once it is online.',
  },
  trial_inconclusive: {
    retryable: true,
    text: 'The trial of the release {release} says nothing about it: {found}',
    hint: 'The agent stays on its release, and repeats the trial three times. If that does not help, retry the rollout once Central and the connection work again.',
  },
  trial_ended: {
    retryable: true,
    text: 'The trial of a release ended.',
    hint: 'No action needed: the agent reconnects with the previous release.',
  },
  profile_drift: {
    text: 'Files of the release {release} have changed on the disk of the agent: {files}.',
    hint: 'Upgrade the agent to the same release again, which repairs them. Local settings belong in agent.local.conf.',
  },

  // what Central is to be trusted by
  trust_unreadable: {
    text: 'The certificates that Central sent to be trusted by cannot be read: {found}.',
    hint: 'Install the agent of the same version as Central ("queuegate status" on Central shows it).',
  },
  trust_failed: {
    text: 'The certificates that Central is trusted by could not be replaced: {found}.',
    hint: 'Nothing was changed. Check the disk and the permissions of the data folder; Central repeats the update at the next connection.',
  },
  trust_would_cut_off: {
    text: 'Without the certificates that Central withdraws, the agent would not verify the certificate that Central presents now.',
    hint: 'Nothing was changed. Check "queuegate ca rotation show" on Central. If a proxy presents a certificate of its own, import its root into the truststore of the profile.',
  },
  trust_file_damaged: {
    text: '{file}, the certificates that Central gave, cannot be read: {found}.',
    hint: 'Delete it. If the truststore of the profile does not hold the root of Central, import it there: Central repeats the rest at the next connection.',
  },
  truststore_of_system: {
    text: '{found} in jetty.jvm.args means the certificate store of the operating system, which this agent does not read; the truststore {file}, which it would use instead, does not exist.',
    hint: 'Get the root certificate of Central as a file, from that store or by "queuegate ca trust-bundle" on Central, and import it: {command}',
  },

  // the doctor
  daemon_not_online: { text: 'The daemon is running but not online ({state} since {since}): {found}', hint: '{hint}' },
  daemon_never_ran: {
    text: 'No daemon has run with the data folder {folder} yet.',
    hint: 'Start it: queue-agent start --profile {profile}',
  },
  daemon_not_answering: {
    text: 'The daemon of {folder} does not answer at {where}.',
    hint: 'Start it: queue-agent start --profile {profile}',
  },
  daemon_silent: {
    text: 'A daemon uses the data folder {folder}, but its local API does not answer.',
    hint: 'It may be starting or stopping: run the doctor again in a moment, or check its log.',
  },
  doctor_other_account: {
    text: 'Authentication was not tested: no daemon answers, and the data folder {folder} belongs to another account ({owner}).',
    hint: 'Run the doctor as that account, or start the daemon first: the doctor then asks the daemon.',
  },

  // the local API
  local_port_taken: {
    retryable: true,
    text: 'Port {port} on {address} is in use by another process, so the local API does not listen there.',
    hint: 'Stop that process, and the agent takes the port within seconds; or set localApi.port in agent.local.conf to a free port (0: any).',
  },
  local_port_refused: {
    retryable: true,
    text: 'The local API cannot listen on port {port}: {found}.',
    hint: 'Set localApi.port in agent.local.conf to another port.',
  },
  local_group_unknown: {
    text: 'The group "{group}" ({setting}) does not exist on this host. Only the account of the agent may use {path}.',
    hint: 'Create the group, or correct {setting} in agent.local.conf; then restart the agent.',
  },
  local_group_refused: {
    text: '{path} cannot be assigned to the group "{group}" ({setting}): {found}. Only the account of the agent may use it.',
    hint: 'Make the account of the agent a member of that group, and restart the agent.',
  },
  local_unauthorized: {
    status: 401,
    text: 'The local token is missing or wrong.',
    hint: 'Send "Authorization: Bearer TOKEN" with the token from local-api.json in the data folder of the agent, or from the token file of the consumer ("queue-agent consumers list" shows it).',
  },
  local_browser_refused: {
    status: 403,
    text: 'Requests of web pages are refused (found: {found}).',
    hint: 'Call the local API from a program, as http://127.0.0.1:PORT or http://localhost:PORT, without the headers Origin and Sec-Fetch-Site.',
  },
  local_owner_only: {
    status: 403,
    text: 'Only the account of the agent may do this.',
    hint: 'Run "queue-agent consumers" as that account, or send the request over the socket in its data folder.',
  },
  local_task_events_only: {
    status: 403,
    text: 'The token of a task is for posting events only.',
    hint: 'Send POST /api/v1/events with it. A program that takes commands uses the token of a consumer.',
  },
  local_consumer_unknown: {
    status: 404,
    text: 'Unknown consumer "{found}".',
    hint: 'Use "default", or a consumer of agent.conf (consumer.NAME.types). "queue-agent consumers list" shows all.',
  },
  consumer_setting_bad: {
    text: '{setting} ({where}): found {found}; allowed: {allowed}.',
    hint: 'Correct it in that file. docs/LOCAL-API.md describes consumers.',
  },
  service_setting_bad: {
    text: '{setting} ({where}): found {found}; allowed: {allowed}.',
    hint: 'Correct it in that file. docs/SERVICES.md describes services.',
  },
  task_setting_bad: {
    text: '{setting} ({where}): found {found}; allowed: {allowed}.',
    hint: 'Correct it in that file. docs/TASKS.md describes the handlers of tasks.',
  },
  local_tokens_hidden: {
    text: 'The group "{group}" of the consumer "{consumer}" cannot read {path}: it may not enter the folder {folder}.',
    hint: 'Set localApi.consumers.folder in agent.local.conf to a folder that the group may enter, such as /var/lib/queue-agent/consumers.',
  },
  ack_beyond_delivered: {
    status: 409,
    text: 'The cursor {through} is beyond the last command that was delivered to the consumer "{consumer}" ({delivered}).',
    hint: 'Take the commands with GET /api/v1/commands, and acknowledge the cursor of the last one that was worked off.',
  },
  cursor_unknown: {
    status: 400,
    text: 'The cursor {found} does not belong to the consumer "{consumer}".',
    hint: 'Acknowledge a cursor that GET /api/v1/commands returned for this token.',
  },
  local_busy: {
    status: 503,
    text: 'The local API is busy: {found}.',
    hint: 'Retry later. Close unused connections, and read each answer to its end.',
  },
  local_call_refused: { text: 'The daemon refused: {found}', hint: '{hint}' },
  local_not_found: {
    status: 404,
    text: 'Unknown route: {method} {path}.',
    hint: 'Use a route of docs/LOCAL-API.md; GET /api/v1/openapi.json lists them.',
  },
  local_method_not_allowed: {
    status: 405,
    text: '{method} is not allowed for {path}; allowed: {allowed}.',
    hint: 'Use one of the methods in the header Allow.',
  },
  local_not_acceptable: {
    status: 406,
    text: 'Accept is "{found}"; allowed: {allowed}.',
    hint: 'Send Accept: application/json or text/event-stream, or no Accept.',
  },
  inbox_full: {
    text: 'The inbox is full: {messages} commands with {bytes} bytes are not acknowledged; allowed: {maxMessages} commands and {maxBytes} bytes. The consumer "{consumer}" has not acknowledged {waiting} of them.',
    hint: 'Start the program of the consumer "{consumer}" ("queue-agent consumers list" shows its token file); it has to acknowledge its commands. {hint}',
  },
  local_content_type: {
    status: 415,
    text: 'The content type of the body is "{found}"; allowed: {allowed}.',
    hint: 'Send the body as JSON, with Content-Type: application/json.',
  },
  local_body_too_large: {
    status: 413,
    text: 'The body is larger than {maxBytes} bytes.',
    hint: 'Send fewer events at once.',
  },
  local_body_bad: {
    status: 400,
    text: 'Invalid body: {found}.',
    hint: 'Send JSON as docs/LOCAL-API.md describes it for this route.',
  },
  local_parameter_unknown: {
    status: 400,
    text: 'Unknown query parameter {found}; allowed: {allowed}.',
    hint: 'Correct its name, or remove it.',
  },
  local_query_bad: { status: 400, text: '{name} is "{found}"; allowed: {allowed}.', hint: 'Correct the query.' },
  local_cursor_invalid: {
    status: 400,
    text: 'The cursor in "after" does not belong to this list.',
    hint: 'Send the "next" of the page before, or leave "after" out to begin with the newest.',
  },
  local_request_unreadable: {
    status: 400,
    text: 'Malformed HTTP request.',
    hint: 'Send HTTP/1.1, as an HTTP client does.',
  },
  local_request_timeout: {
    status: 408,
    text: 'The request did not arrive in time.',
    hint: 'Send the whole request at once, with a valid token.',
  },
  local_headers_too_large: {
    status: 431,
    text: 'The headers are larger than {maxBytes} bytes.',
    hint: 'Send fewer or shorter headers.',
  },
  local_stopping: {
    status: 503,
    text: 'The agent is stopping.',
    hint: 'Reconnect when it runs again.',
  },
  local_failed: {
    status: 500,
    text: 'The agent could not answer this request.',
    hint: 'Look in the log of the agent for the request id of this answer.',
  },
} as const;

export const agentFault = defineErrors(AGENT_ERRORS);

/** What Central or the daemon refused, with its HTTP status: a command line exits by it. */
export function refusalOf(
  code: 'enrollment_refused_by_central' | 'local_call_refused',
  status: number,
  parameters: { readonly found: string; readonly hint: string },
): CodedError {
  return new CodedError(code, { ...AGENT_ERRORS[code], status, retryable: false }, parameters);
}
