// The errors of binding, and of HTTP on any of the ports.
import { defineErrors } from '../../shared/errors.ts';

export const LISTENER_ERRORS = {
  port_taken: {
    status: 409,
    text: 'Port {port} on {address} cannot be bound for {listener}: it is in use by another process.',
    hint: 'Choose another port, or stop the process that holds it ("ss -ltnp" shows which); nothing was changed.',
  },
  port_refused: {
    status: 409,
    text: 'Port {port} on {address} cannot be bound for {listener}: {found}.',
    hint: 'Ports below 1024 need a privilege (CAP_NET_BIND_SERVICE); an address must be one of this host; nothing was changed.',
  },
} as const;

export const listenerFault = defineErrors(LISTENER_ERRORS);

export const HTTP_ERRORS = {
  not_found: {
    status: 404,
    text: 'There is nothing at {path}.',
    hint: 'Look at the path and the port: the REST API is at /api/v1 on the admin ports, agents connect at /agent on theirs.',
  },
  method_not_allowed: {
    status: 405,
    text: '{path} does not know {method}; it knows {allowed}.',
    hint: 'Use one of the methods in the header Allow.',
  },
  json_unparseable: {
    status: 400,
    text: 'The body is no JSON: {found}.',
    hint: 'Send JSON in UTF-8, with the header Content-Type: application/json.',
  },
  content_type_unsupported: {
    status: 415,
    text: 'The content type {found} is not known here.',
    hint: 'Send application/json; for messages also application/cloudevents+json and application/cloudevents-batch+json.',
  },
  body_too_large: {
    status: 413,
    text: 'The body is larger than this path takes ({maxBytes} bytes).',
    hint: 'Send less at once: several requests, or smaller messages.',
  },
  request_unreadable: {
    status: 400,
    text: 'What came is no HTTP request that can be read.',
    hint: 'Speak HTTP/1.1 (RFC 9112) on this port; look at what stands between the client and Central.',
  },
  headers_too_large: {
    status: 431,
    text: 'The headers of the request are larger than {maxBytes} bytes.',
    hint: 'Send fewer and smaller headers; no request of this product needs cookies.',
  },
  request_timeout: {
    status: 408,
    text: 'The request did not come in full within its time.',
    hint: 'Send it faster, or look at the line.',
  },
  too_many_requests: {
    status: 429,
    text: 'Too many requests without a valid token came from this address.',
    hint: 'Send the next one after {seconds} s; requests to the administration with a valid API token have no such limit.',
  },
  responses_unread: {
    status: 503,
    text: 'Too much of earlier responses is still unread by this address, or by all addresses together.',
    hint: 'Read the responses that are under way, or close their connections; then retry.',
  },
  request_failed: {
    status: 500,
    text: 'Central could not carry out this request.',
    hint: 'Look at the log of Central at this time.',
  },
  url_bad: {
    status: 400,
    text: 'The path of the request cannot be read.',
    hint: 'Encode special characters in it (RFC 3986 section 2.1).',
  },
  upgrade_required: {
    status: 426,
    text: 'This is where queue agents connect: a WebSocket with the subprotocol {subprotocol}.',
    hint: 'Let a queue agent of this version dial it ("queue-agent start"); the REST API is on the admin ports.',
  },
} as const;

export const httpFault = defineErrors(HTTP_ERRORS);
