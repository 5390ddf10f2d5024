// Node's HTTP without what an ES import of `node:http` loads besides: the import reads each member of the module, and
// with the lazy ones the whole client of `fetch`, 5 MiB of the memory of a daemon (measured). Types are imported from
// `node:http` itself.
import type { Server as HttpsServer, ServerOptions as HttpsOptions } from 'node:https';
import type { Agent as HttpAgent, ServerResponse as HttpServerResponse } from 'node:http';

export const { Agent, createServer, request, ServerResponse, STATUS_CODES } = process.getBuiltinModule('node:http');

/** Loaded with its first use: few agents have a port for devices. */
export const createTlsServer = (options: HttpsOptions): HttpsServer =>
  process.getBuiltinModule('node:https').createServer(options);

export type Agent = HttpAgent;
export type ServerResponse = HttpServerResponse;
