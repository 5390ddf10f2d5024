// The errors of binding, and of HTTP on any of the ports.
import { defineErrors } from '../../shared/errors.ts';

export const LISTENER_ERRORS = {
  port_taken: {
    status: 409,
    text: 'Port {port} on {address} cannot be bound for {listener}: another process uses it.',
    hint: 'Choose another port, or stop the process that holds it ("ss -ltnp" shows which). Nothing was changed.',
  },
  port_refused: {
    status: 409,
    text: 'Port {port} on {address} cannot be bound for {listener}: {found}.',
    hint: 'Ports below 1024 need a privilege (CAP_NET_BIND_SERVICE); an address must belong to this host. Nothing was changed.',
  },
} as const;

export const listenerFault = defineErrors(LISTENER_ERRORS);

export const HTTP_ERRORS = {
  not_found: {
    status: 404,
    text: '{path} was not found.',
    hint: 'Check the path and the port: the REST API is at /api/v1 on the admin ports, agents connect at /agent on theirs.',
  },
  method_not_allowed: {
    status: 405,
    text: '{path} does not allow {method}; allowed: {allowed}.',
    hint: 'Use one of the methods in the header Allow.',
  },
  json_unparseable: {
    status: 400,
    text: 'The body is not valid JSON: {found}.',
    hint: 'Send JSON in UTF-8, with the header Content-Type: application/json.',
  },
  content_type_unsupported: {
    status: 415,
    text: 'The content type {found} is not supported.',
    hint: 'Send application/json; for a PATCH also application/merge-patch+json, for messages also application/cloudevents+json or application/cloudevents-batch+json.',
  },
  body_too_large: {
    status: 413,
    text: 'The body exceeds the limit of this path ({maxBytes} bytes).',
    hint: 'Send less at once: several requests, or smaller messages.',
  },
  request_unreadable: {
    status: 400,
    text: 'Malformed HTTP request.',
    hint: 'Send HTTP/1.1 (RFC 9112) to this port; check proxies between the client and Central.',
  },
  headers_too_large: {
    status: 431,
    text: 'The request headers exceed {maxBytes} bytes.',
    hint: 'Send fewer and smaller headers; no request to Central needs cookies.',
  },
  request_timeout: {
    status: 408,
    text: 'The request timed out before it was complete: its headers, or 256 KiB of its body in a minute, did not arrive.',
    hint: 'Send it faster, or check the network.',
  },
  too_many_requests: {
    status: 429,
    text: 'Too many requests without a valid token came from this address.',
    hint: 'Retry after {seconds} s. Requests to the administration with a valid API token have no such limit.',
  },
  responses_unread: {
    status: 503,
    text: 'This address, or all addresses together, have too many bytes of unread responses.',
    hint: 'Read the pending responses, or close their connections; then retry.',
  },
  request_failed: {
    status: 500,
    text: 'Central could not process this request.',
    hint: 'Check the log of Central at this time.',
  },
  url_bad: {
    status: 400,
    text: 'The path of the request is malformed.',
    hint: 'Encode special characters in it (RFC 3986 section 2.1).',
  },
  upgrade_required: {
    status: 426,
    text: 'Queue agents connect here: a WebSocket with the subprotocol {subprotocol} is required.',
    hint: 'Connect a queue agent of this version ("queue-agent start"); the REST API is on the admin ports.',
  },
  upgrade_removed: {
    status: 426,
    text: 'The request has the headers of a WebSocket, but not Upgrade: a proxy on the way removed it.',
    hint: 'Let the proxy pass Upgrade and Connection over HTTP/1.1 (nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade").',
  },
  subprotocol_required: {
    status: 426,
    text: 'The WebSocket does not offer the subprotocol {subprotocol}.',
    hint: 'Connect a queue agent of this version; install the same version on both sides.',
  },
} as const;

export const httpFault = defineErrors(HTTP_ERRORS);
