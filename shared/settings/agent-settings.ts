// The settings of agent.conf, as one table: the agent reads its configuration with it, and Central validates profiles
// with it.
import { splitJvmArgs } from './jvm-args.ts';
import {
  hostName,
  hostNames,
  hostPorts,
  ipAddress,
  oneOf,
  text,
  wholeNumber,
  yesOrNo,
  type SettingFormat,
} from './format.ts';
import { MAX_QUEUES } from '../wire/tasks/frames.ts';
import { proxyUrl } from './proxy-url.ts';
import type { Schema } from './settings.ts';

export const AGENT_PREFIX = 'QUEUE_AGENT_';

const jvmArgs: SettingFormat<readonly string[]> = {
  name: 'JVM arguments',
  allowed: 'arguments as on the command line of a JVM',
  parse: splitJvmArgs,
};
const port = wholeNumber(1, 65_535);
const messages = wholeNumber(1, 10_000_000);
/** From one largest message (256 KiB) to what a branch PC's disk can spare. */
const logBytes = wholeNumber(256 * 1024, 64 * 1024 ** 3);

/** The name of one is a word of the wire (task-handlers). */
const queues: SettingFormat<readonly string[]> = {
  name: 'queues',
  allowed: `names separated by commas, each of 1 to 64 small letters, digits and dashes; at most ${MAX_QUEUES}`,
  parse(found) {
    const names = found.trim() === '' ? [] : [...new Set(found.split(',').map((name) => name.trim()))];
    const isQueue = (name: string): boolean => name.length <= 64 && /^[a-z0-9]([a-z0-9-]*[a-z0-9])?$/.test(name);
    return names.length <= MAX_QUEUES && names.every(isQueue) ? names : undefined;
  },
};

