// The doctor's last step: checks whether Central accepts this agent. It never takes the session of a running daemon,
// which a hello would do, because the newest connection of a key wins. If the daemon answers on its local API, its
// own state counts. Only if no process holds the data folder, and while the doctor holds it, does it send a real
// hello with the position on disk; after the welcome it closes the connection, and nothing changes on this side.
import { randomBytes } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { isCoded } from '../../shared/errors.ts';
import type { Challenge } from '../../shared/wire/messages.ts';
import { VERSION } from '../../shared/version.ts';
import { openAgentStore } from '../store/store.ts';
import type { AgentConf } from '../conf.ts';
import { agentName, type Target } from '../target.ts';
import { connectWithKeys } from '../connection/loop.ts';
import { connectOnce, type OnlineSession } from '../connection/connection.ts';
import type { LineOptions } from './network.ts';
import type { Notes } from './step.ts';
import { agentFault } from '../errors.ts';
import type { AgentKey, Identity } from '../identity/identity.ts';
import type { SoftwarePair } from '../software-slot.ts';
import { askDaemon, type LocalStatus } from '../local-api/client.ts';
import { NO_CONTROL } from '../connection/control.ts';

/** The agent that is examined. */
export interface Patient {
  readonly conf: AgentConf;
  readonly identity: Identity;
  readonly key: AgentKey;
  readonly next?: { readonly key: AgentKey; readonly identity: Identity } | undefined;
  readonly ca: readonly string[];
  readonly line: LineOptions;
  /** What the daemon runs from: Central would take another hello for a rollback. */
  readonly software: SoftwarePair | undefined;
}

/** Throws daemon_not_online, doctor_other_account, daemon_silent, and what Central says to a hello. */
export async function authenticate(
  patient: Patient,
  target: Target,
  challenge: Challenge,
  notes: Notes,
): Promise<void> {
  const { conf, identity } = patient;
  if (challenge.centralName !== identity.central) notes.warn(`this agent enrolled with "${identity.central}"`);
  const answer = await askDaemon(conf.dataFolder);
  if (answer.kind === 'status') return believeDaemon(answer.status, notes);
  const { uid } = await stat(conf.dataFolder);
  // Windows has no such numbers; there the access list of the folder decides whether it can be opened.
  if (process.getuid !== undefined && process.getuid() !== uid)
    throw agentFault('doctor_other_account', { folder: conf.dataFolder, owner: uid });
  const session = await sayHello(patient, target);
  notes.say(
    `no daemon runs here, so the doctor said hello itself: welcome, epoch ${session.epoch}; the line is closed again`,
  );
}

function believeDaemon({ connection, name, problems }: LocalStatus, notes: Notes): void {
  notes.warn(...problems.map(({ code, detail, hint }) => `${detail} ${hint} (${code})`));
  const { state, stateChangedAt: since, stateReason: reason, central } = connection;
  if (state === 'online' && central !== null) {
    notes.say(
      `the daemon "${name}" runs and is online at ${central.url} since ${since}, epoch ${central.epoch}; its session was left alone`,
    );
    return;
  }
  notes.say(`the daemon "${name}" runs, and was asked instead of dialling in its place`);
  throw agentFault('daemon_not_online', {
    state,
    since,
    found: reason === null ? 'it is dialling right now.' : `${reason.detail} (${reason.code})`,
    hint: reason === null ? 'Run the doctor again in a moment.' : reason.hint,
  });
}

/** A real hello with the real position, and the end of the line right after the welcome. Throws what Central says. */
async function sayHello(
  { conf, identity, key, next, ca, line, software }: Patient,
  target: Target,
): Promise<OnlineSession> {
  let store;
  try {
    // It holds the folder: a daemon that starts meanwhile waits its turn.
    store = openAgentStore({
      folder: conf.dataFolder,
      outbox: conf.outbox,
      inbox: conf.inbox,
      deduplicationMs: 0,
      now: Date.now,
      onFailure: () => undefined,
    });
  } catch (error) {
    throw isCoded(error, 'data_in_use') ? agentFault('daemon_silent', { folder: conf.dataFolder }, error) : error;
  }
  try {
    const { inbox } = store;
    const enough = new AbortController();
    let session: OnlineSession | undefined;
    // Behind the welcome nothing is read, written or sent: the line is over before either log begins.
    const never = new Promise<never>(() => undefined);
    const end = await connectWithKeys(
      {
        target,
        ca,
        truststore: line.truststore,
        key,
        identity,
        next,
        name: agentName(conf, identity),
        version: VERSION,
        bootId: randomBytes(24).toString('base64url'),
        proxied: conf.central.proxied,
        release: conf.profile.release,
        software,
      },
      async (plan) =>
        await connectOnce(
          plan,
          {
            outbox: {
              resume: async () => await never,
              read: async () => await never,
              acknowledge: async () => await never,
              expire: async () => await never,
            },
            inbox: {
              begin: async () => await never,
              append: async () => await never,
              position: async () => await inbox.position(),
            },
            now: Date.now,
            control: NO_CONTROL,
            onOnline: (online) => {
              session = online;
              enough.abort();
            },
          },
          enough.signal,
        ),
    );
    if (session === undefined) throw end.reason;
    return session;
  } finally {
    await store.stop();
  }
}
