// The suite that every engine of Central's store passes. An engine's own test opens it and says how it starts again.
import { describe } from 'vitest';
import { administrationContract } from './contract-administration.ts';
import { agentChangeContract } from './contract-agent-changes.ts';
import { agentContract } from './contract-agents.ts';
import { boundsContract } from './contract-bounds.ts';
import { certificateContract } from './contract-certificates.ts';
import { commandContract } from './contract-commands.ts';
import { deduplicationContract } from './contract-deduplication.ts';
import { enrollmentContract } from './contract-enrollments.ts';
import { idempotencyContract } from './contract-idempotency.ts';
import { renewalContract } from './contract-renewal.ts';
import { messageContract } from './contract-messages.ts';
import { rolloutContract } from './contract-rollouts.ts';
import { releaseContract } from './contract-releases.ts';
import { exposureContract } from './contract-exposures.ts';
import { subscriptionContract } from './contract-subscriptions.ts';
import type { OpenEngine } from './samples.ts';

export function storeContract(name: string, open: OpenEngine): void {
  describe(`${name}: agents`, () => {
    agentContract(open);
  });
  describe(`${name}: names, labels and disabled agents`, () => {
    agentChangeContract(open);
  });
  describe(`${name}: messages`, () => {
    messageContract(open);
  });
  describe(`${name}: commands`, () => {
    commandContract(open);
  });
  describe(`${name}: deduplication`, () => {
    deduplicationContract(open);
  });
  describe(`${name}: bounds`, () => {
    boundsContract(open);
  });
  describe(`${name}: certificates`, () => {
    certificateContract(open);
  });
  describe(`${name}: renewal and revocation`, () => {
    renewalContract(open);
  });
  describe(`${name}: enrollments`, () => {
    enrollmentContract(open);
  });
  describe(`${name}: administration`, () => {
    administrationContract(open);
  });
  describe(`${name}: rollouts`, () => {
    rolloutContract(open);
  });
  describe(`${name}: profiles and releases`, () => {
    releaseContract(open);
  });
  describe(`${name}: subscriptions`, () => {
    subscriptionContract(open);
  });
  describe(`${name}: exposed services`, () => {
    exposureContract(open);
  });
  describe(`${name}: requests with an Idempotency-Key`, () => {
    idempotencyContract(open);
  });
}
