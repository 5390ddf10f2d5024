// The services of this host that Central may reach: checks each request against the profile, so that the branch has the
// last word, whatever Central allows.
import { isBelow, pathOf, readFields, targetFault } from '../../shared/http/service-path.ts';
import type { Stream } from '../../shared/session/streams/stream.ts';
import { MAX_SERVICES_BYTES, type DevicePortReport, type ServicesReport } from '../../shared/wire/services/frames.ts';
import { callService, type ServiceRequest } from './http-call.ts';
import type { ServiceSettings } from './service-settings.ts';

type SendReport = (frame: ServicesReport) => void;

/** What is reported beside the services. */
interface ReportedPort {
  /** As it is now. */
  report(): DevicePortReport;
  /** Called every few seconds. */
  onLook(listener: () => void): void;
}

/** Devices come and go all the time: so often is Central told how many there are. */
const COUNT_REPORT_MS = 60_000;

export class Services {
  #settings: ReadonlyMap<string, ServiceSettings>;
  readonly #port: ReportedPort | undefined;
  readonly #now: () => number;
  #send: SendReport | undefined;
  #sentPort: DevicePortReport | undefined;
  #sentAt = 0;

  constructor(settings: readonly ServiceSettings[], port?: ReportedPort, now: () => number = () => performance.now()) {
    this.#settings = byName(settings);
    this.#port = port;
    this.#now = now;
    port?.onLook(() => this.#lookAtPort());
  }

  /** Counts for requests from now on. */
  use(settings: readonly ServiceSettings[]): void {
    this.#settings = byName(settings);
    this.#report();
  }

  onOnline(send: SendReport): void {
    this.#send = send;
    this.#report();
  }

  onOffline(): void {
    this.#send = undefined;
  }

  /** Central has opened a stream of the kind `http` or `upgrade`. */
  onStream(stream: Stream, open: Readonly<Record<string, unknown>>): void {
    const settings = this.#settings.get(String(open['service']));
    if (settings === undefined) return stream.reset('service_unknown');
    const request = open['kind'] === 'upgrade' ? upgradeOf(open) : requestOf(open);
    if (request === undefined || targetFault(request.target) !== undefined)
      return stream.reset('service_request_invalid');
    // Whatever passes on a WebSocket may change something, unless the branch says that it only reads.
    const countsAs = request.isUpgrade && settings.upgrade === 'operator' ? 'POST' : request.method;
    if (!settings.methods.includes(countsAs)) return stream.reset('service_method_denied');
    if (countsAs !== request.method && open['role'] !== 'operator') return stream.reset('service_upgrade_denied');
    if (!isBelow(pathOf(request.target), settings.paths)) return stream.reset('service_path_denied');
    callService(settings, request, stream);
  }

  #report(): void {
    const port = this.#port?.report();
    [this.#sentPort, this.#sentAt] = [port, this.#now()];
    this.#send?.(reportOf([...this.#settings.values()], port));
  }

  #lookAtPort(): void {
    const [port, sent] = [this.#port?.report() ?? null, this.#sentPort ?? null];
    const isOther = port?.connectionCount !== sent?.connectionCount && this.#now() - this.#sentAt >= COUNT_REPORT_MS;
    if (this.#send !== undefined && (isOther || exceptCount(port) !== exceptCount(sent))) this.#report();
  }
}

function exceptCount(port: DevicePortReport): string {
  return JSON.stringify({ ...port, connectionCount: 0 });
}

/** Paths are left out where all of them have no room. */
function reportOf(settings: readonly ServiceSettings[], port: DevicePortReport | undefined): ServicesReport {
  const services = settings.map(({ name, methods, paths, upgrade }) => ({
    name,
    methods: [...methods],
    paths: [...paths],
    upgrade,
  }));
  const report: ServicesReport = { type: 'services', services, ...(port === undefined ? {} : { devicePort: port }) };
  if (Buffer.byteLength(JSON.stringify(report)) <= MAX_SERVICES_BYTES) return report;
  return { ...report, services: services.map((service) => ({ ...service, paths: null })) };
}

function byName(settings: readonly ServiceSettings[]): ReadonlyMap<string, ServiceSettings> {
  return new Map(settings.map((service) => [service.name, service]));
}

function requestOf(open: Readonly<Record<string, unknown>>): ServiceRequest | undefined {
  const { method, target, bodyBytes } = open;
  const headers = readFields(open['headers']);
  if (typeof method !== 'string' || typeof target !== 'string' || headers === undefined) return undefined;
  const isLength = typeof bodyBytes === 'number' && Number.isSafeInteger(bodyBytes) && bodyBytes >= 0;
  return bodyBytes === null || isLength ? { method, target, headers, bodyBytes, isUpgrade: false } : undefined;
}

function upgradeOf(open: Readonly<Record<string, unknown>>): ServiceRequest | undefined {
  const request = requestOf({ ...open, method: 'GET', bodyBytes: 0 });
  return request === undefined ? undefined : { ...request, isUpgrade: true };
}
