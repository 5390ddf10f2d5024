// The steps of the doctor in their order: configuration, identity, truststore; then for each host DNS, TCP, TLS,
// chain, name, dates, protocol, authentication; last the port for devices, where there is one. Each step reports what it found; the walk ends at the first fault,
// with its hint.
import type { X509Certificate } from 'node:crypto';
import { firstInPem } from '../../shared/x509/certificates.ts';
import { counted, FORMAT_NAMES, nameLine, subjectLine } from '../../shared/keystore/material.ts';
import { day } from '../../shared/truststore/entries.ts';
import { readEnrollmentToken, readPin } from '../../shared/wire/enrollment.ts';
import type { Challenge } from '../../shared/wire/messages.ts';
import { hasUnreadableDate, validityOf } from '../../shared/x509/validity.ts';
import { isIssuerMissing } from '../connection/faults.ts';
import type { TlsProbe } from '../connection/tls-probe.ts';
import { loadAgentConf, type AgentConf, type AgentConfRequest } from '../conf.ts';
import type { ProxySettings } from '../dial/proxy-settings.ts';
import { agentName, dialTargets, type Target, targetName, withProxy } from '../target.ts';
import { examineDevicePort, type Lookup } from './device-port.ts';
import { authenticate, type Patient } from './hello.ts';
import {
  askForDate,
  probeHost,
  reachHost,
  reachThroughProxy,
  readChallenge,
  resolveHost,
  type LineOptions,
} from './network.ts';
import { step, Stopped, type Notes, type Walk } from './step.ts';
import { pinnedIn, readEnrollUrl } from '../enrollment/enroll.ts';
import { agentFault } from '../errors.ts';
import { loadCredentials, loadIdentity, loadKey, type Credentials } from '../identity/identity.ts';
import { softwareSlot } from '../software-slot.ts';
import { trustHint } from '../trust/import-command.ts';
import { datesFault, nameFault, namesOf, trustPath, type TrustPath } from '../trust/path.ts';
import { trustFile } from '../trust/managed-roots.ts';
import { loadTrusted, type Trusted } from '../trust/trusted.ts';
import type { TrustedCertificate } from '../trust/truststore.ts';

export interface DoctorOptions {
  /** Of each step that waits for a peer. */
  readonly timeoutMs: number;
  readonly now: () => Date;
  /** Of host names, for the port for devices; only tests name another one. */
  readonly lookup?: Lookup;
}

export interface EnrollmentQuestion {
  readonly url: string;
  readonly pin: string | undefined;
  readonly token: string | undefined;
  readonly proxies: ProxySettings;
}

/** Clocks of branch PCs run apart by seconds; minutes make certificates fail. */
const SKEW_MS = 60_000;
/** Central answers at once; another host may never. */
const CLOCK_MS = 3_000;
/** A clock that is so far apart from Central's is the cause of a date that does not fit. */
const WRONG_CLOCK_MS = 5 * 60_000;

/**
 * Examines an agent that is enrolled. The value is true when it gets, or could get, online, and its port for devices, if it
 * has one, can be opened.
 */
export async function* examineAgent(request: AgentConfRequest, options: DoctorOptions): Walk<boolean> {
  try {
    const conf = yield* step('configuration', undefined, (notes) => readConfiguration(request, notes));
    const { identity, key, next } = yield* step('identity', undefined, (notes) => readIdentity(conf, options, notes));
    const truststore = conf.central.secure
      ? yield* step('truststore', undefined, (notes) => readTrusted(conf, options, notes))
      : undefined;
    let online = false;
    for (const target of dialTargets(conf, identity)) {
      const patient = {
        conf,
        identity,
        key,
        next,
        ca: truststore?.ca ?? [],
        line: { ...options, truststore: conf.truststore.path },
        software: softwareSlot(request.environment)?.pair,
      };
      online = (yield* examineTarget(target, patient)) || online;
    }
    const devices = conf.localApi.tlsPort === 0 || (yield* examineDevicePort(conf, options));
    return online && devices;
  } catch (error) {
    if (error instanceof Stopped) return false;
    throw error;
  }
}

