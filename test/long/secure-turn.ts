// The commands that turn an installation from ws to wss, in order: docs/RELEASES.md shows what they printed in a run of
// test/long/rollout.test.ts, which records the page with QUEUEGATE_RECORD=1.
import { readFile, writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';

/** Stands for the release that `prepare` printed. */
const RELEASE = 'branch@RELEASE';
/** In the place of the port of the run: another one than the profile of the field has. */
const WSS_PORT = '9151';
/** In the place of what belongs to the machine of the run. */
const HOST = 'central.example.com';
const PORTS = { ws: '8787', wss: WSS_PORT, https: '8443', http: '8080' } as const;

export const SECURE_TURN = {
  import: 'profiles import ./agentProfiles/branch --name branch',
  truststore: 'profiles truststore import branch --central',
  set: `profiles set branch central.websocket.secure=true central.websocket.secure.port=${WSS_PORT}`,
  prepare: 'profiles prepare branch --comment wss --ticket CHG-101',
  synchronize: `profiles synchronize ${RELEASE} --agents all --rate 2MB/s`,
  synchronized: 'rollouts show r-1 --wait=5m',
  upgrade: `profiles upgrade ${RELEASE} --rollout r-1 --waves 1,10%,100% --success 95% --error 5% --soak 5s`,
  upgraded: 'rollouts show r-1 --wait=10m',
  off: 'parameters set websocket.enabled=false --confirm-within 10m --confirm-share 100% --yes',
  confirm: 'changes confirm --yes',
} as const;
export type SecureTurnStep = keyof typeof SECURE_TURN;

const PAGE = resolve(import.meta.dirname, '../../docs/RELEASES.md');
/** The block of the page, from its first command to its fence. */
const BLOCK = /(?<=## From ws to wss\n[^#]*```console\n)\$ queuegate[^]*?(?=```\n)/;

/** What was typed and printed, with the ports and the host of the page. */
export class Recording {
  readonly #ports: Readonly<Record<keyof typeof PORTS, number>>;
  readonly #address: string;
  #release = '';
  #text = '';

  /** `address`: that of Central in the profile of the run. */
  constructor(ports: Readonly<Record<keyof typeof PORTS, number>>, address: string) {
    this.#ports = ports;
    this.#address = address;
  }

  /** The line as it is typed in this run. */
  lineOf(step: SecureTurnStep): string {
    return SECURE_TURN[step].replace(RELEASE, this.#release).replace(`=${WSS_PORT}`, `=${this.#ports.wss}`);
  }

  add(line: string, printed: string): void {
    this.#release ||= /branch@[0-9a-f]{8}/.exec(printed)?.[0] ?? '';
    let text = `$ queuegate ${line}\n${printed.trimEnd()}\n`;
    for (const name of ['ws', 'wss', 'https', 'http'] as const)
      text = text.replaceAll(String(this.#ports[name]), PORTS[name]);
    this.#text += text.replaceAll(this.#address, HOST);
  }

  /** Writes the page. */
  async save(): Promise<void> {
    const page = await readFile(PAGE, 'utf8');
    await writeFile(
      PAGE,
      page.replace(BLOCK, () => this.#text),
    );
  }
}

/** The commands of the page, with the placeholder in the place of the release. */
export function commandsOf(page: string): string[] {
  const block = BLOCK.exec(page)?.[0] ?? '';
  return Array.from(block.matchAll(/^\$ queuegate (.*)$/gm), ([, line = '']) =>
    line.replace(/branch@[0-9a-f]{8}/, RELEASE),
  );
}
