// The prose of docs/CONFIGURATION.md around its tables, which docs/make.ts makes from the schemas.

export const CONFIGURATION_INTRODUCTION = `# Configuration

The settings that a process reads when it starts: folders, addresses, names. Settings of the whole installation are
parameters. They are in Central's store and can be changed while it runs ([PARAMETERS.md](PARAMETERS.md)). The tables on
this page are made from \`central/config.ts\` and \`agent/conf.ts\` (\`npm run docs\`).

Both programs read their settings in layers. A later layer overrides the earlier ones:

1. the default,
2. the file or files,
3. environment variables,
4. flags.

An empty environment variable is treated as not set. Every value is validated. All unknown settings and values that are
not allowed are refused in one message ([\`settings_refused\`](ERRORS.md#settings_refused)): the name, what was found,
what is allowed, and where it was set (file and line, variable or flag). A secret value is never shown.

The files have the syntax of Java properties, exactly as \`java.util.Properties\` reads it:

- One \`key = value\`, \`key: value\` or \`key value\` on each line. White space around the separator is ignored.
- A line that begins with \`#\` or \`!\` is a comment.
- A backslash at the end of a line continues it on the next line; white space at the beginning of the next line is
  ignored.
- \`\\t\`, \`\\n\`, \`\\r\`, \`\\f\`, \`\\\\\` and \`\\u00f6\` are escapes. A backslash in a Windows path must be
  doubled: \`C:\\\\queuegate\`.
- The encoding is UTF-8; a file that is not valid UTF-8 is read as ISO-8859-1. The size is at most 1 MiB, and
  it sets at most 5,000 keys.
- If a key is set twice, the last value is used, with a warning.

If a setting has a second name, this name works in all layers, and its variable and flag are formed from it in the same
way.
`;

export const CENTRAL_INTRODUCTION = `Central reads \`central.conf\` in its working folder. \`--config FILE\` or
\`QUEUEGATE_CONFIG\` names another file, which must then exist. Without a file, the defaults are used. Central reads all
of it once, at the start: to change a setting, restart Central.

Each of the four ports overrides the parameter of the same name on this node only. REST shows both values.
\`--central-agent\` needs no value; every other flag needs one.

\`QUEUEGATE_URL\`, \`QUEUEGATE_TOKEN\`, \`QUEUEGATE_TOKEN_FILE\`, \`QUEUEGATE_CA_FILE\`, \`QUEUEGATE_BACKUP_PASSWORD\`,
\`QUEUEGATE_KEYSTORE_PASSWORD\`, \`QUEUEGATE_KEY_PASSWORD\`, \`QUEUEGATE_TRUSTSTORE_PASSWORD\` and
\`QUEUEGATE_TRUSTSTORE_NEW_PASSWORD\` belong to the command line \`queuegate\` and are not settings of Central.
\`QUEUEGATE_KEY_ENCRYPTION_KEY\` contains the key that encrypts private keys. It is not a setting either, because the
file must not contain the key ([CERTIFICATES.md](CERTIFICATES.md#the-key-encryption-key)).
`;

export const AGENT_INTRODUCTION = `An agent runs with a profile, a folder such as \`profiles/default\` (\`--profile\`,
or \`QUEUE_AGENT_PROFILE\`). It reads two files of the profile:

- \`conf/agent.conf\`: the file of existing installations. Another product uses it too, so the agent never writes it.
  Keys that the agent does not know stay in the file and are reported, with a warning if one of them resembles a known
  key. An invalid value matters only if no higher layer overrides it.
- \`conf/agent.local.conf\`: an optional file that only this product uses. It overrides \`agent.conf\`. An unknown key
  is refused.

The \`agent.conf\` of existing installations has three of the keys below: \`central.websocket.secure\`,
\`central.websocket.secure.port\` and \`jetty.jvm.args\`. In \`jetty.jvm.args\`, the agent uses
\`-Djavax.net.ssl.trustStore\`, \`-Djavax.net.ssl.trustStorePassword\` and \`-Djavax.net.ssl.trustStoreType\` as a JVM
does: arguments are separated by white space, quotes keep them together, and the last of several is used. All other keys
are specific to this product. Write them into \`agent.local.conf\`, so that \`agent.conf\` does not change.

Once Central has upgraded the agent to a release of its profile, \`agent.conf\` and the files that it names are those of
the release, in \`releases/profiles\` of the data folder. The profile of the command line stays the base: its
\`agent.local.conf\` overrides the release too, relative paths in it and in flags belong to the base, and so does a
file that \`agent.conf\` of the release names and the release does not hold, such as the password of a proxy.
\`data.folder\` is always that of the base. The agent, \`queue-agent doctor\`, the enrollment commands and
\`queue-agent status\` all find the release in this way; nothing but an upgrade writes into its folder.

The paths of the truststore and of the enrollment file are relative to the profile. The data folder is relative to the
working folder. The format of the truststore is detected from its content; a wrong \`trustStoreType\` only causes a
warning. The password in \`jetty.jvm.args\` belongs to the store that is named there. It is not tried on a store that
\`truststore\` names.

Without a configured password, the agent tries \`changeit\` and the empty password. It refuses a store that opens with
neither of them ([\`keystore_password_missing\`](ERRORS.md#keystore_password_missing)). **This is stricter than Java**,
which loads a JKS store without a password and does not check it, so that a damaged or replaced store is not noticed.
Set \`truststore.password\`, or \`-Djavax.net.ssl.trustStorePassword\` in \`jetty.jvm.args\`.

\`Windows-ROOT\`, \`KeychainStore\`, \`PKCS11\` and \`trustStore=NONE\` mean the certificate store of the operating
system, which the agent does not read. It uses \`conf/security/truststore.jks\` of the profile instead and reports this,
or refuses if that file does not exist ([\`truststore_of_system\`](ERRORS.md#truststore_of_system)). Variables
(\`\${QUEUE_HOME}\`, \`%PROGRAMDATA%\`, \`~\`) are not expanded. In \`agent.conf\` a backslash is written twice, as in
every Java properties file: a single one is reported.

A single invalid entry never stops an agent: a certificate that cannot be read, or that has an invalid date, is ignored.
The log, \`queue-agent doctor\` and \`queue-agent truststore list\` name it. A store has at most 10,000 entries, 20,000
certificates and 16 MiB (PKCS#12: 2 MiB), and its passwords cost at most 3,000,000 iterations of PBKDF2; scrypt at most
64 MiB of memory. \`truststore convert\` and \`change-password\` encrypt some 150 private keys of PKCS#12 within that bound.

\`QUEUE_AGENT_TOKEN\` belongs to \`queue-agent enroll\`, and \`QUEUE_AGENT_TRUSTSTORE_NEW_PASSWORD\` to
\`queue-agent truststore\`; neither is a setting.
`;

