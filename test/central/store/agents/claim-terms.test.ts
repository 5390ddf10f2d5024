// An agent that claims its session with the look-up passes the rules for hellos, whatever is on record.
import { describe, expect, it } from 'vitest';
import {
  claimTerms,
  validateCertificate,
  validateEnabled,
  validateRegistration,
  type CertificateTerms,
} from '../../../../central/auth/agent-identity.ts';
import { AGENT_STATES, type AgentRecord } from '../../../../central/store/agent-store.ts';
import { meetsTerms } from '../../../../central/store/agents/claim-terms.ts';
import type { AgentCertificate } from '../../../../central/store/certificate-store.ts';

const DAY_MS = 86_400_000;
const NOW = 1_790_000_000_000;
const REVOKED = { reason: 'keyCompromise', at: NOW } as unknown as NonNullable<AgentCertificate['revoked']>;

const certificates = [-31, -30, -29, 0, 1].flatMap((days) =>
  [null, REVOKED].map((revoked) => ({ notAfter: NOW + days * DAY_MS, revoked }) as AgentCertificate),
);
const ALL = AGENT_STATES.flatMap((state) =>
  ['key', 'other'].flatMap((keyThumbprint) =>
    [null, ...certificates].flatMap((certificate) =>
      [null, REVOKED].flatMap((revocation) =>
        [null, NOW, NOW + 1].map(
          (quarantinedUntil) =>
            ({ id: 'a', state, keyThumbprint, certificate, revocation, quarantinedUntil, next: null }) as AgentRecord,
        ),
      ),
    ),
  ),
);

describe('the terms of a claim with the look-up', () => {
  it.each(['certificate', 'certificate-or-key'] as const)('are as strict as the rules: %s', (authentication) => {
    const terms: CertificateTerms = { authentication, graceDays: 30, now: NOW };
    const claim = { keyThumbprint: 'key', bootId: 'b1', now: NOW };
    let met = 0;
    for (const agent of ALL) {
      const isMet = meetsTerms(agent, claim, claimTerms(terms));
      if (isMet) met += 1;
      expect(isMet, JSON.stringify(agent)).toBe(passes(agent, terms));
    }
    // All states but disabled and revoked, not quarantined or no more; by certificate within the grace period, or by key.
    expect(met).toBe((AGENT_STATES.length - 2) * 2 * (3 + (authentication === 'certificate' ? 0 : 1)));
  });

  it('leave an agent with its next key to the rules: it becomes the current one', () => {
    const certificate = { notAfter: NOW + DAY_MS, revoked: null };
    const agent = { keyThumbprint: 'old', next: { keyThumbprint: 'key', certificate }, certificate } as AgentRecord;
    const claim = { keyThumbprint: 'key', bootId: 'b1', now: NOW };
    expect(meetsTerms(agent, claim, { keyAlone: true, expiresAfter: NOW })).toBe(false);
  });

  it('leave an agent to them whose last session is of another boot, and not long ago, where that is to be known', () => {
    const session = { bootId: 'b1', since: NOW - 1_000 };
    const agent = {
      keyThumbprint: 'key',
      quarantinedUntil: null,
      revocation: null,
      certificate: null,
      session,
    } as AgentRecord;
    const meets = (bootId: string, otherBootSince?: number): boolean => {
      const terms = { keyAlone: true, expiresAfter: NOW, ...(otherBootSince === undefined ? {} : { otherBootSince }) };
      return meetsTerms(agent, { keyThumbprint: 'key', bootId, now: NOW }, terms);
    };
    expect([meets('b1', NOW - 60_000), meets('b2', NOW - 60_000), meets('b2', NOW), meets('b2')]).toEqual([
      true,
      false,
      true,
      true,
    ]);
  });
});

/** By the rules for hellos. */
function passes(agent: AgentRecord, terms: CertificateTerms): boolean {
  try {
    const key = { thumbprint: 'key' };
    validateRegistration({ id: 'a' } as never, key, agent);
    validateCertificate(agent, key, terms);
    validateEnabled(agent);
    // A revoked agent has a revocation (agent-store.ts); the records here are made at random.
    return agent.state !== 'revoked' && (agent.quarantinedUntil === null || agent.quarantinedUntil <= terms.now);
  } catch {
    return false;
  }
}
