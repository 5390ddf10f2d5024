// The errors of the port for devices, as the status of the agent shows them.
import { defineErrors, type ErrorTable } from '../../../shared/errors.ts';

export const DEVICE_PORT_ERRORS = {
  device_certificate_missing: {
    text: 'The port for devices is closed: the agent has no certificate for it yet.',
    hint: 'The agent requests it from Central when it is online. Enroll and connect the agent; see the connection in "queue-agent status".',
  },
  device_certificate_expired: {
    text: 'The port for devices is closed: its certificate expired at {until}.',
    hint: 'The agent renews it when it is online. Check the connection in "queue-agent status", and the clock of this host.',
  },
  device_certificate_refused: {
    text: 'Central refused the certificate of the port for devices: {detail} ({refusal})',
    hint: '{hint}',
  },
  device_certificate_unanswered: {
    text: 'Central does not answer the request for the certificate of the port for devices.',
    hint: 'Upgrade Central if it is older than this agent. The agent asks again.',
  },
  device_certificate_unusable: {
    text: 'The certificate that Central issued for the port for devices cannot be used: {found}.',
    hint: 'The agent keeps the one it has, and asks again. Check the clock of this host and its truststore.',
  },
  device_names_missing: {
    text: 'The port for devices is closed: this host has no name and no address for its certificate.',
    hint: 'Set localApi.tls.names in agent.local.conf to the host names and addresses by which devices connect.',
  },
  device_client_ca_bad: {
    text: 'The port for devices accepts no client certificates: the authorities of devices in {file} cannot be used: {found}.',
    hint: 'Write the certificates (PEM) of the authorities that issue certificates to devices into this file, or set localApi.tls.clientCa to another one; then send SIGHUP to the agent. Tokens count meanwhile.',
  },
  device_unauthorized: {
    status: 401,
    text: 'This port answers only requests of a consumer that agent.conf names: with its token, or with a client certificate.',
    hint: 'Name a consumer for the device (consumer.NAME.types), and send its token as "Authorization: Bearer TOKEN", or connect with a certificate of an authority in localApi.tls.clientCa.',
  },
  device_caller_denied: {
    status: 403,
    text: 'The client certificate of this device is not accepted: {found}.',
    hint: 'Use a valid certificate for TLS clients that an authority in localApi.tls.clientCa has issued, with a host name that consumer.NAME.certificates names; then connect again.',
  },
  device_browser_refused: {
    status: 403,
    text: 'The port for devices answers no web pages and no other host names (found {found}).',
    hint: 'Address it by a host name or an address of its certificate, and send neither Origin nor Sec-Fetch-Site.',
  },
  device_port_taken: {
    text: 'Another process listens on port {port} for devices ({address}).',
    hint: 'Stop that process, and the agent takes the port within seconds; or set localApi.tls.port in agent.local.conf to a free port (0: off).',
  },
  device_port_refused: {
    text: 'The agent cannot listen on port {port} for devices ({address}): {found}.',
    hint: 'Set localApi.tls.port and localApi.tls.address in agent.local.conf to a port and an address of this host that the account of the agent may use.',
  },
} as const satisfies ErrorTable;

export const deviceFault = defineErrors(DEVICE_PORT_ERRORS);
