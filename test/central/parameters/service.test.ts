import { beforeEach, describe, expect, test } from 'vitest';
import type { Changes } from '../../../central/change/changes.ts';
import { ParameterService } from '../../../central/parameters/service.ts';
import { ParameterState } from '../../../central/parameters/state.ts';
import type { ParameterFault } from '../../../central/parameters/errors.ts';
import type { ParameterApplier, ParameterOverride } from '../../../central/parameters/types.ts';
import type { OnlineAgent } from '../../../central/change/agents.ts';
import { defaultValues, type ParameterValues } from '../../../central/parameters/definitions.ts';
import type { Actor } from '../../../central/audit.ts';
import { CodedError } from '../../../shared/errors.ts';
import { aloneAgreement, makeChanges, memoryStore, type MemoryStore } from '../fakes.ts';

const ANNA = { who: 'anna', from: '10.0.0.5' };
const portTaken = () => new CodedError('port_taken', { text: 'taken', hint: 'choose another', status: 409 }, {});

let store: MemoryStore;
let online: OnlineAgent[];
let faults: ParameterFault[];
let failApply: ((next: ParameterValues) => boolean) | undefined;
/** What the listeners are at, and each step in the order it happened. */
let listening: ParameterValues;
let steps: string[];
let time: number;
let timers: { at: number; run: () => void }[];

beforeEach(() => {
  store = memoryStore();
  online = [];
  faults = [];
  failApply = undefined;
  listening = defaultValues();
  steps = [];
  time = 1_000_000;
  timers = [];
});

const applier: ParameterApplier = {
  async check() {
    return faults;
  },
  async hold() {
    return faults;
  },
  release: () => undefined,
  async apply(next) {
    if (failApply?.(next) === true) throw portTaken();
    steps.push('apply');
    listening = next;
  },
  describe: (next) => [`wss on port ${next['websocket.secure.port']}`],
};

let changes: Changes;
/** What subscribers heard, with the values from before. */
let heard: [after: ParameterValues, before: ParameterValues][];

async function load(overrides: readonly ParameterOverride[] = []): Promise<ParameterService> {
  const { parameters } = store;
  const now = (): number => time;
  const after = (ms: number, run: () => void): (() => void) => {
    const timer = { at: time + ms, run };
    timers.push(timer);
    return () => {
      timers = timers.filter((other) => other !== timer);
    };
  };
  const log = { info() {}, error() {} };
  const made = makeChanges(now, after);
  changes = made;
  heard = [];
  const state = await ParameterState.open({
    store: {
      load: async () => await parameters.load(),
      save: async (change) => {
        const saved = await parameters.save(change);
        steps.push(change.pending === null ? 'save' : 'save pending');
        return saved;
      },
    },
    overrides,
    onRolledBack: (pending) => made.recordRollback('parameters', pending),
    log,
    now,
  });
  return new ParameterService({
    state,
    applier,
    changes: made,
    agents: { online: async () => online },
    agreement: aloneAgreement(),
    node: 'n1',
    onChanged: (values, before) => void heard.push([values, before]),
    log,
    now,
    after,
  });
}

/** The change that waits for its confirmation. */
async function pendingId(): Promise<string> {
  return (await changes.pendingChange('parameters'))?.id ?? 'none';
}

async function confirm(actor: Actor = ANNA, force = false): Promise<void> {
  await changes.confirm(await pendingId(), { force }, actor);
}

/** Lets time pass, and whatever is due happen. */
async function pass(ms: number, service: ParameterService): Promise<void> {
  time += ms;
  for (const timer of timers.filter(({ at }) => at <= time)) {
    timers = timers.filter((other) => other !== timer);
    timer.run();
  }
  // A dry run waits for its turn behind whatever the timer began.
  await service.change({ values: {}, dryRun: true }, ANNA).catch(() => {});
}

function agent(name: string, more: Partial<OnlineAgent> = {}): OnlineAgent {
  return {
    agentId: name,
    name,
    listener: 'wss',
    transport: 'wss',
    address: '10.0.0.7',
    loopback: false,
    since: 0,
    ...more,
  };
}

async function faultsOf(act: Promise<unknown>): Promise<ParameterFault[]> {
  const error: unknown = await act.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  expect(error).toMatchObject({ code: 'parameters_invalid', status: 422 });
  return (error as { errors: ParameterFault[] }).errors;
}

