// The words of docs/CONFIGURATION.md around its tables, which docs/make.ts makes from the schemas.

export const CONFIGURATION_INTRODUCTION = `# Configuration

What one process reads when it starts: folders, addresses, names. Settings of the whole installation are parameters; they live in
Central's store and change while it runs ([PARAMETERS.md](PARAMETERS.md)). The tables on this page are made from \`central/config.ts\`
and \`agent/conf.ts\` (\`npm run docs\`).

Both programs read in layers. A later layer overrides the ones before it:

1. the default,
2. the file or files,
3. environment variables,
4. flags.

An empty environment variable counts as not set. Every value is checked. What is unknown or not allowed is refused, all of it in one
message ([\`settings_refused\`](ERRORS.md#settings_refused)): the name, what was found, what is allowed, and where it was set (file and
line, variable or flag). A value that is secret is never shown.

The files have the syntax of Java properties, exactly as \`java.util.Properties\` reads it:

- One \`key = value\`, \`key: value\` or \`key value\` on each line. White space around the separator does not count.
- A line that begins with \`#\` or \`!\` is a comment.
- A backslash at the end of a line continues it on the next one; white space at the beginning of that one does not count.
- \`\\t\`, \`\\n\`, \`\\r\`, \`\\f\`, \`\\\\\` and \`\\u00f6\` are escapes. A backslash in a Windows path must be doubled: \`C:\\\\queuegate\`.
- UTF-8; a file that is not valid UTF-8 is read as ISO-8859-1. At most 1 MiB.
- A key that is set twice is a warning; the last one counts.

Where a setting has a second name, that name works in all layers, and its variable and flag follow from it in the same way.
`;

export const CENTRAL_INTRODUCTION = `Central reads \`central.conf\` in its working folder. \`--config FILE\` or \`QUEUEGATE_CONFIG\` names another file, which must
then exist. Without a file the defaults count. All of it is read once, at the start: to change a setting, restart Central.

The four ports override the parameter of the same name on this node only. REST shows both values. \`--central-agent\` needs no value;
every other flag does. \`QUEUEGATE_URL\`, \`QUEUEGATE_TOKEN\`, \`QUEUEGATE_TOKEN_FILE\`, \`QUEUEGATE_CA_FILE\`, \`QUEUEGATE_KEYSTORE_PASSWORD\`,
\`QUEUEGATE_KEYSTORE_PASSWORD\`, \`QUEUEGATE_KEY_PASSWORD\`, \`QUEUEGATE_TRUSTSTORE_PASSWORD\` and
\`QUEUEGATE_TRUSTSTORE_NEW_PASSWORD\` belong to the command line \`queuegate\` and are no
settings of Central. \`QUEUEGATE_KEY_ENCRYPTION_KEY\` is the key itself that seals private keys, and so no setting that a file may hold
([CERTIFICATES.md](CERTIFICATES.md#the-key-encryption-key)).
`;

export const AGENT_INTRODUCTION = `An agent runs with a profile, a folder such as \`profiles/default\` (\`--profile\`, or \`QUEUE_AGENT_PROFILE\`). Two files of
the profile are read:

- \`conf/agent.conf\`: as the field has it. It belongs to the other product too, so it is never written, and keys that this agent does
  not know stay in it and are reported, with a warning where one resembles a key that it knows. A bad value matters only
  where no higher layer overrides it.
- \`conf/agent.local.conf\`: this product's own, and optional. It overrides \`agent.conf\`. An unknown key is refused.

Three keys have been in \`agent.conf\` in the field all along: \`central.websocket.secure\`, \`central.websocket.secure.port\` and
\`jetty.jvm.args\`. Of the last one \`-Djavax.net.ssl.trustStore\`, \`-Djavax.net.ssl.trustStorePassword\` and
\`-Djavax.net.ssl.trustStoreType\` are honoured, as a JVM would: arguments are divided at white space, quotes hold them together, the
last of several counts. All other keys are this product's own; write them into \`agent.local.conf\`, so that \`agent.conf\` stays as it is.

Paths of truststore and enrollment file are relative to the profile; the data folder is relative to the working folder.
The format of the truststore is detected from its content; a \`trustStoreType\` that is wrong is only a warning. The password in
\`jetty.jvm.args\` belongs to the store that is named there, and is not tried on one that \`truststore\` names.

Without a password, \`changeit\` and the empty one are tried. A store that opens with neither is refused
([\`keystore_password_missing\`](ERRORS.md#keystore_password_missing)). **This is stricter than Java**, which loads a JKS store
without a password unchecked, so that a damaged or replaced one is not noticed: set \`truststore.password\`, or
\`-Djavax.net.ssl.trustStorePassword\` in \`jetty.jvm.args\`.

\`Windows-ROOT\`, \`KeychainStore\`, \`PKCS11\` and \`trustStore=NONE\` mean the certificate store of the operating system, which the
agent does not read: it uses \`conf/security/truststore.jks\` of the profile instead and says so, or refuses if that does not
exist ([\`truststore_of_system\`](ERRORS.md#truststore_of_system)). Variables (\`\${QUEUE_HOME}\`, \`%PROGRAMDATA%\`, \`~\`) are not
expanded. In \`agent.conf\` a backslash is written twice, as in every Java properties file: a single one is reported.

One odd entry never stops an agent: a certificate that cannot be read, or has a date that is not a date, is left out. The
log, \`queue-agent doctor\` and \`queue-agent truststore list\` name it. A store has at most 10,000 entries, 20,000 certificates
and 16 MiB (PKCS#12: 2 MiB).

\`QUEUE_AGENT_TOKEN\` belongs to \`queue-agent enroll\`, \`QUEUE_AGENT_TRUSTSTORE_NEW_PASSWORD\` to \`queue-agent truststore\`; neither is a
setting.
`;