/** One host. A fault ends this host only: an agent goes on to the next one too. */
async function* examineTarget(target: Target, patient: Patient): Walk<boolean> {
  const { ca, line } = patient;
  try {
    const look = yield* reachAndLook(target, line);
    if (look !== undefined) {
      const trusted = ca.map((pem) => firstInPem(pem));
      const path = yield* step('chain', target, (notes) => validateChain(look, trusted, target, line, notes));
      yield* nameAndDates(path, target, line);
    }
    const challenge = yield* step('protocol', target, (notes) => greet(target, ca, line, notes));
    yield* step('authentication', target, (notes) => authenticate(patient, target, challenge, notes));
    return true;
  } catch (error) {
    if (error instanceof Stopped) return false;
    throw error;
  }
}

/** Examines the way to an enrollment, before a token is used. */
export async function* examineEnrollment(
  { url, pin, token, proxies }: EnrollmentQuestion,
  options: DoctorOptions,
): Walk<boolean> {
  const line = { ...options, truststore: 'the pin' };
  try {
    const { target, wanted } = yield* step('address', undefined, (notes) => {
      const read = withProxy(readEnrollUrl(url), proxies);
      notes.say(`${read.secure ? 'https' : 'http'}, host ${read.host}, port ${read.port}`);
      if (read.secure && pin === undefined) throw agentFault('pin_missing', {});
      const readable = pin === undefined ? undefined : readPin(pin);
      if (pin !== undefined && readable === undefined) throw agentFault('pin_bad', {});
      if (token !== undefined && readEnrollmentToken(token) === undefined) throw agentFault('token_bad', {});
      // A token that was tried might be used up.
      if (token !== undefined)
        notes.say('the token has the form of one; whether Central knows it is seen by the enrollment itself');
      return { target: read, wanted: readable };
    });
    const look = yield* reachAndLook(target, line);
    let ca: readonly string[] = [];
    if (look !== undefined && wanted !== undefined) {
      const path = yield* step('pin', target, (notes) => {
        notes.say(...look.chain.map(certificateLine));
        const pinned = pinnedIn(look.chain, wanted, target);
        const found = trustPath(look.chain, [pinned], line.now());
        if (found.anchor === undefined) throw agentFault('tls_unknown_authority', authorityFacts(found, target, line));
        notes.say(`the pin is that of ${subjectLine(pinned)}`);
        return found;
      });
      yield* nameAndDates(path, target, line);
      ca = path.anchor === undefined ? [] : [path.anchor.toString()];
    }
    yield* step('protocol', target, (notes) => greet(target, ca, line, notes));
    return true;
  } catch (error) {
    if (error instanceof Stopped) return false;
    throw error;
  }
}

async function* reachAndLook(target: Target, line: LineOptions): Walk<TlsProbe | undefined> {
  yield* reach(target, line);
  if (!target.secure) return undefined;
  return yield* step('TLS', target, async (notes) => {
    const look = await probeHost(target, line);
    notes.say(`${look.protocol}, ${look.cipher}`, ...look.chain.map(certificateLine));
    return look;
  });
}

/** A proxy resolves the name and connects in place of this machine. */
async function* reach(target: Target, line: LineOptions): Walk<void> {
  const { proxy } = target;
  if (proxy !== undefined) {
    yield* step('proxy', target, async (notes) => {
      notes.say(`${proxy.host} port ${proxy.port} (${proxy.origin})`);
      const afterMs = await reachThroughProxy(target, line);
      notes.say(`it connects to ${target.host} port ${target.port} (after ${afterMs} ms)`);
    });
    return;
  }
  const addresses = yield* step('DNS', target, async (notes) => {
    const found = await resolveHost(target, line);
    notes.say(found[0] === target.host ? `${target.host} is an address` : `${target.host} has ${found.join(', ')}`);
    return found;
  });
  yield* step('TCP', target, async (notes) => {
    const reached = await reachHost(target, addresses, line);
    notes.warn(...reached.failed);
    notes.say(
      `${reached.address} port ${target.port} takes connections (after ${reached.afterMs} ms, from ${reached.from})`,
    );
  });
}

