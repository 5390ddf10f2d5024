// Which frames beside the messages an agent may send, and when.
import { describe, expect, it } from 'vitest';
import { ControlLedger } from '../../../central/sessions/control-ledger.ts';
import { MAX_CONSUMERS_BYTES, type AgentControl, type CentralControl } from '../../../shared/wire/messages.ts';
import { RELEASE_STATE } from './fake-agent.ts';

const thumbprint = '0'.repeat(64);
const trust: CentralControl = { type: 'trust', pem: '', signature: '' };
const renewed: CentralControl = { type: 'renewed', pem: '' };
const refused: CentralControl = { type: 'renew-refused', code: 'x', detail: '', hint: '' };
const trusted: AgentControl = { type: 'trusted', thumbprints: [] };
const trustRefused: AgentControl = { type: 'trust-refused', code: 'x', detail: '', hint: '' };
const installed: AgentControl = { type: 'renew-installed', thumbprint };
const renew: AgentControl = { type: 'renew', csr: '', thumbprint, signature: '' };

describe('an answer that was not asked for', () => {
  it.each([trusted, trustRefused, installed])('$type is wrong in a new session', (frame) => {
    expect(new ControlLedger([]).received(frame)).toContain(`${frame.type} without`);
  });

  it('a second one to one question is wrong, of either kind', () => {
    const ledger = new ControlLedger([]);
    ledger.sent(trust);
    expect(ledger.received(trusted)).toBeUndefined();
    expect(ledger.received(trusted)).toContain('trusted without');
    expect(ledger.received(trustRefused)).toContain('trust-refused without');
    ledger.sent(renewed);
    expect(ledger.received(installed)).toBeUndefined();
    expect(ledger.received(installed)).toContain('installed without');
  });

  it('to another kind of frame is wrong', () => {
    const ledger = new ControlLedger([]);
    ledger.sent(renewed);
    expect(ledger.received(trusted)).toContain('trusted without');
    const other = new ControlLedger([]);
    other.sent(trust);
    expect(other.received(installed)).toContain('installed without');
  });

  it('an agent that was asked twice may answer twice or once', () => {
    const ledger = new ControlLedger([]);
    ledger.sent(trust);
    ledger.sent(trust);
    expect([ledger.received(trustRefused), ledger.received(trusted)]).toEqual([undefined, undefined]);
    expect(ledger.received(trusted)).toContain('trusted without');
  });
});

describe('a request for a certificate', () => {
  it('waits for the answer to the one before', () => {
    const ledger = new ControlLedger([]);
    expect(ledger.received(renew)).toBeUndefined();
    ledger.sent(trust);
    expect(ledger.received(renew)).toContain('renew before');
    ledger.sent(refused);
    expect(ledger.received(renew)).toBeUndefined();
    ledger.sent(renewed);
    expect(ledger.received(renew)).toBeUndefined();
  });
});

describe('a report of consumers', () => {
  const report = (length: number): AgentControl => ({
    type: 'consumers',
    position: null,
    inboxFull: false,
    consumers: [{ name: 'x'.repeat(length), types: [], waitingFrom: null, waitingCount: 0 }],
  });
  const around = JSON.stringify(report(0)).length;

  it('needs no request, and has a bound', () => {
    const ledger = new ControlLedger([]);
    const largest = MAX_CONSUMERS_BYTES - around;
    for (let i = 0; i < 3; i += 1) expect(ledger.received(report(largest))).toBeUndefined();
    expect(ledger.received(report(largest + 1))).toBe('consumers of more than 32768 bytes');
  });
});

describe('the state of a release', () => {
  it('comes without an offer in the same session, from agents that can take releases only', () => {
    const ledger = new ControlLedger(['deduplication', 'releases.1']);
    expect(ledger.received(RELEASE_STATE)).toBeUndefined();
    expect(ledger.received(RELEASE_STATE)).toBeUndefined();
    expect(new ControlLedger(['deduplication']).received(RELEASE_STATE)).toContain('without the capability releases.1');
    const { kind, release, code, detail, hint } = RELEASE_STATE;
    const found = { kind, release, code, detail, hint, changedFiles: [], overriddenKeys: [] };
    const measured = { type: 'release-measured', ...found } as const;
    expect(new ControlLedger(['releases.measure']).received(measured)).toBeUndefined();
    expect(ledger.received(measured)).toContain('without the capability releases.measure');
  });
});