export const AGENT_RELOADING = `### When a change counts

The running agent reads its configuration again before each connection. It notices a change of the files that the connection
depends on within a second or two, also while it waits for its next try or has stopped dialling.

| settings | counts |
| --- | --- |
| \`central.*\`, \`truststore\`, \`truststore.password\`, \`jetty.jvm.args\`, \`agent.name\`, the truststore file itself | at the next connection; a session that is open goes on as it is |
| \`enrollment.file\`, \`agent.id\` | at the enrollment |
| \`log.level\`, \`consumer.*\` | at SIGHUP |
| everything else | at the next start of the agent |

On SIGHUP the agent reads its configuration at once, applies \`log.level\` and consumers, and logs which of the changed settings count from
the next connection on and which need a restart. An error in the files is logged, and nothing changes.

Environment and flags are those of the process: they change with a restart only.
`;

export const AGENT_PROXIES = `### HTTP proxies

An agent whose network has no other way out connects through an HTTP proxy: with CONNECT (RFC 9110), for sessions, enrollment,
recovery and the doctor. TLS to Central goes through the proxy from end to end, so nothing else changes: the truststore, the pin and
the host name count as without it. The proxy resolves the name of Central. The first of these that is set counts:

1. \`central.proxy\`, for example \`http://bank@proxy.example.com:3128\`. The password is the first line of the file that
   \`central.proxy.passwordFile\` names; never part of \`central.proxy\`. \`none\` connects directly, whatever else is set.
2. \`-Dhttps.proxyHost\` and \`-Dhttps.proxyPort\` (443) in \`jetty.jvm.args\`, for ws \`-Dhttp.proxyHost\` and \`-Dhttp.proxyPort\` (80),
   as a JVM reads them. \`-Dhttp.nonProxyHosts\` names the exceptions, divided by \`|\`; without it they are loopback.
3. The environment variables \`HTTPS_PROXY\`, for ws \`HTTP_PROXY\`, else \`ALL_PROXY\`, also in small letters, which count first:
   \`http://USER:PASSWORD@HOST:PORT\`. Loopback is never reached through them.

\`NO_PROXY\` names exceptions for 1 and 3: names with everything below them, addresses and networks (\`10.0.0.0/8\`), each with
\`:PORT\` if needed, divided by commas; \`*\` is everything. The only login is Basic; HTTPS and SOCKS proxies are not supported, and a
variable that names one is reported as a warning at the start. The log and the doctor show the proxy and the setting that named it,
never the password.
`;

export const AGENT_CONSUMERS = `### Consumers

A consumer is a program on the agent's host that reads commands. Its keys are in the files only, since the name is part of them:

| key | allowed | what it is |
| --- | --- | --- |
| \`consumer.NAME.types\` | 1 to 64 types divided by commas, each of 1 to 128 printable ASCII characters without blanks; \`*\` at the end stands for any rest; each type once | The commands that it gets. Of several that fit a command, the longest counts, and a whole type before the same text with \`*\`. |
| \`consumer.NAME.group\` | the name of a group of this host | Group whose members may read its token file (mode 0640). Default: only the account of the agent. The folder of the file must be one that they may enter: \`local-api.consumers.folder\`. |

NAME has 1 to 32 small letters, digits and dashes. At most 32 consumers, and 8,192 characters of types in all. What fits no type goes to the
consumer \`default\`, which always exists; \`consumer.default.types\` may take types back from a shorter one of another consumer. What is not
allowed is refused at the start ([\`consumer_setting_bad\`](ERRORS.md#consumer_setting_bad)).

\`\`\`properties
consumer.printer.types = com.example.printer.*, com.example.ticket.reprint
consumer.printer.group = printing
consumer.display.types = com.example.display.*
local-api.consumers.folder = /var/lib/queue-agent/consumers
\`\`\`

How programs use their consumer is in [LOCAL-API.md](LOCAL-API.md).
`;