async function* nameAndDates(path: TrustPath, target: Target, line: LineOptions): Walk<void> {
  const [leaf] = path.path;
  if (leaf === undefined) return;
  yield* step('name', target, (notes) => {
    notes.say(`it is valid for ${namesOf(leaf)}`);
    const fault = nameFault(leaf, target);
    if (fault !== undefined) throw fault;
  });
  yield* step('dates', target, async (notes) => {
    const now = line.now();
    notes.say(...path.path.map((certificate) => `${subjectLine(certificate)}: ${validLine(certificate)}`));
    const fault = datesFault(path, target, line.truststore, now);
    if (fault === undefined) return;
    const theirs = await askForDate(target, Math.min(line.timeoutMs, CLOCK_MS));
    notes.say(whoseClock(now, theirs));
    throw fault;
  });
}

/** Which of the two clocks is to be doubted. */
function whoseClock(now: Date, theirs: Date | undefined): string {
  if (theirs === undefined)
    return `this machine's clock shows ${now.toISOString()}; the host reports none to compare with`;
  const apart = Math.abs(now.getTime() - theirs.getTime());
  const both = `this machine's clock shows ${now.toISOString()}, the host's (unencrypted, unproven) ${theirs.toISOString()}`;
  return apart > WRONG_CLOCK_MS
    ? `${both}: they are ${duration(apart)} apart, so one of them is wrong, and this result may be wrong too`
    : `${both}: they agree, so the certificate is at fault`;
}

function duration(ms: number): string {
  const [seconds, minutes, hours, days] = [ms / 1000, ms / 60_000, ms / 3_600_000, ms / 86_400_000].map(Math.round) as [
    number,
    number,
    number,
    number,
  ];
  if (days >= 2) return counted(days, 'day');
  if (hours >= 2) return counted(hours, 'hour');
  return minutes >= 2 ? counted(minutes, 'minute') : counted(seconds, 'second');
}

async function readConfiguration(request: AgentConfRequest, notes: Notes): Promise<AgentConf> {
  const conf = await loadAgentConf(request);
  const { secure, proxied, endpoints } = conf.central;
  notes.say(`profile ${conf.profile.folder}`, `data folder ${conf.dataFolder}`);
  notes.say(
    endpoints.length === 0
      ? 'no host of Central is configured: the one of the enrollment is dialled'
      : `dials ${endpoints.map(({ host, port }) => targetName({ secure, host, port })).join(', ')}`,
  );
  if (proxied) notes.say('TLS ends at a proxy before Central (central.websocket.proxied)');
  if (!secure) notes.warn('ws: this connection is not encrypted (central.websocket.secure=false)');
  notes.warn(...conf.warnings);
  return conf;
}

async function readIdentity(conf: AgentConf, { now }: DoctorOptions, notes: Notes): Promise<Credentials> {
  if ((await loadIdentity(conf.dataFolder)) === undefined) throw agentFault('not_enrolled', {});
  // Without one, it would be made: the doctor makes nothing.
  if ((await loadKey(conf.dataFolder)) === undefined)
    throw agentFault('identity_damaged', { file: conf.dataFolder, found: 'its key (agent-key.pem) is missing' });
  const credentials = await loadCredentials(conf.dataFolder);
  if (credentials === undefined) throw agentFault('not_enrolled', {});
  const { identity, key, next } = credentials;
  notes.say(
    `${agentName(conf, identity)}, id ${identity.id}, enrolled with Central "${identity.central}"`,
    `key sha256:${key.thumbprint}`,
  );
  let certificate: X509Certificate;
  try {
    certificate = firstInPem(identity.certificate);
  } catch (error) {
    throw agentFault('identity_damaged', { file: conf.dataFolder, found: 'its certificate cannot be read' }, error);
  }
  notes.say(`certificate ${certificateLine(certificate)}`);
  if (!certificate.checkPrivateKey(key.privateKey))
    notes.warn('this certificate belongs to another key; what proves the agent is its key');
  const { from, to } = validityOf(certificate);
  if (hasUnreadableDate(certificate)) notes.warn('this certificate has an unreadable date');
  else if (to < now()) notes.warn(`this certificate expired on ${day(to)}`);
  else if (from > now())
    notes.warn(
      `this certificate is not valid before ${day(from)}; the clock of this machine shows ${day(now())}. Central accepts it, and renews it when the agent connects`,
    );
  if (next !== undefined) notes.say(`a fresh key waits for its first welcome: sha256:${next.key.thumbprint}`);
  return credentials;
}