async function expectUntouched(service: ParameterService): Promise<void> {
  expect(steps).toEqual([]);
  expect(service.values()).toEqual(defaultValues());
  expect(service.version).toBe(1);
  expect((await store.parameters.load()).rows).toEqual([]);
}

describe('a change', () => {
  test('moves the listeners first and is kept then, so that a crash in between leaves the old values', async () => {
    const service = await load();
    const report = await service.change(
      { values: { 'websocket.secure.port': 9151 } },
      { ...ANNA, comment: 'new firewall', ticket: 'T-1' },
    );
    expect(steps).toEqual(['apply', 'save']);
    expect(report).toMatchObject({
      version: 2,
      dryRun: false,
      changed: [{ name: 'websocket.secure.port', from: 9150, to: 9151, overriddenBy: null }],
      listens: ['wss on port 9151'],
    });
    expect(service.values()['websocket.secure.port']).toBe(9151);
    expect(store.audit.entries.at(-1)).toMatchObject({
      who: 'anna',
      from: '10.0.0.5',
      action: 'parameters.set',
      comment: 'new firewall',
      ticket: 'T-1',
    });
  });

  test('outlives a restart, with who made it and when', async () => {
    await (await load()).change({ values: { 'agents.max': 500 } }, ANNA);
    const described = (await load()).describe().find(({ name }) => name === 'agents.max');
    expect(described).toMatchObject({
      value: 500,
      effective: 500,
      isDefault: false,
      changedBy: 'anna',
      changedAt: time,
    });
  });

  test('several at once are one step', async () => {
    const service = await load();
    await service.change({ values: { 'websocket.port': 9150, 'websocket.secure.port': 8787, 'agents.max': 7 } }, ANNA);
    expect(steps).toEqual(['apply', 'save']);
    expect(service.values()).toMatchObject({ 'websocket.port': 9150, 'websocket.secure.port': 8787, 'agents.max': 7 });
  });

  test('null restores the default and keeps who did it', async () => {
    const service = await load();
    await service.change({ values: { 'agents.max': 500 } }, ANNA);
    await service.change({ values: { 'agents.max': null } }, { who: 'bert', from: 'local' });
    expect(service.describe().find(({ name }) => name === 'agents.max')).toMatchObject({
      value: 10_000,
      isDefault: true,
      changedBy: 'bert',
    });
  });

  test('that changes nothing is not a change: no version, no audit entry', async () => {
    const service = await load();
    await service.change({ values: { 'agents.max': 500 } }, ANNA);
    const entries = store.audit.entries.length;
    const report = await service.change({ values: { 'agents.max': 500 } }, ANNA);
    expect(report.changed).toEqual([]);
    expect(service.version).toBe(2);
    expect(store.audit.entries).toHaveLength(entries);
  });

  test('is reported once, with the values before and after it', async () => {
    const service = await load();
    await service.change({ values: { 'agents.max': 5, 'agents.windowItems': 6 } }, ANNA);
    await service.change({ values: { 'agents.max': 5 } }, ANNA);
    expect(heard.map((both) => both.map((values) => values['agents.max']))).toEqual([[5, 10_000]]);
  });

  test('of a parameter that this node overrides is accepted, and said to have no effect here', async () => {
    const service = await load([
      { name: 'websocket.secure.port', value: 0, origin: 'environment variable QUEUEGATE_WEBSOCKET_SECURE_PORT' },
    ]);
    const report = await service.change({ values: { 'websocket.secure.port': 9200 } }, ANNA);
    expect(steps).toEqual(['save']);
    expect(report.notices.map(({ detail }) => detail).join()).toContain(
      'has no effect on this node: environment variable QUEUEGATE_WEBSOCKET_SECURE_PORT sets it',
    );
    expect(service.describe().find(({ name }) => name === 'websocket.secure.port')).toMatchObject({
      value: 9200,
      effective: 0,
      overriddenBy: 'environment variable QUEUEGATE_WEBSOCKET_SECURE_PORT',
    });
  });

  test('changes wait for each other', async () => {
    const service = await load();
    await Promise.all([1, 2, 3].map(async (max) => await service.change({ values: { 'agents.max': max } }, ANNA)));
    expect(steps).toEqual(['apply', 'save', 'apply', 'save', 'apply', 'save']);
    expect(service.values()['agents.max']).toBe(3);
  });
});