export const AGENT_RELOADING = `### When a change takes effect

The running agent reads its configuration again before each connection. It notices a change of the files that the
connection depends on within a second or two, also while it waits for its next attempt or has stopped connecting.

| settings | takes effect |
| --- | --- |
| \`central.*\`, \`truststore\`, \`truststore.password\`, \`jetty.jvm.args\`, \`agent.name\`, the truststore file itself | at the next connection; an open session continues unchanged |
| \`enrollment.file\`, \`agent.id\` | at the enrollment |
| \`log.level\`, \`localApi.tls.*\`, \`consumer.*\`, \`service.*\`, \`task.*\` ([TASKS.md](TASKS.md#handlers)) | at SIGHUP |
| everything else | at the next start of the agent |

On SIGHUP the agent reads its configuration at once and applies \`log.level\`, the consumers, the services and the handlers of tasks. It logs which of the
other changed settings take effect at the next connection, and which need a restart. If the files contain an error, the
agent logs it and changes nothing.

Environment variables and flags belong to the process: they change only with a restart.
`;

export const AGENT_PROXIES = `### HTTP proxies

If an agent cannot reach Central directly from its network, it connects through an HTTP proxy with CONNECT (RFC 9110),
for sessions, enrollment, recovery and the doctor. TLS goes through the proxy from the agent to Central, so nothing else
changes: the truststore, the pin and the host name are checked as without a proxy. The proxy resolves the name of
Central. The agent uses the first of these settings that is set:

1. \`central.proxy\`, for example \`http://bank@proxy.example.com:3128\`. The password is the first line of the file
   that \`central.proxy.passwordFile\` names; it is never part of \`central.proxy\`. \`none\` connects directly,
   regardless of all other settings.
2. \`-Dhttps.proxyHost\` and \`-Dhttps.proxyPort\` (443) in \`jetty.jvm.args\`, for ws \`-Dhttp.proxyHost\` and
   \`-Dhttp.proxyPort\` (80), as a JVM reads them. \`-Dhttp.nonProxyHosts\` names the exceptions, separated by \`|\`;
   without it, the exception is loopback.
3. The environment variables \`HTTPS_PROXY\`, for ws \`HTTP_PROXY\`, otherwise \`ALL_PROXY\`:
   \`http://USER:PASSWORD@HOST:PORT\`. The same names in lower case take precedence. Loopback is never reached through
   them.

\`NO_PROXY\` names exceptions for 1 and 3, separated by commas: names (with all names below them), addresses and
networks (\`10.0.0.0/8\`), each with \`:PORT\` if needed; \`*\` means everything. The only supported login is Basic.
HTTPS and SOCKS proxies are not supported; a variable that names one causes a warning at the start. The log and the
doctor show the proxy and the setting that named it, never the password.
`;

export const AGENT_CONSUMERS = `### Consumers

A consumer is a program on the agent's host that reads commands. Its keys can be set only in the files, because its name
is part of them:

| key | allowed | what it is |
| --- | --- | --- |
| \`consumer.NAME.types\` | 1 to 64 types separated by commas, each of 1 to 128 printable ASCII characters without blanks; \`*\` at the end matches any rest; each type once | The commands that it receives. If several types match a command, the longest one is used, and a type without \`*\` before the same text with \`*\`. |
| \`consumer.NAME.group\` | the name of a group of this host | Group whose members may read its token file (mode 0640). Default: only the account of the agent. The folder of the file must be one that they may enter: \`localApi.consumers.folder\`. |
| \`consumer.NAME.certificates\` | 1 to 64 host names separated by commas, each once; or \`*\` | Host names in the client certificates of its devices at the port for devices (\`localApi.tls.clientCa\`); \`*\`: all certificates that no consumer names. |

NAME has 1 to 32 lower-case letters, digits and dashes. There are at most 32 consumers, with at most 8,192 characters of
types in total. A command that matches no type goes to the consumer \`default\`, which always exists.
\`consumer.default.types\` can take types back from a shorter type of another consumer. Anything that is not allowed is
refused at the start ([\`consumer_setting_bad\`](ERRORS.md#consumer_setting_bad)).

\`\`\`properties
consumer.printer.types = com.example.printer.*, com.example.ticket.reprint
consumer.printer.group = printing
consumer.display.types = com.example.display.*
localApi.consumers.folder = /var/lib/queue-agent/consumers
\`\`\`

[LOCAL-API.md](LOCAL-API.md) describes how programs use their consumer.

### Services

The keys \`service.NAME.*\` name programs of the agent's host that Central may reach for callers
([SERVICES.md](SERVICES.md)). Anything that is not allowed is refused at the start
([\`service_setting_bad\`](ERRORS.md#service_setting_bad)).
`;