export const AGENT_SCHEMA = [
  {
    name: 'central.websocket.secure',
    format: yesOrNo,
    default: true,
    doc: 'Connect over wss (TLS, verified with the truststore) instead of ws.',
  },
  { name: 'central.websocket.secure.port', format: port, default: 9150, doc: 'Port of Central for wss.' },
  { name: 'central.websocket.port', format: port, default: 8787, doc: 'Port of Central for ws.' },
  {
    name: 'central.websocket.proxied',
    format: yesOrNo,
    default: false,
    doc: 'A proxy in front of Central terminates TLS. The session then cannot be bound to the TLS connection, so the proxy must be trusted.',
  },
  {
    name: 'central.hosts',
    alias: 'central.host',
    format: hostPorts,
    default: [],
    doc: 'Hosts of Central, in the order in which they are tried. The default port is that of central.websocket.secure.port or central.websocket.port.',
  },
  {
    name: 'central.proxy',
    format: proxyUrl,
    default: '',
    secret: true,
    doc: 'HTTP proxy (CONNECT) through which the agent connects to Central; "none": a direct connection. If not set: -Dhttps.proxyHost of jetty.jvm.args, otherwise HTTPS_PROXY.',
  },
  {
    name: 'central.proxy.passwordFile',
    format: text(0, 4096),
    default: '',
    doc: 'File with the password for the user in central.proxy; relative to the profile. Read at each connection.',
  },
  {
    name: 'jetty.jvm.args',
    format: jvmArgs,
    default: [],
    secret: true,
    doc: 'JVM arguments of existing installations. The agent uses -Djavax.net.ssl.trustStore, trustStorePassword and trustStoreType, and -Dhttps.proxyHost, https.proxyPort and http.nonProxyHosts; it ignores the rest. A relative trustStore is relative to the profile.',
  },
  {
    name: 'truststore',
    format: text(0, 4096),
    default: '',
    doc: 'Truststore (JKS, PKCS#12 or PEM) instead of the one in jetty.jvm.args; relative to the profile. Without either: conf/security/truststore.jks.',
  },
  {
    name: 'truststore.password',
    format: text(0, 1024),
    default: '',
    secret: true,
    doc: 'Password of the truststore. Default: "changeit".',
  },
  {
    name: 'enrollment.file',
    format: text(0, 4096),
    default: '',
    doc: 'File with a one-time enrollment, which is used at the first start; relative to the profile.',
  },
  { name: 'agent.name', format: hostName, default: '', doc: 'Name of this agent. Default: the name of the host.' },
  {
    name: 'agent.id',
    format: text(0, 255),
    default: '',
    doc: 'Identifier of this agent, fixed at enrollment. Default: the thumbprint of its first key.',
  },
  {
    name: 'agent.queues',
    format: queues,
    default: [],
    doc: 'Queues whose tasks this agent takes when it has room, of the handlers that it has; separated by commas. It is read again at SIGHUP.',
  },
  {
    name: 'agent.renewal.freshKey',
    format: yesOrNo,
    default: true,
    doc: 'Create a new key at each renewal of the certificate. The old key is deleted once Central has accepted the new one.',
  },
  {
    name: 'data.folder',
    format: text(0, 4096),
    default: '',
    doc: 'Folder for the key, the message logs and the state; relative to the working folder. Default: data/agent, or data/NAME for a profile other than "default".',
  },
  {
    name: 'localApi.port',
    format: wholeNumber(0, 65_535),
    default: 8888,
    doc: 'Port of the local API on loopback; 0 takes any free port.',
  },
  {
    name: 'localApi.socket',
    format: text(0, 4096),
    default: '',
    doc: 'Unix socket of the local API, at most 100 bytes; relative to the working folder. Default: local-api.sock in the data folder. Not on Windows.',
  },
  {
    name: 'localApi.group',
    format: text(0, 64),
    default: '',
    doc: 'Group of this host whose members may connect to the socket (mode 0660; they send the token); the socket must then be in a folder that they may enter. Default: only the account of the agent, without a token (mode 0600).',
  },
  {
    name: 'localApi.consumers.folder',
    format: text(0, 4096),
    default: '',
    doc: 'Folder of the token files of the consumers; relative to the working folder. Default: consumers in the data folder. For a consumer with a group, its members must be able to enter it.',
  },
  {
    name: 'localApi.tls.port',
    format: wholeNumber(0, 65_535),
    default: 0,
    doc: 'Port of the local API for devices in the network, with TLS and a certificate of Central; 0: off. Devices of the field use 8989.',
  },
  {
    name: 'localApi.tls.address',
    format: ipAddress,
    default: '',
    doc: 'Address of this host on which that port listens. Default: all addresses.',
  },
  {
    name: 'localApi.tls.names',
    format: hostNames,
    default: [],
    doc: 'Host names and addresses by which devices connect, for the certificate of that port. Default: the name of the host and its addresses.',
  },
  {
    name: 'localApi.tls.clientCa',
    format: text(0, 4096),
    default: '',
    doc: 'File with the authorities (PEM) that issue client certificates to devices; relative to the profile. A device with such a certificate needs no token: it is the consumer that names it in consumer.NAME.certificates. Default: no client certificates.',
  },
  {
    name: 'software.signers',
    format: text(0, 4096),
    default: '',
    doc: 'Files with the public keys (PEM) of those who may build the software of this agent, separated by commas; relative to the profile. A release of Central cannot name them. Default: the key that is in the package.',
  },
  {
    name: 'runner.socket',
    format: text(0, 4096),
    default: '',
    doc: 'Unix socket of the runner, which starts the programs of tasks under an account of its own ("queue-agent runner"), at most 100 bytes; relative to the working folder. The folders of tasks are beside it. Default: tasks run under the account of the agent. Not on Windows.',
  },
  {
    name: 'log.level',
    format: oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal'),
    default: 'info',
    doc: 'The lowest level that is logged.',
  },
  {
    name: 'outbox.maxMessages',
    format: messages,
    default: 10_000,
    doc: 'Maximum number of events that wait for Central; above it, producers are refused. 10,000 are the events of a branch during one day without a connection.',
  },
  {
    name: 'outbox.maxBytes',
    format: logBytes,
    default: 16 * 1024 ** 2,
    doc: 'Maximum size of these events, in bytes.',
  },
  {
    name: 'inbox.maxMessages',
    format: messages,
    default: 10_000,
    doc: 'Maximum number of commands that wait for local programs; above it, the agent acknowledges no more commands to Central.',
  },
  {
    name: 'inbox.maxBytes',
    format: logBytes,
    default: 16 * 1024 ** 2,
    doc: 'Maximum size of these commands, in bytes.',
  },
] as const satisfies Schema;