describe('a change is refused, and nothing changes at all', () => {
  test('when two ports are equal', async () => {
    const service = await load();
    expect(await faultsOf(service.change({ values: { 'websocket.secure.port': 8787 } }, ANNA))).toEqual([
      {
        parameter: 'websocket.secure.port',
        found: '8787',
        allowed: 'a port other than that of websocket.port',
        text: 'websocket.secure.port is 8787; allowed: a port other than that of websocket.port.',
      },
    ]);
    expect(await faultsOf(service.change({ values: { 'https.port': 8080 } }, ANNA))).toHaveLength(1);
    expect(
      await faultsOf(service.change({ values: { 'websocket.port': 5000, 'websocket.secure.port': 5000 } }, ANNA)),
    ).toHaveLength(1);
    await expectUntouched(service);
  });

  test('when a port equals one that this node overrides', async () => {
    const service = await load([{ name: 'websocket.port', value: 7000, origin: 'flag --websocket-port' }]);
    expect(await faultsOf(service.change({ values: { 'websocket.secure.port': 7000 } }, ANNA))).toHaveLength(1);
  });

  test('when a value is out of bounds or of another type', async () => {
    const service = await load();
    for (const [name, value] of [
      ['websocket.port', 0],
      ['websocket.port', 65_536],
      ['websocket.port', '8788'],
      ['websocket.port', 1.5],
      ['websocket.enabled', 'true'],
      ['websocket.enabled', 1],
      ['agents.enrollment', 'open'],
      ['websocket.trustedProxies', ['10.0.0.0/33']],
      ['websocket.trustedProxies', '10.0.0.0/8'],
      ['websocket.trustedProxies', ['proxy.example']],
      ['certificate.subjectAlternativeNames', ['not a name']],
      ['certificate.subjectAlternativeNames', ['300.1.1.1']],
      ['certificate.distinguishedName', 'central'],
      ['agents.max', {}],
    ] as const) {
      const [fault, ...rest] = await faultsOf(service.change({ values: { [name]: value } }, ANNA));
      expect(fault?.parameter).toBe(name);
      expect(fault?.text).toContain('allowed: ');
      expect(rest).toEqual([]);
    }
    await expectUntouched(service);
  });

  test('when a name is unknown, and the nearest known one is named', async () => {
    const service = await load();
    const [fault] = await faultsOf(service.change({ values: { 'websocket.sceure.port': 9151 } }, ANNA));
    expect(fault?.text).toBe('There is no parameter "websocket.sceure.port"; did you mean websocket.secure.port?');
    expect(
      (await faultsOf(service.change({ values: { foo: 1, constructor: 1 } }, ANNA))).map(({ text }) => text),
    ).toEqual(['There is no parameter "foo".', 'There is no parameter "constructor".']);
    await expectUntouched(service);
  });

  test('when the port is taken by another process', async () => {
    const service = await load();
    faults = [{ parameter: 'websocket.port', found: '8788', allowed: 'a free port', text: 'Port 8788 is in use.' }];
    expect(await faultsOf(service.change({ values: { 'websocket.port': 8788 } }, ANNA))).toEqual(faults);
    await expectUntouched(service);
  });

  test('when several things are wrong, all of them are in one answer', async () => {
    const service = await load();
    faults = [{ parameter: 'http.port', found: '8081', allowed: 'a free port', text: 'Port 8081 is in use.' }];
    const found = await faultsOf(
      service.change(
        {
          values: {
            'websocket.port': 9150,
            'agents.max': 0,
            nonsense: 1,
            'http.port': 8081,
            'agents.maxMessageBytes': 1_048_576,
          },
        },
        ANNA,
      ),
    );
    expect(found.map(({ parameter }) => parameter).toSorted()).toEqual([
      'agents.max',
      'agents.maxMessageBytes',
      'http.port',
      'nonsense',
      'websocket.port',
    ]);
    await expectUntouched(service);
  });

  test('when values do not go together', async () => {
    const service = await load();
    for (const values of [
      { 'agents.maxFrameBytes': 65_536 },
      { 'agents.windowBytes': 65_536 },
      { 'events.retentionDays': 6 },
      { 'messages.deduplicationDays': 31 },
      { 'agents.outbox.maxBytes': 65_536 },
    ]) {
      expect(await faultsOf(service.change({ values }, ANNA))).toHaveLength(1);
    }
    await expectUntouched(service);
  });

  test('when somebody else was faster (If-Match)', async () => {
    const service = await load();
    await service.change({ values: { 'agents.max': 5 }, ifMatch: 1 }, ANNA);
    await expect(service.change({ values: { 'agents.max': 6 }, ifMatch: 1 }, ANNA)).rejects.toMatchObject({
      code: 'version_conflict',
      status: 412,
    });
    expect(service.values()['agents.max']).toBe(5);
  });

  test('when the listeners cannot move (the port was taken between check and bind)', async () => {
    const service = await load();
    failApply = () => true;
    await expect(service.change({ values: { 'websocket.port': 8788 } }, ANNA)).rejects.toMatchObject({
      code: 'port_taken',
    });
    await expectUntouched(service);
  });

  test('when the store cannot keep it: the listeners go back', async () => {
    const service = await load();
    store.parameters.state.failNext = new CodedError('store_failed', { text: 'disk full', hint: 'make room' }, {});
    await expect(service.change({ values: { 'websocket.port': 8788 } }, ANNA)).rejects.toMatchObject({
      code: 'store_failed',
    });
    expect(steps).toEqual(['apply', 'apply']);
    expect(listening).toEqual(defaultValues());
    expect(service.values()).toEqual(defaultValues());
  });
});

