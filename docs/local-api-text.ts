// The words of docs/LOCAL-API.md around the routes, which local-api.ts makes from their table.
import type { Operation } from '../agent/local-api/types.ts';

export const WHO: Readonly<Record<Operation['who'], string>> = {
  none: 'anyone on this host',
  producer: 'any consumer, a running task, the owner',
  any: 'any consumer, the owner',
  own: 'the consumer itself, the owner',
  owner: 'the owner',
};

/** By heading of the route. */
export const EXAMPLES: Readonly<Record<string, readonly string[]>> = {
  'POST /api/v1/events': [
    '{ "type": "com.example.ticket.printed", "data": { "ticket": "A017" } }',
    '{ "items": [{ "id": "ebf304b1-500f-4f0d-9b65-7c47932a920d", "source": "/agents/branch-0042", "outcome": "stored", "number": 1 }], "next": null }',
  ],
  'GET /api/v1/commands': [
    '{ "items": [{ "cursor": 12, "command": { "specversion": "1.0", "id": "c-7", "source": "/central", "type": "com.example.display.show", "data": { "text": "A017" } } }], "next": null }',
  ],
  'POST /api/v1/commands/ack': ['{ "through": 12 }'],
};

export const LOCAL_API_INTRODUCTION = `# Local API

Programs on the host of an agent post events for Central and receive commands from it, over HTTP. This page is generated
from the table of routes and the validation schemas (\`npm run docs\`); the running agent serves the same content as
\`GET /api/v1/openapi.json\`.

- [Where it listens](#where-it-listens)
- [Tokens](#tokens)
- [Consumers](#consumers)
- [Conventions](#conventions)
- [Routes](#routes)
- [Streams](#streams)
- [Bounds](#bounds)

A program in a few lines:

\`\`\`sh
TOKEN=$(sed 's/.*"token":"\\([^"]*\\).*/\\1/' data/agent/local-api.json)
curl -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' http://127.0.0.1:8888/api/v1/events -d '{"type":"ticket.issued"}'
curl -H "Authorization: Bearer $TOKEN" 'http://127.0.0.1:8888/api/v1/commands?waitSeconds=55'
curl -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' http://127.0.0.1:8888/api/v1/commands/ack -d '{"through":1}'
\`\`\`

## Where it listens

- A Unix socket (not on Windows): \`local-api.sock\` in the data folder, unless \`localApi.socket\` names another path.
  It has mode 0600: only the account of the agent may connect. This **owner** needs no token and uses the consumer
  \`default\`; with a token it is the consumer of that token. With \`localApi.group\` the socket has mode 0660 and that
  group, and every request needs a token. Put the socket into a folder that the group may enter, such as
  \`/run/queue-agent\`. If the path is longer than 100 bytes, there is no socket, only the port.
- Port \`localApi.port\` on 127.0.0.1. Every request needs a token. Requests from web pages are refused: those with an
  \`Origin\`, with a \`Sec-Fetch-Site\`, or with a \`Host\` other than \`127.0.0.1\`, \`localhost\` and \`[::1]\`.

The agent also starts if another process uses the port or the path. The status then reports a problem
(\`queue-agent status\`, \`problems\` of \`GET /api/v1/status\`), and the agent retries every two seconds.

### The port for devices

Devices in the network of the branch use the same API over TLS 1.2 or later. The port is off by default:

\`\`\`properties
localApi.tls.port = 8989
localApi.tls.names = hub.branch-0042.bank, 10.42.0.5
consumer.tills.types = till.*
localApi.tls.clientCa = conf/security/devices-ca.pem
consumer.tills.certificates = till-1.branch-0042.bank, till-2.branch-0042.bank
\`\`\`

- **Certificate.** The agent makes a key (\`device-port.pem\` in the data folder, mode 0600) and requests the certificate from Central
  over its session, for \`localApi.tls.names\` or else for the name of the host and its addresses. Central refuses its own names
  (\`device_name_taken\`). The agent renews it at half of its lifetime, for other names, and after a rotation of the authority.
- **Trust.** Give each device the roots of Central: \`queuegate ca trust-bundle\`, or \`GET /api/v1/ca/trust-bundle.pem\` of Central.
  It then verifies the host name by which it connects.
- **Token.** Every request, \`/api/v1/health\` included, needs the token of a consumer that the configuration names. The tokens of
  \`default\` and of tasks are refused. Put the token on the device; its file is on the host of the agent ([tokens](#tokens)).
- **Client certificate.** Instead of a token, a device may show a certificate. \`localApi.tls.clientCa\` names a file with the authorities
  (PEM) that issue certificates to devices: use authorities for devices alone. \`consumer.NAME.certificates\` names the host names that
  devices of this consumer have in their certificates (in the subjectAltName, or as the common name). A certificate that has expired, is
  of another authority or has another name is refused ([\`device_caller_denied\`](ERRORS.md#device_caller_denied)). If a request has
  a token too, the token counts. Revocation lists are not read: when a device is lost, remove its name and send SIGHUP; its
  requests are refused from then on, also on open connections. Give the device that replaces it another name.
- **Requests** of web pages are refused, and those with a \`Host\` that the certificate does not have.
- **Changes.** Another certificate, port or address takes effect at SIGHUP or with the release of a profile. Devices that are
  connected stay connected; port 0 cuts them off. The port of local programs is not touched. After a change of the authorities,
  a device with a certificate has to connect again.
- **Closed.** Without a certificate, or with one that has expired, the port takes no connections, and \`queue-agent status\` says why.
  One address may have 128 connections; a handshake takes at most 5 seconds.

\`\`\`sh
curl --cacert central-roots.pem -H "Authorization: Bearer $TOKEN" 'https://hub.branch-0042.bank:8989/api/v1/commands?waitSeconds=55'
curl --cacert central-roots.pem --cert till-1.pem --key till-1.key 'https://hub.branch-0042.bank:8989/api/v1/commands?waitSeconds=55'
\`\`\`

## Tokens

Each consumer has a token file. The file of \`default\` is \`local-api.json\` in the data folder (mode 0600). The file
of the consumer NAME is \`NAME.json\` in \`localApi.consumers.folder\`, by default \`consumers\` in the data folder. It
has mode 0600, or mode 0640 and the group of \`consumer.NAME.group\`, so that a program under another account can read
it. \`queue-agent consumers list\` shows all consumers with their files.

The file contains the current addresses of the API, and the token:
\`{"socket": path or null, "url": address or null, "token": "qgl_...", "previous": ...}\`. \`url\` is null while another
process uses the port or no daemon runs, so that a program sends the token only to this daemon. Read the file again when
a connection fails. Send the token as \`Authorization: Bearer TOKEN\`; it identifies the consumer.

\`queue-agent consumers rotate-token [CONSUMER]\` creates a new token. The previous token stays valid for 24 hours, also
after a restart; the next rotation revokes it at once. If a token has leaked, rotate twice.

A task that the agent runs has a token of its own, in the file that its variable \`QUEUEGATE_LOCAL_API_FILE\` names
([TASKS.md](TASKS.md#events-of-a-task)). It may only post events, and it ends with the task.

The commands (\`status\`, \`doctor\`, \`consumers\`) send no token. They use the socket. If there is none, the daemon
first proves that it can read \`local-owner.key\` in the data folder (written at each start, mode 0600), and the command
then proves the same for its request.

## Consumers

Each command is assigned to exactly one consumer, by its \`type\` and the keys \`consumer.NAME.types\`
([CONFIGURATION.md](CONFIGURATION.md#consumers)): the longest matching type wins, and a command that matches none is
assigned to \`default\`.

- A program gets its commands with \`GET /api/v1/commands\`, oldest first; each answer begins with the first one that it
  has not acknowledged. A command is delivered until its consumer has acknowledged it, even after a kill -9 of the
  daemon or of the program. Process the command, then acknowledge its cursor.
- \`POST /api/v1/commands/ack\` acknowledges all commands of that consumer up to and including a cursor, and no commands
  of other consumers. A cursor beyond the last one that was delivered to the consumer is refused with 409
  [\`ack_beyond_delivered\`](ERRORS.md#ack_beyond_delivered), a cursor of another consumer with 400
  [\`cursor_unknown\`](ERRORS.md#cursor_unknown). A repeated acknowledgement is answered with 200.
  After a power failure of the host, commands that were delivered in its last moment may count as not delivered: get
  them again.
- Cursors only increase. Several programs with one token are one consumer: each gets the same commands.
- The consumer of a command is fixed when the agent stores it. A later change of the types does not move stored
  commands. When a consumer is removed, its unacknowledged commands are assigned to \`default\`: all unacknowledged
  commands of \`default\` are then delivered again, in the order of Central's log, with new cursors. The token of a
  removed consumer is revoked.
- A command that expires before it is acknowledged becomes a dead letter, and the agent reports that to Central. The
  clock that counts is Central's, not the one of this host. While the agent does not know Central's time (after a boot
  without a connection), a command that has probably expired is held back, and the later ones of its consumer with it
  ([PROTOCOL.md](PROTOCOL.md#expiry)).
- The agent reports the position of each consumer to Central ([PROTOCOL.md](PROTOCOL.md#consumers)).
- All consumers share the inbox (\`inbox.maxMessages\`, \`inbox.maxBytes\`). When it is full, Central sends no more
  commands, and no consumer gets new ones; the status names the consumer that fills it
  ([\`inbox_full\`](ERRORS.md#inbox_full)). Remove a consumer that no longer runs. \`queue-agent consumers list\` shows
  how many commands wait for each.

## Conventions

The same as in [REST.md](REST.md): members are in camelCase, an absent value is null, and times are RFC 3339 in UTC with
three decimals. Unknown parameters and members of a request are refused; ignore unknown members of an answer. Lists are
\`{"items": [...], "next": ...}\`: send \`next\` as \`after\` to get the next page, until \`next\` is null. The header
\`Link\` has the same cursor.

- HEAD is allowed wherever GET is, and OPTIONS everywhere (204 with \`Allow\`). Other methods are answered with 405 and
  \`Allow\`. A path with a trailing slash is 404.
- A body is JSON in UTF-8. Another \`Content-Type\` is refused with 415. A request without a body may have a
  \`Content-Type\`.
- Errors are problem documents (RFC 9457, \`application/problem+json\`) with \`type\`, \`code\`, \`title\`, \`status\`,
  \`detail\`, \`hint\`, \`instance\`, and \`errors\` if certain places of the request are at fault.
  [ERRORS.md](ERRORS.md#agent-enrollment-connection-local-api) lists all codes. Each answer has a
  \`Queuegate-Request-Id\`, which is also in \`instance\` and in the log.
- 401 has the header \`WWW-Authenticate\`, 503 the header \`Retry-After\`.
`;

