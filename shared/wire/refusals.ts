// The codes with which a session is refused or ended. 4400-4499 are terminal: the agent does not reconnect until its
// configuration, its identity or its software changes. 4500-4599 are retried with backoff, not before
// retryAfterSeconds. (RFC 6455 section 7.4.2: 4000-4999 are private use.)
import { defineErrors, type ErrorDefinition } from '../errors.ts';

export const REFUSALS = {
  unsupported_protocol: {
    close: 4400,
    text: 'The first frame is not a hello of queuegate.v1: {found}.',
    hint: 'Another program, or an agent of another version, connected to this port: install the agent that belongs to this Central.',
  },
  agent_unknown: {
    close: 4401,
    text: 'No agent with the id {id} and this key is registered.',
    hint: 'Enroll it: run "queuegate enrollment-tokens create" on Central, and the line that it prints on this machine.',
  },
  bad_signature: {
    close: 4402,
    text: 'The signature of the hello does not match its contents and its key.',
    hint: 'The key file of the agent is damaged, or the hello was changed on the way. Restore the key file, or enroll the agent again.',
  },
  replayed_hello: {
    close: 4403,
    text: 'The hello answers the challenge of another connection.',
    hint: 'Recorded traffic was replayed, or a proxy mixes connections: check the devices between the agent and Central.',
  },
  agent_key_mismatch: {
    close: 4407,
    text: 'The id {id} belongs to an agent with another key.',
    hint: 'If this is the same agent after its key was lost or its machine replaced, "queuegate agents recovery-code create {id}" on Central creates a recovery code that gives it this id with all its messages. Otherwise choose another id (agent.id).',
  },
  agent_name_taken: {
    close: 4408,
    text: 'The name {name} belongs to another agent, as its name or its id, or is reserved.',
    hint: 'Choose another name (agent.name in agent.local.conf). If this machine replaces that agent, run "queuegate agents recovery-code create {name}" on Central, and the line that it prints on this machine: it keeps the waiting messages.',
  },
  agent_deleted: {
    close: 4409,
    text: 'This agent was deleted on Central.',
    hint: 'To use it again, enroll it again: run "queuegate enrollment-tokens create" on Central.',
  },
  certificate_required: {
    close: 4410,
    text: 'The agent presented no client certificate, and Central requires one (parameter websocket.secure.clientAuth).',
    hint: 'Enroll the agent again, which issues one. Behind a proxy that terminates TLS, set websocket.secure.clientAuth to optional.',
  },
  certificate_foreign: {
    close: 4411,
    text: 'The client certificate is rejected: {found}.',
    hint: 'Enroll the agent again, which issues a certificate of this Central for its key.',
  },
  agent_revoked: {
    close: 4412,
    text: 'This agent was revoked on Central ({reason}).',
    hint: 'To use it again, give it a new key: run "queuegate agents recovery-code create" on Central, and the line that it prints on this machine.',
  },
  certificate_expired: {
    close: 4413,
    text: 'The certificate of this agent expired on {date}, which is longer ago than the grace period for renewal ({graceDays} days, parameter agents.certificate.graceDays).',
    hint: 'Run "queuegate agents recovery-code create" on Central, and the line that it prints on this machine. Or increase agents.certificate.graceDays and restart this agent.',
  },
  identity_replaced: {
    close: 4415,
    text: 'This agent has a new key: it was recovered with a code, or another machine took its place.',
    hint: 'No action needed where the code was entered: the daemon continues with the new key. The old key is no longer accepted; a machine that was replaced can be switched off.',
  },
  going_away: {
    close: 4500,
    text: 'Central stops, restarts, or asks this agent to reconnect.',
    hint: 'No action needed: the agent reconnects automatically.',
  },
  superseded: {
    close: 4501,
    text: 'A newer connection of the same agent took over.',
    hint: 'No action needed, unless two machines use one key: then enroll one of them again.',
  },
  quarantined: {
    close: 4502,
    text: 'Two running copies of this agent take the session from each other; both are held back for {seconds} seconds.',
    hint: 'A machine was cloned, or the daemon runs twice. Stop one of them, delete its data folder and enroll it as another agent.',
  },
  busy: {
    close: 4503,
    text: 'Central accepts no more connections at the moment.',
    hint: 'No action needed: the agent reconnects automatically after retryAfterSeconds.',
  },
  hello_timeout: {
    close: 4504,
    text: 'The handshake timed out after {seconds} seconds.',
    hint: 'Check the network, and find out whether the peer is a queue agent.',
  },
  ws_disabled: {
    close: 4505,
    text: 'Central accepts ws connections from its own host only (parameter websocket.enabled is false).',
    hint: 'Set central.websocket.secure=true in agent.conf and import the root of Central into the truststore of the profile, or set websocket.enabled to true.',
  },
  wss_disabled: {
    close: 4506,
    text: 'The wss listener of Central is disabled (parameter websocket.secure.enabled is false).',
    hint: 'Set websocket.secure.enabled to true.',
  },
  address_denied: {
    close: 4522,
    text: 'Central accepts no agents from the address {address} on its {listener} listener.',
    hint: 'Connect from another network, or change the address rules of that listener (the parameters allow and deny of access.ws or access.wss).',
  },
  slow_peer: {
    close: 4508,
    text: 'The peer did not read its data for {seconds} seconds.',
    hint: 'Check the network and the load of that machine.',
  },
  heartbeat_lost: {
    close: 4509,
    text: 'Nothing was received from the peer for {seconds} seconds.',
    hint: 'Check the network: a firewall may drop idle connections.',
  },
  bad_frame: {
    close: 4510,
    text: 'Invalid frame: {found}.',
    hint: 'Install the same version on both sides. If it is the same, find the device on the way that changes the data.',
  },
  frame_checksum: {
    close: 4520,
    text: 'A frame was corrupted on the way: {found}.',
    hint: 'No action needed if it happens once: nothing of the frame was stored, and its contents are sent again. If it repeats, replace the faulty network device, or use wss.',
  },
  internal: {
    close: 4511,
    text: 'Central could not continue this session.',
    hint: 'Check the log of Central at this time.',
  },
  agent_login_rate: {
    close: 4514,
    text: 'The agent {id} logs in too often; allowed again in {seconds} seconds.',
    hint: 'No action needed: the agent reconnects automatically. If it continues, find out why its sessions end so soon: check the network, and look for a second machine with the same key.',
  },
  control_rate: {
    close: 4515,
    text: 'Too many control frames: allowed are {burst} at once and {perSecond} per second, and a large one counts as several.',
    hint: 'Update the agent to the version of this Central. If it is up to date, report what it sends.',
  },
  // Retried, slowly: an administrator enables the agent at Central, without a visit to it.
  agent_disabled: {
    close: 4519,
    text: 'This agent is disabled on Central.',
    hint: 'Enable it on Central ("queuegate agents enable"). The agent then reconnects automatically within minutes.',
  },
  maintenance: {
    close: 4521,
    text: 'Central is in maintenance; the agent tries again in {seconds} seconds.',
    hint: 'No action needed: the agent reconnects automatically after the maintenance ("queuegate maintenance show" on Central).',
  },
  // Retried, since the cause is fixed at Central, without a visit to the agent.
  authentication_kind: {
    close: 4513,
    text: 'Central has no certificate of the agent {id} on record, and accepts only agents with one (parameter agents.authentication).',
    hint: 'Enroll the agent again ("queue-agent enroll ... --replace-identity"), or accept it by its key once, which issues a certificate: queuegate parameters set agents.authentication=certificate-or-key',
  },
  // Retried, since the cause is a proxy, and fixed there.
  wrong_transport: {
    close: 4516,
    text: 'The hello was made for {found}, but this listener speaks {expected}.',
    hint: 'A device between agent and Central terminates TLS. If that is intended, set central.websocket.proxied=true in agent.local.conf and add the proxy to the parameter websocket.trustedProxies.',
  },
  binding_required: {
    close: 4517,
    text: 'The hello is not bound to its TLS connection, and {address} is not a trusted proxy.',
    hint: 'Remove central.websocket.proxied from agent.local.conf, or add the proxy to the parameter websocket.trustedProxies.',
  },
  binding_mismatch: {
    close: 4518,
    text: 'The hello is bound to another TLS connection.',
    hint: 'A proxy that inspects TLS, or an attacker, is between agent and Central. Exempt the agent from it, or set central.websocket.proxied=true and add the proxy to websocket.trustedProxies.',
  },
  // Retried, though slowly: an attacker who answers in Central's place for an hour must not stop an agent for ever.
  unproven_central: {
    close: 4512,
    text: 'The welcome is not signed by the Central that this agent enrolled with.',
    hint: 'Another Central answers under this name, or Central lost its signing key. If Central was reinstalled, enroll the agent again.',
  },
} as const satisfies Record<string, ErrorDefinition & { close: number }>;

/** Makes a refusal as an error: `refusal('agent_unknown', { id })`. */
export const refusal = defineErrors(REFUSALS);

/** True when a peer must not dial again until something changes. */
export function isTerminal(closeCode: number): boolean {
  return closeCode >= 4400 && closeCode <= 4499;
}