describe('preflight', () => {
  test('a dry run names every agent that would be cut off, with its reason, and changes nothing', async () => {
    const service = await load();
    await service.change({ values: { 'websocket.enabled': true } }, ANNA);
    steps = [];
    online = [
      agent('branch-1', { transport: 'ws' }),
      agent('branch-2'),
      agent('central', { transport: 'ws', loopback: true }),
    ];
    const report = await service.change({ values: { 'websocket.enabled': false }, dryRun: true }, ANNA);
    expect(report.cutOff.map(({ name }) => name)).toEqual(['branch-1']);
    expect(report.cutOff[0]?.detail).toContain('central.websocket.secure=true');
    expect(report).toMatchObject({ dryRun: true, version: 2 });
    expect(steps).toEqual([]);
  });

  test('an agent that came by its key alone would be cut off by agents.authentication=certificate', async () => {
    const service = await load();
    online = [agent('branch-1', { byKeyAlone: true }), agent('branch-2', { byKeyAlone: false })];
    const report = await service.change({ values: { 'agents.authentication': 'certificate' }, dryRun: true }, ANNA);
    expect(report.cutOff).toMatchObject([{ name: 'branch-1', detail: expect.stringContaining('no certificate') }]);
    online = [agent('branch-2', { byKeyAlone: false })];
    expect((await service.change({ values: { 'agents.authentication': 'certificate' } }, ANNA)).cutOff).toEqual([]);
  });

  test('a change that would cut agents off is refused and names them, unless forced', async () => {
    const service = await load();
    await service.change({ values: { 'websocket.enabled': true } }, ANNA);
    online = [agent('branch-1', { transport: 'ws' }), agent('branch-2', { transport: 'ws' })];
    await expect(service.change({ values: { 'websocket.enabled': false } }, ANNA)).rejects.toMatchObject({
      code: 'would_cut_off_agents',
      status: 409,
      message: 'The change would cut off 2 agents: branch-1, branch-2.',
    });
    expect(service.values()['websocket.enabled']).toBe(true);
    await service.change({ values: { 'websocket.enabled': false }, force: true }, ANNA);
    expect(service.values()['websocket.enabled']).toBe(false);
  });

  test('switching secure off is refused while agents use it', async () => {
    const service = await load();
    online = [agent('branch-1')];
    await expect(service.change({ values: { 'websocket.secure.enabled': false } }, ANNA)).rejects.toMatchObject({
      code: 'would_cut_off_agents',
    });
  });

  test('an address rule that agents do not fit is refused and names them; those of this host and of the other listener stay', async () => {
    const service = await load();
    online = [
      agent('branch-1', { address: '10.0.0.7' }),
      agent('branch-2', { address: '192.0.2.7' }),
      agent('branch-3', { address: '192.0.2.8', listener: 'ws' }),
      agent('central', { address: '127.0.0.1', loopback: true }),
    ];
    const values = { 'access.wss.allow': ['10.0.0.0/8'] };
    expect(await service.change({ values, dryRun: true }, ANNA)).toMatchObject({
      needsForce: true,
      cutOff: [{ name: 'branch-2', reason: 'address-denied', detail: expect.stringContaining('access.wss') }],
    });
    await expect(service.change({ values }, ANNA)).rejects.toMatchObject({ code: 'would_cut_off_agents' });
    expect(await service.change({ values: { 'access.wss.deny': ['203.0.113.0/24'] } }, ANNA)).toMatchObject({
      needsForce: false,
      cutOff: [],
    });
  });

  test('an address rule that the administrator who sets it does not fit is refused, unless it is forced or made on this host', async () => {
    const service = await load();
    const over = (listener: 'http' | 'https' | 'local') => ({ ...ANNA, via: { listener, connectedAt: 0 } });
    const rule = (name: string) => ({ values: { [name]: ['192.0.2.0/24'] } });
    for (const [name, subject] of [
      ['access.https.allow', 'access.https'],
      ['access.administrator.allow', 'access.administrator'],
    ] as const) {
      expect(await service.change({ ...rule(name), dryRun: true }, over('https'))).toMatchObject({
        needsForce: true,
        notices: [{ code: 'administrator_cut_off', detail: expect.stringContaining(`10.0.0.5`) }],
      });
      await expect(service.change(rule(name), over('https'))).rejects.toMatchObject({
        code: 'would_cut_off_administrator',
        status: 409,
        message: expect.stringContaining(subject),
      });
    }
    // HTTP is for this host, and has no rule of its own; a role has.
    await service.change(rule('access.https.allow'), over('http'));
    await expect(service.change(rule('access.administrator.allow'), over('http'))).rejects.toMatchObject({
      code: 'would_cut_off_administrator',
    });
    await service.change(rule('access.administrator.allow'), over('local'));
    await service.change({ ...rule('access.viewer.allow'), force: true }, over('https'));
    expect(service.values()['access.viewer.allow']).toEqual(['192.0.2.0/24']);
  });

  test('a moved port cuts no one off, but says who has to find the new one', async () => {
    const service = await load();
    online = [agent('branch-1')];
    const report = await service.change({ values: { 'websocket.secure.port': 9443 } }, ANNA);
    expect(report.cutOff).toEqual([]);
    expect(report.notices.map(({ detail }) => detail).join()).toContain('central.websocket.secure.port=9443');
    expect(report.notices.map(({ detail }) => detail).join()).toContain('branch-1');
  });
});

