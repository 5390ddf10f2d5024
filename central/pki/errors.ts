// The error table of Central's authority, certificates and enrolment.
import { defineErrors, type ErrorTable } from '../../shared/errors.ts';

export const PKI_ERRORS = {
  certificate_unreadable: {
    status: 422,
    text: '{what} is no certificate that can be read: {found}.',
    hint: 'Give it as PEM (-----BEGIN CERTIFICATE-----), the certificate of the server first, the root last.',
  },
  key_material_damaged: {
    status: 500,
    text: 'What the store keeps as "{name}" cannot be used: {found}.',
    hint: 'Restore the data folder of Central from a backup. Central makes no new one by itself: every agent would have to enrol again.',
  },
  distinguished_name_bad: {
    status: 422,
    text: '"{found}" is no distinguished name: {reason}.',
    hint: 'Write it as in CN=central.bank.example, O=Bank, C=CH.',
  },
  server_certificate_unfit: {
    status: 422,
    text: 'The server certificate cannot be used: {found}.',
    hint: 'The certificate in use stays. Mend the names or the clock, and try again.',
  },
  csr_unreadable: { status: 422, text: 'The certificate request cannot be read: {found}.', hint: 'Send a PKCS#10 request as PEM (-----BEGIN CERTIFICATE REQUEST-----).' },
  csr_signature: { status: 422, text: 'The certificate request is not signed with the key that it names.', hint: 'Make the request again on the machine that holds the key.' },
  csr_key_type: { status: 422, text: 'The key of the certificate request is {found}; allowed: ECDSA on the curve P-256.', hint: 'Let the agent make its key by itself ("queue-agent enrol").' },
  enrolment_closed: {
    status: 403,
    text: 'Central takes no new agents (parameter agents.enrolment is closed).',
    hint: 'Set agents.enrolment to token: queuegate parameters set agents.enrolment=token',
  },
  enrolment_name_reserved: { status: 409, text: 'The name {name} is kept for the agent on Central\'s own host.', hint: 'Give this agent another name (agent.name, --agent-name).' },
  enrolment_refused: {
    status: 401,
    text: 'The enrolment token is not valid, or was made for another agent, or the request was changed on its way.',
    hint: 'Make a new one on Central with "queuegate tokens create-enrolment" and use the line that it prints as it is.',
  },
  enrolment_token_in_the_clear: {
    status: 400,
    text: 'An enrolment token may not cross an unencrypted line; this request carried one, and the token was withdrawn.',
    hint: 'Make a new token, and enrol over the secure port, or with an agent that sends the proof instead of the token.',
  },
  enrolment_request_bad: { status: 400, text: 'The enrolment request is not as the protocol has it: {found}.', hint: 'Use "queue-agent enrol" of the version that belongs to this Central.' },
} as const satisfies ErrorTable;

export const pkiFault = defineErrors(PKI_ERRORS);
