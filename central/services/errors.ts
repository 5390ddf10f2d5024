// The errors of services: what a request about an exposure is refused with, and what callers of a service get instead of
// its answer.
import { defineErrors, type ErrorTable } from '../../shared/errors.ts';

export const SERVICE_ERRORS = {
  service_exposure_invalid: {
    status: 422,
    text: 'The service cannot be exposed so: {found}.',
    hint: 'See "queuegate services expose --help" and docs/SERVICES.md.',
  },
  service_listener_closed: {
    text: 'The service {service} of the agent {agent} is not reachable on port {port}: {found}',
    hint: 'Stop the process that holds the port ("ss -ltnp" shows which). Central tries again by itself.',
  },
  service_request_invalid: {
    status: 400,
    text: 'The request to the service is refused: {found}.',
    hint: 'Send one Host header, a path without dot segments, and one valid length of the body. Programs could read such a request in two ways.',
  },
  service_access_denied: {
    status: 403,
    text: 'The role {role} may not send {method} to this service.',
    hint: 'An administrator allows addresses and certificates: "queuegate services set" with --allow; on the port of all services "queuegate parameters set services.allow=...".',
  },
  service_origin_denied: {
    status: 403,
    text: 'Pages of {origin} may not open a WebSocket to this service.',
    hint: 'Open it from a page of the service itself, or with a program that sends no Origin.',
  },
  service_websockets_full: {
    status: 503,
    text: 'Too many WebSockets to services of this agent are open from this address; at most {limit}.',
    hint: 'Close some of them.',
  },
  service_certificate_required: {
    status: 403,
    text: 'This service requires a client certificate: {found}.',
    hint: 'Connect with a certificate that an authority of callers of this port has issued.',
  },
  service_method_denied: {
    status: 405,
    text: 'The service does not allow {method}.',
    hint: 'The profile of the agent names the methods (service.NAME.methods). A WebSocket counts as POST unless service.NAME.upgrade=viewer.',
  },
  service_path_denied: {
    status: 404,
    text: 'The service does not serve this path.',
    hint: 'The profile of the agent names the paths (service.NAME.paths).',
  },
  service_address_unknown: {
    status: 404,
    text: 'The path names no service of an agent.',
    hint: 'On the port of all services a path is /AGENT/SERVICE/ and the path of the service: the name or the id of an agent, and the name of its service, with a slash behind it.',
  },
  service_unknown: {
    status: 404,
    text: 'The agent {agent} has no service {service}.',
    hint: 'Name it in the profile of the agent (service.{service}.url), and let the agent read its configuration again.',
  },
  service_headers_too_large: {
    status: 431,
    text: 'The headers of the request are too large to be passed on (16 KiB as JSON).',
    hint: 'Send fewer and smaller headers.',
  },
  service_agent_offline: {
    status: 503,
    text: 'The agent of this service has no session.',
    hint: 'Try again when the agent is online; "queuegate agents list" shows since when it is not.',
  },
  service_agent_too_old: {
    status: 501,
    text: 'The software of the agent is too old for services.',
    hint: 'Update the software of the agent.',
  },
  streams_full: {
    status: 503,
    text: 'Too many requests to services are open: at most 64 of one agent and 1,000 in all.',
    hint: 'Retry after the time in Retry-After.',
  },
  service_unreachable: {
    status: 502,
    text: 'The agent cannot reach the service.',
    hint: 'Check on the host of the agent that the service runs at the URL in the profile.',
  },
  service_answer_invalid: {
    status: 502,
    text: 'The answer of the service cannot be passed on.',
    hint: 'The service must answer with HTTP/1.1, and with at most 16 KiB of headers.',
  },
  service_failed: {
    status: 502,
    text: 'The request to the service ended without an answer.',
    hint: 'The service or the session of the agent has ended. Try again.',
  },
  service_silent: {
    status: 504,
    text: 'The service did not answer in time.',
    hint: 'Check the service; its profile sets the time (service.NAME.responseSeconds).',
  },
} as const satisfies ErrorTable;

export const serviceFault = defineErrors(SERVICE_ERRORS);
