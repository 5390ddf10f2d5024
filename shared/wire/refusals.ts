// Owns the codes with which a session is refused or ended: the last word of either side on the line.
// 4400-4499 are terminal: the agent stops dialling until its configuration, its identity or its software changes.
// 4500-4599 are to be retried with backoff, not before retryAfterSeconds. (RFC 6455 section 7.4.2: 4000-4999 are private use.)
import { defineErrors, type ErrorDefinition } from '../errors.ts';

export const REFUSALS = {
  unsupported_protocol: {
    close: 4400,
    text: 'The first frame is no hello of queuegate.v1: {found}.',
    hint: 'Something else than a queue agent dialled this port, or an agent of another version: install the agent that belongs to this Central.',
  },
  agent_unknown: {
    close: 4401,
    text: 'No agent with the id {id} and this key is registered here.',
    hint: 'Enroll it: on Central run "queuegate enrollment-tokens create", on this machine the line that it prints.',
  },
  bad_signature: {
    close: 4402,
    text: 'The signature of the hello does not fit its contents and its key.',
    hint: 'The key file of the agent is damaged, or somebody changes what passes on the line. Restore the key file, or enroll the agent again.',
  },
  replayed_hello: {
    close: 4403,
    text: 'The hello answers another challenge than the one of this connection.',
    hint: 'Somebody replays recorded traffic, or a proxy mixes connections: look at what stands between the agent and Central.',
  },
  wrong_transport: {
    close: 4404,
    text: 'The hello was made for {found}, this listener speaks {expected}.',
    hint: 'Something between agent and Central ends TLS. If that is meant to be, set central.websocket.proxied=true in agent.local.conf and name the proxy in the parameter websocket.trustedProxies.',
  },
  binding_required: {
    close: 4405,
    text: 'The hello is not bound to its TLS connection, and {address} is no trusted proxy.',
    hint: 'Remove central.websocket.proxied from agent.local.conf, or name the proxy in the parameter websocket.trustedProxies.',
  },
  binding_mismatch: {
    close: 4406,
    text: 'The hello is bound to another TLS connection than the one it came over.',
    hint: 'Something between agent and Central opens the TLS connection (a proxy that inspects, or an attacker). Let the agent pass it by, or set central.websocket.proxied=true and name the proxy in websocket.trustedProxies.',
  },
  agent_key_mismatch: {
    close: 4407,
    text: 'The id {id} belongs to an agent with another key.',
    hint: 'If it is that agent, and its key was lost or its machine replaced: "queuegate agents recovery-code create {id}" on Central prints the line that gives it this place with all its messages. Else give this agent an id of its own (agent.id).',
  },
  agent_name_taken: {
    close: 4408,
    text: 'The name {name} belongs to another agent, as its name or its id, or is reserved.',
    hint: 'Give this agent another name (agent.name in agent.local.conf).',
  },
  agent_deleted: {
    close: 4409,
    text: 'This agent was removed on Central.',
    hint: 'If it is to come back, enroll it again: on Central run "queuegate enrollment-tokens create".',
  },
  certificate_required: {
    close: 4410,
    text: 'The agent showed no client certificate, and Central requires one (parameter websocket.secure.clientAuth).',
    hint: 'Enroll the agent again, which gives it one; behind a proxy that ends TLS, set websocket.secure.clientAuth to optional.',
  },
  certificate_foreign: {
    close: 4411,
    text: 'The client certificate cannot be taken: {found}.',
    hint: 'Enroll the agent again: that gives it a certificate of this Central for its key.',
  },
  agent_revoked: {
    close: 4412,
    text: 'This agent was revoked on Central ({reason}).',
    hint: 'If it may come back, let it have a new key: on Central run "queuegate agents recovery-code create", on this machine the line that it prints.',
  },
  certificate_expired: {
    close: 4413,
    text: 'The certificate of this agent expired on {date}, longer ago than an agent may still renew it ({graceDays} days, parameter agents.certificate.graceDays).',
    hint: 'On Central run "queuegate agents recovery-code create", on this machine the line that it prints; or let agents come longer: set agents.certificate.graceDays, and start this agent again.',
  },
  identity_replaced: {
    close: 4415,
    text: 'This agent enrolled again with a recovery code and has another key now.',
    hint: 'Nothing to do where the code was typed: the daemon goes on with the new key. A copy of the old key elsewhere is a stranger from now on.',
  },
  going_away: {
    close: 4500,
    text: 'Central stops or restarts.',
    hint: 'No action needed: the agent reconnects automatically.',
  },
  superseded: {
    close: 4501,
    text: 'A newer connection of the same agent took over.',
    hint: 'Nothing to do, unless two machines run with one key: then enroll one of them anew.',
  },
  quarantined: {
    close: 4502,
    text: 'Two running copies of this agent take the session from each other; both are held back for {seconds} seconds.',
    hint: 'A machine was cloned, or the daemon runs twice. Stop one of them, delete its data folder and enroll it as an agent of its own.',
  },
  busy: {
    close: 4503,
    text: 'Central admits no more connections at this moment.',
    hint: 'Nothing to do: the agent comes back after the time it was given.',
  },
  hello_timeout: {
    close: 4504,
    text: 'No welcome within {seconds} seconds after the connection began.',
    hint: 'The line is very slow, or the peer is no queue agent.',
  },
  ws_disabled: {
    close: 4505,
    text: 'Central takes unencrypted connections from its own host only (parameter websocket.enabled is false).',
    hint: 'Set central.websocket.secure=true in agent.conf and give the profile a truststore with the root of Central, or switch websocket.enabled on.',
  },
  wss_disabled: {
    close: 4506,
    text: 'The secure WebSocket of Central was switched off (parameter websocket.secure.enabled is false).',
    hint: 'Switch websocket.secure.enabled on again.',
  },
  slow_peer: {
    close: 4508,
    text: 'The peer did not read what it was sent for {seconds} seconds.',
    hint: 'Look at the line and the load of that machine.',
  },
  heartbeat_lost: {
    close: 4509,
    text: 'Nothing was heard from the peer for {seconds} seconds.',
    hint: 'Look at the line: a firewall may drop idle connections.',
  },
  bad_frame: {
    close: 4510,
    text: 'A frame is not as the protocol has it: {found}.',
    hint: 'Agent and Central are of versions that do not fit, or something changes what passes on the line.',
  },
  frame_checksum: {
    close: 4520,
    text: 'A frame was changed on the line: {found}.',
    hint: 'No action needed if it happens once: nothing of that frame was stored, and what it held is sent again. If it repeats, replace the faulty device on the line, or use wss.',
  },
  internal: {
    close: 4511,
    text: 'Central could not go on with this session.',
    hint: 'Look at the log of Central at this time.',
  },
  agent_login_rate: {
    close: 4514,
    text: 'The agent {id} logs in too often; allowed again in {seconds} seconds.',
    hint: 'No action needed: the agent reconnects automatically. If it goes on, find out why its sessions end so soon: look at the line, and for a second machine with the same key.',
  },
  control_rate: {
    close: 4515,
    text: 'Too many frames beside messages: at most {burst} at once and {perSecond} per second are allowed, and a large one counts for several.',
    hint: 'Update the agent to the version of this Central. If it is up to date, report what it sends.',
  },
  // Retried, since the cause is fixed at Central, without a visit to the agent.
  authentication_kind: {
    close: 4513,
    text: 'Central knows no certificate of the agent {id}, and lets in only agents that have one (parameter agents.authentication).',
    hint: 'Enroll the agent again ("queue-agent enroll ... --replace-identity"), or let it come by its key alone once, which gives it a certificate: queuegate parameters set agents.authentication=certificate-or-key',
  },
  // Retried, though slowly: whoever can answer in Central's place for an hour must not take an agent away for ever.
  unproven_central: {
    close: 4512,
    text: 'The welcome is not signed by the Central that this agent enrolled with.',
    hint: 'Another Central answers under this name, or Central lost its signing key. If Central was set up anew, enroll the agent again.',
  },
} as const satisfies Record<string, ErrorDefinition & { close: number }>;

export type RefusalCode = keyof typeof REFUSALS;

/** Makes a refusal as an error: `refusal('agent_unknown', { id })`. */
export const refusal = defineErrors(REFUSALS);

/** True when a peer must not dial again until something changes. */
export function isTerminal(closeCode: number): boolean {
  return closeCode >= 4400 && closeCode <= 4499;
}
