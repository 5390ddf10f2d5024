// An instruction counts only as it was signed, by the signing key of the agent's own Central.
import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { expect, it } from 'vitest';
import type { Envelope } from '../../../shared/releases/dsse.ts';
import {
  INSTRUCTION_TYPE,
  openInstruction,
  signInstruction,
  type Instruction,
} from '../../../shared/releases/instruction.ts';

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
const instruction: Instruction = {
  kind: 'profile',
  stage: 'upgrade',
  agent: 'agent-1',
  release: 'a'.repeat(64),
  generation: 7,
  notBefore: 1_790_000_000_000,
  expires: 1_790_000_900_000,
  trialSeconds: 300,
  bytesPerSecond: 0,
  rollout: 'r-17',
};
const envelope = signInstruction(instruction, privateKey, 'key-1');

it('is what Central signed', () => {
  expect(openInstruction(envelope, publicKey)).toEqual(instruction);
  expect(envelope.payloadType).toBe(INSTRUCTION_TYPE);
});

it('is refused with another payload, type or key, and without a signature', () => {
  const other = Buffer.from(JSON.stringify({ ...instruction, agent: 'agent-2' })).toString('base64');
  const { publicKey: foreign } = generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  const wrong: readonly (readonly [Envelope, KeyObject])[] = [
    [{ ...envelope, payload: other }, publicKey],
    [{ ...envelope, payloadType: 'text/plain' }, publicKey],
    [{ ...envelope, signatures: [] }, publicKey],
    [{ ...envelope, signatures: [{ keyid: 'key-1', sig: 'AAAA' }] }, publicKey],
    [envelope, foreign],
  ];
  for (const [changed, key] of wrong)
    expect(() => openInstruction(changed, key)).toThrow(expect.objectContaining({ code: 'instruction_invalid' }));
});

it('is refused when what was signed is not an instruction', () => {
  for (const changed of [
    { ...instruction, kind: 'other' },
    { ...instruction, generation: 0 },
    { ...instruction, x: 1 },
  ])
    expect(() => openInstruction(signInstruction(changed as Instruction, privateKey, ''), publicKey)).toThrow(
      expect.objectContaining({ code: 'instruction_invalid' }),
    );
});