async function readTrusted(conf: AgentConf, { now }: DoctorOptions, notes: Notes): Promise<Trusted> {
  const { path, origin } = conf.truststore;
  const trusted = await loadTrusted(conf, now());
  const { truststore, fromCentral } = trusted;
  notes.say(`${path} (${origin})`);
  notes.say(
    truststore === undefined
      ? 'it holds no certificate, and none is needed: Central gave its roots'
      : `${FORMAT_NAMES[truststore.format]}, ${counted(truststore.certificates.length, 'certificate')}`,
  );
  notes.say(...(truststore?.certificates ?? []).map(trustedLine));
  if (fromCentral.length > 0)
    notes.say(
      `${trustFile(conf.dataFolder)} (from Central), ${counted(fromCentral.length, 'certificate')}`,
      ...fromCentral.map(trustedLine),
    );
  notes.warn(...trusted.warnings);
  return trusted;
}

function trustedLine({ alias, subject, notAfter, thumbprint }: TrustedCertificate): string {
  return `${alias}: ${subject}, until ${day(notAfter)}, SHA-256 ${thumbprint}`;
}

function validateChain(
  look: TlsProbe,
  trusted: readonly X509Certificate[],
  target: Target,
  line: LineOptions,
  notes: Notes,
): TrustPath {
  const found = trustPath(look.chain, trusted, line.now());
  const { anchor, path } = found;
  if (anchor === undefined) {
    const last = path.at(-1);
    const namesake = trusted.find(({ subject }) => subject === last?.issuer);
    if (namesake !== undefined)
      notes.say(
        `a "${subjectLine(namesake)}" is trusted, but it is another one with another key (SHA-256 ${namesake.fingerprint256}): Central may have been reinstalled`,
      );
    if (last !== undefined && path.length === 1 && isIssuerMissing(last, trusted))
      throw agentFault('tls_issuer_missing', authorityFacts(found, target, line));
    throw agentFault('tls_unknown_authority', authorityFacts(found, target, line));
  }
  notes.say(`trusted by ${subjectLine(anchor)}, SHA-256 ${anchor.fingerprint256}`);
  return found;
}

function authorityFacts({ path }: TrustPath, target: Target, { truststore }: LineOptions) {
  const issuer = nameLine(path.at(-1)?.issuer ?? '');
  return { target: targetName(target), issuer, truststore, hint: trustHint(truststore) };
}

async function greet(target: Target, ca: readonly string[], line: LineOptions, notes: Notes): Promise<Challenge> {
  const challenge = await readChallenge(target, ca, line);
  const [ours, theirs] = [line.now(), new Date(challenge.sentAt)];
  const apart = Math.abs(ours.getTime() - theirs.getTime());
  notes.say(`Central "${challenge.centralName}" answers`);
  if (apart > SKEW_MS)
    notes.warn(
      `its clock shows ${theirs.toISOString()}, this machine's ${ours.toISOString()}: ${duration(apart)} apart`,
    );
  else notes.say(`the clocks are ${duration(apart)} apart`);
  return challenge;
}

/** A certificate in one line. */
function certificateLine(certificate: X509Certificate): string {
  return `${subjectLine(certificate)}, signed by ${nameLine(certificate.issuer)}, ${validLine(certificate)}, SHA-256 ${certificate.fingerprint256}`;
}

function validLine(certificate: X509Certificate): string {
  const { from, to } = validityOf(certificate);
  return `${day(from)} until ${day(to)}`;
}
