// Opens a connection through an HTTP proxy (CONNECT, RFC 9110 section 9.3.6) and names each reason why it does not. TLS
// to Central goes through it from end to end: the proxy sees the name of Central, and nothing else.
import type { IncomingMessage } from 'node:http';
import { isIPv6, type Socket } from 'node:net';
import { readBoundedFile } from '../../shared/files/bounded-file.ts';
import { systemCode, textOf, type CodedError } from '../../shared/errors.ts';
import { agentFault } from '../errors.ts';
import type { Proxy } from './proxy-settings.ts';
import { openTcp, type Place } from './tcp.ts';
import { request as httpRequest } from '../../shared/http/node-http.ts';

const MAX_PASSWORD_BYTES = 4096;
const MAX_HEADER_BYTES = 16 * 1024;

/**
 * Throws proxy_unreachable, proxy_login_required, proxy_forbids, proxy_host_unknown, proxy_target_unreachable,
 * proxy_answer_bad.
 */
export async function connectThrough(proxy: Proxy, place: Place, signal: AbortSignal): Promise<Socket> {
  const [name, authority] = [hostPort(proxy), hostPort(place)];
  const password = proxy.passwordFile === undefined ? proxy.password : await readPassword(proxy.passwordFile);
  let socket: Socket;
  try {
    socket = await openTcp(proxy, signal);
  } catch (error) {
    throw agentFault('proxy_unreachable', { proxy: name, origin: proxy.origin, found: reasonOf(error, proxy) }, error);
  }
  return await new Promise<Socket>((resolve, reject) => {
    const request = httpRequest({
      method: 'CONNECT',
      path: authority,
      setHost: false,
      headers: { host: authority, connection: 'keep-alive', ...loginHeader(proxy.user, password) },
      createConnection: () => socket,
      maxHeaderSize: MAX_HEADER_BYTES,
      signal,
    });
    // Node says so for every answer to CONNECT, whatever its status.
    request.once('connect', (response, carrier, head) => {
      const { statusCode: status = 0 } = response;
      // Central speaks second, also in TLS: what comes already is not Central's.
      if (status >= 200 && status < 300 && head.length === 0) return resolve(carrier);
      carrier.destroy();
      reject(explainAnswer(response, head.toString('latin1'), { proxy, name, place, authority }));
    });
    // `on`: an abort later ends the request once more.
    request.on('error', (error) =>
      reject(
        signal.aborted
          ? agentFault('proxy_target_unreachable', {
              proxy: name,
              target: authority,
              found: 'it did not answer CONNECT in time',
            })
          : agentFault('proxy_answer_bad', { proxy: name, origin: proxy.origin, found: textOf(error) }, error),
      ),
    );
    request.end();
  });
}

interface AnswerContext {
  readonly proxy: Proxy;
  readonly name: string;
  readonly place: Place;
  readonly authority: string;
}

function explainAnswer(
  response: IncomingMessage,
  body: string,
  { proxy, name, place, authority }: AnswerContext,
): CodedError {
  const { statusCode: status = 0, statusMessage = '', headers } = response;
  const found = `HTTP ${status}${statusMessage === '' ? '' : ` "${statusMessage.slice(0, 120)}"`}`;
  // Tinyproxy says 401 where it means 407.
  if (status === 407 || status === 401) {
    const [schemes, sent] = [headers['proxy-authenticate'] ?? [], loginSent(proxy)];
    return agentFault('proxy_login_required', {
      proxy: name,
      status,
      found: `${sent}; it offers ${schemesOf(schemes)}`,
    });
  }
  // Squid names the cause in a header, others in their page.
  const cause = [headers['x-squid-error'], statusMessage, body.slice(0, 2048)].flat().join(' ');
  if (status >= 500 && /ERR_DNS_FAIL|\bDNS\b|resolve|unknown host|name or service not known/i.test(cause))
    return agentFault('proxy_host_unknown', { proxy: name, host: place.host, found });
  if (status >= 500) return agentFault('proxy_target_unreachable', { proxy: name, target: authority, found });
  if (status >= 400) return agentFault('proxy_forbids', { proxy: name, target: authority, port: place.port, found });
  return agentFault('proxy_answer_bad', { proxy: name, origin: proxy.origin, found });
}

function loginSent({ user }: Proxy): string {
  return user === undefined ? 'no user is configured' : `the user "${user}" or its password was refused`;
}

function schemesOf(header: string | readonly string[]): string {
  const schemes = [header].flat().map((value) => /^[\w-]{1,32}/.exec(value)?.[0] ?? '');
  return schemes.filter((scheme) => scheme !== '').join(', ') || 'no scheme';
}

function loginHeader(user: string | undefined, password = ''): Readonly<Record<string, string>> {
  return user === undefined
    ? {}
    : { 'proxy-authorization': `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}` };
}

/** Its one line; line breaks at the end do not belong to it. */
async function readPassword(path: string): Promise<string> {
  const bytes = await readBoundedFile({
    path,
    what: 'The password file of the proxy',
    maxBytes: MAX_PASSWORD_BYTES,
    hint: 'Write the password of the proxy into it, or correct central.proxy.passwordFile.',
  });
  return bytes.toString('utf8').replace(/[\r\n]+$/, '');
}

function reasonOf(error: unknown, { host }: Proxy): string {
  const code = systemCode(error);
  if (code === 'ENOTFOUND' || code === 'EAI_AGAIN') return `its name ${host} cannot be resolved`;
  if (code === 'ECONNREFUSED') return 'nothing listens there';
  return code === 'ETIMEDOUT' ? 'it does not answer' : (code ?? textOf(error));
}

function hostPort({ host, port }: Place): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`;
}