describe('commit-confirm', () => {
  const change = { values: { 'websocket.secure.port': 9443 }, confirm: { withinSeconds: 60, share: 0.5 } };

  test('keeps the old values and the pending mark before any listener moves', async () => {
    const service = await load();
    const report = await service.change(change, ANNA);
    expect(steps).toEqual(['save pending', 'apply']);
    expect(report.change).toEqual({
      id: expect.stringMatching(/^[0-9a-f]{16}$/),
      subject: 'parameters',
      state: 'pending',
      owner: { who: 'anna', from: '10.0.0.5', node: 'n1' },
      expiresAt: time + 60_000,
      requiredShare: 0.5,
      agentCount: 0,
      returnedCount: 0,
      listener: null,
      changed: [{ name: 'websocket.secure.port', from: 9150, to: 9443 }],
      comment: null,
      ticket: null,
    });
    expect((await store.parameters.load()).pending?.before).toEqual([{ name: 'websocket.secure.port', value: null }]);
  });

  test('confirmed in time stays', async () => {
    const service = await load();
    await service.change(change, ANNA);
    const id = await pendingId();
    expect(await changes.confirm(id, {}, ANNA)).toMatchObject({ id, state: 'confirmed' });
    await pass(120_000, service);
    expect(service.values()['websocket.secure.port']).toBe(9443);
    expect(changes.pending('parameters')).toBeNull();
    expect(timers).toEqual([]);
    await expect(changes.confirm(id, {}, ANNA)).rejects.toMatchObject({ code: 'change_ended' });
    await expect(changes.confirm('0', {}, ANNA)).rejects.toMatchObject({ code: 'change_unknown' });
    expect(await changes.list()).toEqual([await changes.get(id)]);
  });

  test('not confirmed at the deadline is rolled back: listeners, values and subscribers', async () => {
    const service = await load();
    await service.change(change, ANNA);
    const id = await pendingId();
    await pass(59_999, service);
    expect(service.values()['websocket.secure.port']).toBe(9443);
    await pass(1, service);
    expect(service.values()['websocket.secure.port']).toBe(9150);
    expect(listening['websocket.secure.port']).toBe(9150);
    expect(heard.map(([values]) => values['websocket.secure.port'])).toEqual([9443, 9150]);
    expect(await changes.get(id)).toMatchObject({ state: 'rolled-back' });
    expect(store.audit.entries.at(-1)).toMatchObject({ who: 'central', action: 'changes.rollback' });
  });

  test('is rolled back at once by an administrator', async () => {
    const service = await load();
    await service.change(change, ANNA);
    const id = await pendingId();
    await changes.rollBack(id, ANNA);
    expect(listening['websocket.secure.port']).toBe(9150);
    await expect(changes.rollBack(id, ANNA)).rejects.toMatchObject({ code: 'change_ended' });
  });

  test('is rolled back by the next start', async () => {
    await (await load()).change(change, ANNA);
    const id = await pendingId();
    const restarted = await load();
    expect(await changes.get(id)).toMatchObject({ state: 'rolled-back', owner: { who: 'anna' } });
    expect(restarted.values()['websocket.secure.port']).toBe(9150);
    expect((await store.parameters.load()).pending).toBeNull();
  });

  test('that cannot be applied is taken back from the store too', async () => {
    const service = await load();
    failApply = () => true;
    await expect(service.change(change, ANNA)).rejects.toMatchObject({ code: 'port_taken' });
    expect(service.values()['websocket.secure.port']).toBe(9150);
    expect(changes.pending('parameters')).toBeNull();
    expect((await load()).values()['websocket.secure.port']).toBe(9150);
  });

  test('is refused while the share is not met, names who is missing, and is met when they are back', async () => {
    const service = await load();
    online = [agent('a'), agent('b'), agent('c'), agent('central', { loopback: true, transport: 'ws' })];
    await service.change(change, ANNA);
    online = [agent('a')];
    await expect(confirm()).rejects.toMatchObject({
      code: 'share_not_met',
      message: 'Of 3 agents that were online before the change, 1 are back; the confirmation needs 2. Missing: b, c.',
    });
    online = [agent('a'), agent('c')];
    await confirm();
    expect(changes.pending('parameters')).toBeNull();
  });

  test('a forced confirmation goes through without the share', async () => {
    const service = await load();
    online = [agent('a')];
    await service.change(change, ANNA);
    online = [];
    await confirm(ANNA, true);
    expect(changes.pending('parameters')).toBeNull();
  });

  test('of a change to the admin listener needs a new connection there, forced or not', async () => {
    const service = await load();
    await service.change({ values: { 'https.port': 8444 }, confirm: { withinSeconds: 60, share: 0 } }, ANNA);
    const refused = { code: 'confirm_over_new_connection', status: 409 };
    await expect(confirm(ANNA, true)).rejects.toMatchObject(refused);
    await expect(confirm({ ...ANNA, via: { listener: 'https', connectedAt: time - 1 } })).rejects.toMatchObject(
      refused,
    );
    await expect(confirm({ ...ANNA, via: { listener: 'http', connectedAt: time + 1 } })).rejects.toMatchObject(refused);
    await confirm({ ...ANNA, via: { listener: 'https', connectedAt: time + 1 } });
    expect(changes.pending('parameters')).toBeNull();
  });

  test('no other change is taken while one is pending', async () => {
    const service = await load();
    await service.change(change, ANNA);
    await expect(service.change({ values: { 'agents.max': 5 } }, ANNA)).rejects.toMatchObject({
      code: 'change_pending',
    });
  });

  test('listeners that cannot go back are reported in health and tried until they can', async () => {
    const service = await load();
    await service.change(change, ANNA);
    failApply = (next) => next['websocket.secure.port'] === 9150;
    await changes.rollBack(await pendingId(), ANNA);
    expect(service.values()['websocket.secure.port']).toBe(9150);
    const [problem] = service.problems();
    expect(problem).toMatchObject({ code: 'listeners_not_applied', detail: expect.stringContaining('taken') });
    await pass(5_000, service);
    // Since the first failure.
    expect(service.problems()).toMatchObject([{ startedAt: problem?.startedAt }]);
    failApply = undefined;
    await pass(5_000, service);
    expect(service.problems()).toEqual([]);
    expect(listening['websocket.secure.port']).toBe(9150);
    expect(timers).toEqual([]);
  });

  test('stopping clears the timers', async () => {
    const service = await load();
    await service.change(change, ANNA);
    service.stop();
    await changes.stop();
    expect(timers).toEqual([]);
  });
});