export const LOCAL_API_END = `## Streams

\`GET /api/v1/commands\` with \`Accept: text/event-stream\` answers with server-sent events (HTML Standard): first all
unacknowledged commands of the consumer, then each new one as it arrives. Acknowledge them as usual, over another
connection.

\`\`\`text
retry: 2000

id: 12
event: command
data: {"specversion":"1.0","id":"c-7","source":"/central","type":"com.example.display.show","data":{"text":"A017"}}

:

event: end
data: {"type":"urn:queuegate:error:local_stopping","code":"local_stopping",...}

\`\`\`

- \`id\` is the cursor. A connection begins with the oldest unacknowledged command; \`Last-Event-ID\` is ignored.
- A comment (\`:\`) is sent every 15 seconds if there is nothing else to send.
- \`end\` is sent before the agent closes the stream, because the agent stops
  ([\`local_stopping\`](ERRORS.md#local_stopping)), or the token is no longer valid
  ([\`local_unauthorized\`](ERRORS.md#local_unauthorized)).
- \`limit\` and \`waitSeconds\` have no effect on a stream.

## Bounds

| bound | value |
| --- | --- |
| body | 1 MiB |
| events of a request, items of an answer | 1,000; an answer of commands also 4 MiB |
| one event | what Central allows ([\`agents.maxMessageBytes\`](PARAMETERS.md#agentsmaxmessagebytes)) |
| headers | 16 KiB, 100 of them |
| wait for a command (\`waitSeconds\`) | 55 s |
| consumers; their types together | 32 besides \`default\`; 8,192 characters |
| incidents; dead letters | 1,000 each; the oldest are removed first |
| connections with a valid token; and, counted separately, connections of the socket's owner | 256 each |
| connections without a valid token yet, on the socket and on the port each; beyond that, a new one replaces the oldest | 128 |
| time from the connection to a valid token | 5 s |
| requests sent ahead on one connection | 8 |
| requests that wait for commands, streams among them | 128 |
| bodies in transfer; unread answers | 32 MiB each |
| time to read an answer, or the next piece of a stream | 30 s |
| answers to wrong tokens without delay | 20 in 10 s, further ones after 1 s; the connection is closed each time |
`;
