// Node's HTTP without what an ES import of `node:http` loads besides: the import reads each member of the module, and
// with the lazy ones the whole client of `fetch`, 5 MiB of the memory of a daemon (measured). Types are imported from
// `node:http` itself.
import type { Agent as HttpAgent, ServerResponse as HttpServerResponse } from 'node:http';

export const { Agent, createServer, request, ServerResponse, STATUS_CODES } = process.getBuiltinModule('node:http');

export type Agent = HttpAgent;
export type ServerResponse = HttpServerResponse;
