// The certificate of the port for devices: makes the key, requests the certificate over the session, checks the answer,
// and decides when to ask again (by its dates, when a name is missing in it, and when another authority has signed the
// agent's own certificate since). Key and chain are one file, so that they belong together after any crash.
// Central's side is central/agents/devices/certificates.ts.
import { createPrivateKey, generateKeyPairSync, type KeyObject, type X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { join } from 'node:path';
import { isCoded, textOf, type CodedError } from '../../../shared/errors.ts';
import { readBoundedFile } from '../../../shared/files/bounded-file.ts';
import { replaceSecretFile } from '../../../shared/files/secret-file.ts';
import { Mutex } from '../../../shared/mutex.ts';
import type { DeviceAnswer } from '../../../shared/wire/devices/frames.ts';
import { certificatesInPem } from '../../../shared/x509/certificates.ts';
import { derInPem } from '../../../shared/x509/pem.ts';
import { spkiOf } from '../../../shared/x509/public-key.ts';
import { timeLine, validityOf } from '../../../shared/x509/validity.ts';
import type { SendControl } from '../../connection/control.ts';
import { makeRenewalRequest } from '../../renewal/csr.ts';
import { renewalTime } from '../../renewal/renewal.ts';
import { trustPath } from '../../trust/path.ts';
import { deviceFault } from './errors.ts';

/** What the port shows. */
export interface DeviceMaterial {
  /** PEM. */
  readonly key: string;
  /** PEM, the certificate first. */
  readonly chain: string;
  readonly certificate: X509Certificate;
}

interface DeviceCertificateNeeds {
  /** The data folder. */
  readonly folder: string;
  /** Host names and addresses for it; undefined: the port is off. */
  names(): readonly string[] | undefined;
  /** Roots (PEM) by which Central is trusted; none on ws. */
  trusted(): Promise<readonly string[]>;
  /** The agent's own certificate; undefined before enrollment. */
  own(): Promise<X509Certificate | undefined>;
  /** Another certificate, or another fault. */
  readonly onChanged: () => void;
  readonly log: {
    debug(facts: object, text: string): void;
    info(facts: object, text: string): void;
    warn(facts: object, text: string): void;
  };
  readonly now: () => number;
  readonly after: (ms: number, run: () => void) => () => void;
  readonly random: () => number;
}

const FILE = 'device-port.pem';
const MAX_FILE_BYTES = 128 * 1024;
const ANSWER_MS = 30_000;
/** Timers are not trusted over days; names are looked at as often. */
const LONGEST_WAIT_MS = 3_600_000;
const FIRST_RETRY_MS = 60_000;
const LONGEST_RETRY_MS = 6 * 3_600_000;

export class DeviceCertificate {
  readonly #needs: DeviceCertificateNeeds;
  readonly #acts = new Mutex();
  #material: DeviceMaterial | undefined;
  #fault: CodedError | undefined;
  #send: SendControl | undefined;
  /** Of the request that is out. */
  #asked: { readonly key: KeyObject; readonly names: readonly string[] } | undefined;
  #cancel: (() => void) | undefined;
  #failures = 0;
  #notBefore = 0;

  constructor(needs: DeviceCertificateNeeds) {
    this.#needs = needs;
  }

  /** Reads what the last run kept. What cannot be read is requested again: nothing is lost with it. */
  async load(): Promise<void> {
    const file = join(this.#needs.folder, FILE);
    try {
      this.#material = await readDeviceMaterial(this.#needs.folder);
    } catch (error) {
      this.#needs.log.warn(
        { file, error: textOf(error) },
        'the certificate of the port for devices is requested again',
      );
    }
  }

  /** Undefined: there is none yet. It may have expired. */
  material(): DeviceMaterial | undefined {
    return this.#material;
  }

  /** Why there is no other one. */
  fault(): CodedError | undefined {
    return this.#fault;
  }

  onOnline(send: SendControl): void {
    this.#send = send;
    this.look();
  }

  onOffline(): void {
    this.#send = this.#asked = undefined;
    this.#wait(undefined);
  }

  onFrame(frame: DeviceAnswer): void {
    const asked = this.#asked;
    if (asked === undefined) return;
    this.#asked = undefined;
    if (frame.type === 'device-issued') return this.#do(async () => await this.#take(asked, frame.pem));
    const { code: refusal, detail, hint } = frame;
    this.#failed(deviceFault('device_certificate_refused', { refusal, detail, hint }));
  }

  /** Names, authority or settings may be others: asks now, if a certificate is needed. */
  settingsChanged(): void {
    this.#notBefore = 0;
    this.look();
  }

  look(): void {
    this.#do(async () => {
      const names = this.#needs.names();
      if (names === undefined) return this.#wait(undefined);
      if (this.#send === undefined || this.#asked !== undefined) return;
      if (names.length === 0) return this.#failed(deviceFault('device_names_missing', {}));
      const due = Math.max(await this.#dueAt(names), this.#notBefore);
      if (due <= this.#needs.now()) this.#ask(names);
      else this.#waitToLook(due - this.#needs.now());
    });
  }

  async #dueAt(names: readonly string[]): Promise<number> {
    const certificate = this.#material?.certificate;
    if (certificate === undefined || names.some((name) => !isFor(certificate, name))) return 0;
    const own = await this.#needs.own();
    // Signed by another authority, and later: that one signs now.
    const isOutdated =
      own !== undefined && own.issuer !== certificate.issuer && validityOf(own).from > validityOf(certificate).from;
    return isOutdated ? 0 : renewalTime(certificate);
  }

  #ask(names: readonly string[]): void {
    const { privateKey: key, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
    const holder = { privateKey: key, publicKey: spkiOf(publicKey).toString('base64') };
    this.#asked = { key, names };
    this.#send?.({ type: 'device-request', csr: makeRenewalRequest(holder, names[0] ?? '').pem, names: [...names] });
    this.#wait(ANSWER_MS, () => {
      this.#asked = undefined;
      this.#failed(deviceFault('device_certificate_unanswered', {}));
    });
  }

  async #take(asked: { readonly key: KeyObject; readonly names: readonly string[] }, chain: string): Promise<void> {
    const { folder, log, onChanged } = this.#needs;
    const key = asked.key.export({ format: 'pem', type: 'pkcs8' });
    const found = await this.#faultOf(chain, asked);
    if (found !== undefined) throw deviceFault('device_certificate_unusable', { found });
    const text = `${key.trim()}\n${chain.trim()}\n`;
    const material = materialIn(text);
    await replaceSecretFile(join(folder, FILE), Buffer.from(text));
    this.#material = material;
    this.#fault = undefined;
    [this.#failures, this.#notBefore] = [0, 0];
    const until = timeLine(validityOf(material.certificate).to);
    log.info({ names: asked.names, until }, 'the port for devices has another certificate');
    onChanged();
    this.look();
  }

  async #faultOf(
    pem: string,
    { key, names }: { readonly key: KeyObject; readonly names: readonly string[] },
  ): Promise<string | undefined> {
    const chain = readChain(pem);
    const [certificate] = chain;
    if (certificate === undefined) return 'it cannot be read';
    if (!certificate.checkPrivateKey(key)) return 'it is for another key';
    const missing = names.find((name) => !isFor(certificate, name));
    if (missing !== undefined) return `it is not for ${missing}`;
    const now = new Date(this.#needs.now());
    const { from, to } = validityOf(certificate);
    if (!(from <= now && now < to))
      return `it is valid from ${timeLine(from)} until ${timeLine(to)}, and this machine's clock shows ${now.toISOString()}`;
    const trusted = (await this.#needs.trusted()).flatMap((trust) => certificatesInPem(trust));
    if (trusted.length > 0 && trustPath(chain, trusted, now).anchor === undefined)
      return 'no certificate in the truststore issued it';
    return undefined;
  }

  #do(act: () => Promise<void>): void {
    this.#acts
      .runExclusive(act)
      .catch((error: unknown) =>
        this.#failed(
          isCoded(error) ? error : deviceFault('device_certificate_unusable', { found: textOf(error) }, error),
        ),
      );
  }

  #failed(fault: CodedError): void {
    const { log, now, random, onChanged } = this.#needs;
    const retryMs = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** Math.min(this.#failures, 30)) * (1 + random() / 2);
    this.#failures += 1;
    this.#notBefore = now() + retryMs;
    // A repeated failure is logged once.
    log[this.#fault?.code === fault.code ? 'debug' : 'warn'](
      { code: fault.code, retryInSeconds: Math.round(retryMs / 1000) },
      `${fault.message} ${fault.hint}`,
    );
    this.#fault = fault;
    onChanged();
    this.#waitToLook(retryMs);
  }

  #waitToLook(ms: number): void {
    this.#wait(Math.min(ms, LONGEST_WAIT_MS), () => this.look());
  }

  /** One timer; none while offline, where it would keep a stopped agent running. */
  #wait(ms: number | undefined, run: () => void = () => undefined): void {
    this.#cancel?.();
    this.#cancel = ms === undefined || this.#send === undefined ? undefined : this.#needs.after(ms, run);
  }
}

