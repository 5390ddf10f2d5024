// The words of docs/LOCAL-API.md around the routes, which local-api.ts makes from their table.
import type { Operation } from '../agent/local-api/types.ts';

export const WHO: Readonly<Record<Operation['who'], string>> = {
  none: 'everybody on this host',
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

Programs on the host of an agent post events for Central and take commands from it, over HTTP. This page is made from the table of routes
and the schemas that validate (\`npm run docs\`); the running agent serves the same as \`GET /api/v1/openapi.json\`.

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

- A Unix socket, \`local-api.sock\` in the data folder unless \`local-api.socket\` names another path (not on Windows). It has mode 0600: only the
  account of the agent may connect. This **owner** needs no token and uses the consumer \`default\`; with a token it is the consumer of that token.
  With \`local-api.group\` the socket has mode 0660 and that group, and every request needs a token; put the socket into a folder that the group
  may enter, such as \`/run/queue-agent\`. A path of more than 100 bytes is not possible: then there is only the port.
- Port \`local.api.port\` of 127.0.0.1. Every request needs a token. Requests of web pages are refused: those with an \`Origin\`, with a
  \`Sec-Fetch-Site\`, or with a \`Host\` other than \`127.0.0.1\`, \`localhost\` and \`[::1]\`.

A port or path that another process uses does not keep the agent from starting: it is a problem in the status (\`queue-agent status\`,
\`problems\` of \`GET /api/v1/status\`), and the agent tries again every two seconds.

## Tokens

Each consumer has a token file. That of \`default\` is \`local-api.json\` in the data folder (mode 0600); that of the consumer NAME is \`NAME.json\` in
\`local-api.consumers.folder\`, by default \`consumers\` in the data folder. It has mode 0600, or 0640 and the group of \`consumer.NAME.group\`, so
that a program under another account can read it. \`queue-agent consumers list\` shows all.

A file says where the API is now, and has the token: \`{"socket": path or null, "url": address or null, "token": "qgl_...", "previous": ...}\`. A
program sends the token only to what this daemon listens on: \`url\` is null while the port is taken and while no daemon runs. Read it again
when a connection fails. The token is sent as \`Authorization: Bearer TOKEN\`, and says which consumer the program is.

\`queue-agent consumers rotate-token [CONSUMER]\` makes another token. The token before stays valid for 24 hours, also over restarts; the next
rotation revokes it at once. After a token has leaked, rotate twice.

The commands (\`status\`, \`doctor\`, \`consumers\`) send no token. They use the socket; where there is none, the daemon proves first that it can read
\`local-owner.key\` in the data folder (written at each start, mode 0600), and the command then proves the same for its one request.

## Consumers

Each command goes to exactly one consumer, by its \`type\` and the keys \`consumer.NAME.types\`
([CONFIGURATION.md](CONFIGURATION.md#consumers)): the longest type that fits wins, and what fits none goes to \`default\`.

- A program gets its commands with \`GET /api/v1/commands\`, oldest first, and every time from the first one that it has not acknowledged. A command
  is delivered until its consumer has acknowledged it, through kill -9 of the daemon and of the program. Work it off, then acknowledge its cursor.
- \`POST /api/v1/commands/ack\` acknowledges all commands of that consumer through a cursor, and no command of another one. A cursor beyond the last
  one that was delivered to the consumer is refused with 409 [\`ack_beyond_delivered\`](ERRORS.md#ack_beyond_delivered), one that belongs to
  another consumer with 400 [\`cursor_unknown\`](ERRORS.md#cursor_unknown). The same acknowledgement again is answered with 200.
- Cursors only grow. Several programs with one token are one consumer: each gets the same commands.
- The consumer of a command is fixed when the agent stores it. When the types change, what is stored stays where it is. When a consumer is
  removed, what it has not acknowledged goes to \`default\`: all that \`default\` has not acknowledged then comes again, in the order of
  Central's log, with new cursors. The token of a removed consumer ends.
- A command that expires before it is acknowledged goes to the dead letters.
- Central learns how far each consumer is ([PROTOCOL.md](PROTOCOL.md#consumers)).
- All consumers share the inbox (\`inbox.maxMessages\`, \`inbox.maxBytes\`). When it is full, Central waits, and so do all consumers: a consumer that
  does not run any more should be removed. \`queue-agent consumers list\` shows how many commands wait for each.

## Conventions

Those of [REST.md](REST.md): members in camelCase, an absent value is null, times are RFC 3339 in UTC with three decimals; unknown parameters and members
of a request are refused; ignore unknown members of an answer. Lists are \`{"items": [...], "next": ...}\`: send \`next\` as \`after\` to get the next
page, until it is null; the header \`Link\` says the same.

- HEAD is allowed wherever GET is, OPTIONS everywhere (204 with \`Allow\`); another method is 405 with \`Allow\`. A trailing slash is 404.
- A body is JSON in UTF-8. Another \`Content-Type\` is 415. A request without a body may have one.
- Errors are problem documents (RFC 9457, \`application/problem+json\`) with \`type\`, \`code\`, \`title\`, \`status\`, \`detail\`, \`hint\`, \`instance\`, and \`errors\`
  where a place of the request is at fault. [ERRORS.md](ERRORS.md#agent-enrollment-connection-local-api) has every code. Each answer has a
  \`Queuegate-Request-Id\`, which \`instance\` and the log name.
- 401 has \`WWW-Authenticate\`, 503 \`Retry-After\`.
`;

export const LOCAL_API_END = `## Streams

\`GET /api/v1/commands\` with \`Accept: text/event-stream\` answers with server-sent events (HTML Standard): first all commands of the consumer that it
has not acknowledged, then each as it comes. Acknowledge them as usual, over another connection.

\`\`\`text
retry: 2000

id: 12
event: command
data: {"specversion":"1.0","id":"c-7","source":"/central","type":"com.example.display.show","data":{"text":"A017"}}

:

event: end
data: {"type":"urn:queuegate:error:local_stopping","code":"local_stopping",...}

\`\`\`

- \`id\` is the cursor. A connection begins with the oldest command that is not acknowledged, whatever \`Last-Event-ID\` says.
- A comment (\`:\`) comes every 15 seconds when there is nothing else.
- \`end\` comes before the agent closes the stream: it stops ([\`local_stopping\`](ERRORS.md#local_stopping)), or the token has ended
  ([\`local_unauthorized\`](ERRORS.md#local_unauthorized)).
- \`limit\` and \`waitSeconds\` mean nothing for a stream.

## Bounds

| bound | value |
| --- | --- |
| body | 1 MiB |
| events of a request, items of an answer | 1,000; an answer of commands also 4 MiB |
| one event | what Central allows ([\`agents.maxMessageBytes\`](PARAMETERS.md#agentsmaxmessagebytes)) |
| headers | 16 KiB, 100 of them |
| wait for a command (\`waitSeconds\`) | 55 s |
| consumers; types of all | 32 beside \`default\`; 8,192 characters |
| incidents; dead letters | 1,000 each; the oldest are removed first |
| connections with a valid token; and, apart from them, those of the socket's owner | 256 each |
| connections without one yet, for each of socket and port; above it the oldest give way | 128 |
| time from the connection to a valid token | 5 s |
| requests sent ahead on one connection | 8 |
| requests that wait for commands, streams among them | 128 |
| bodies being received; answers not read yet | 32 MiB each |
| time to read an answer, or the next piece of a stream | 30 s |
| answers to wrong tokens without delay | 20 in 10 s; then 1 s later; the connection ends each time |
`;