/** What the data folder has; undefined: nothing yet. Errors: file faults, and of what cannot be read. */
export async function readDeviceMaterial(folder: string): Promise<DeviceMaterial | undefined> {
  const bytes = await readBoundedFile({
    path: join(folder, FILE),
    what: 'The certificate of the port for devices',
    maxBytes: MAX_FILE_BYTES,
    hint: 'Remove it: the agent requests another one.',
    ifMissing: 'ignore',
  });
  return bytes === undefined ? undefined : materialIn(bytes.toString('utf8'));
}

/** Host names and addresses in it. */
export function namesIn({ certificate }: Pick<DeviceMaterial, 'certificate'>): string[] {
  return (certificate.subjectAltName ?? '').split(', ').flatMap((name) => {
    const [, value] = /^(?:DNS|IP Address):(.*)$/s.exec(name) ?? [];
    return value === undefined ? [] : [value.toLowerCase()];
  });
}

/** By the name or address alone: the subject does not count. */
export function isFor(certificate: X509Certificate, name: string): boolean {
  return (
    (isIP(name) === 0 ? certificate.checkHost(name, { subject: 'never' }) : certificate.checkIP(name)) !== undefined
  );
}

function readChain(pem: string): X509Certificate[] {
  try {
    return certificatesInPem(pem);
  } catch {
    // Whatever it is: no certificate.
    return [];
  }
}

/** Errors: what cannot be read, or does not belong together. */
function materialIn(text: string): DeviceMaterial {
  const [der] = derInPem(text, ['PRIVATE KEY']);
  if (der === undefined) throw new TypeError('it has no private key');
  const key = createPrivateKey({ key: der, format: 'der', type: 'pkcs8' });
  const chain = certificatesInPem(text);
  const [certificate] = chain;
  if (certificate === undefined) throw new TypeError('it has no certificate');
  if (!certificate.checkPrivateKey(key)) throw new TypeError('its certificate is for another key');
  return {
    key: key.export({ format: 'pem', type: 'pkcs8' }),
    chain: chain.map((one) => one.toString()).join(''),
    certificate,
  };
}
