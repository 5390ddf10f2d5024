// The parts of an enrollment that both sides compute: the token as it was pasted, the two proofs, and the pin.
import { createHash, createHmac } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import {
  answerProof,
  ENROLLED,
  ENROLLMENT_PENDING,
  ENROLL_BY_RECOVERY,
  ENROLL_WITH_PROOF,
  NEW_ID,
  pinOf,
  proofKey,
  readEnrollmentToken,
  readPin,
  requestProof,
  sameProof,
} from '../../../shared/wire/enrollment.ts';
import { validate } from '../../../shared/wire/json-schema.ts';
import { MAX_ID_LENGTH } from '../../../shared/wire/messages.ts';

const SECRET = 'abcDEF-_'.repeat(6);
const TOKEN = `qge_0123456789abcdef_${SECRET}`;
const HEX = '0123456789abcdef'.repeat(4);

describe('an enrollment token', () => {
  it('is its id and its secret, also with blanks around it', () => {
    const parts = { id: '0123456789abcdef', secret: SECRET };
    expect(readEnrollmentToken(TOKEN)).toEqual(parts);
    expect(readEnrollmentToken(` ${TOKEN}\r\n`)).toEqual(parts);
  });

  it.each([
    '',
    SECRET,
    `x${TOKEN}`,
    TOKEN.toUpperCase(),
    TOKEN.replace('qge_', 'qga_'),
    TOKEN.replace('_0', '_'),
    TOKEN.replace('_0', '_00'),
    TOKEN.replace('_0', '_g'),
    TOKEN.slice(0, 'qge_0123456789abcdef_'.length + 42),
    `${TOKEN}${'x'.repeat(17)}`,
    `${TOKEN}=`,
    `${TOKEN} x`,
  ])('is not %j', (text) => {
    expect(readEnrollmentToken(text)).toBeUndefined();
  });

  it('has a secret of 43 to 64 characters', () => {
    for (const length of [43, 64])
      expect(readEnrollmentToken(`qge_0123456789abcdef_${'s'.repeat(length)}`)).toMatchObject({
        secret: 's'.repeat(length),
      });
  });
});

describe('the proofs of an enrollment over ws', () => {
  const key = proofKey(SECRET);
  const request = { tokenId: '01', name: 'branch', id: 'pc', csrDer: Buffer.from('request') };
  const answer = {
    id: 'pc',
    name: 'branch',
    centralName: 'central',
    signingKey: 'key',
    certificate: 'certificate',
    truststore: 'root',
  };
  const mac = (parts: unknown): string => createHmac('sha256', key).update(JSON.stringify(parts)).digest('hex');

  it('are made with the hash of the secret, which is all that Central stores', () => {
    expect(key).toEqual(createHash('sha256').update(SECRET).digest());
  });

  it('of the agent covers token, name, id and request, in this order', () => {
    const csr = Buffer.from('request').toString('base64');
    expect(requestProof(key, request)).toBe(mac(['queuegate.v1 enroll', '01', 'branch', 'pc', csr]));
    expect(requestProof(key, { ...request, id: undefined })).toBe(
      mac(['queuegate.v1 enroll', '01', 'branch', null, csr]),
    );
  });

  it('of Central covers the proof of the request and the whole answer, in this order', () => {
    expect(answerProof(key, HEX, answer)).toBe(
      mac(['queuegate.v1 enrolled', HEX, 'pc', 'branch', 'central', 'key', 'certificate', 'root']),
    );
  });

  it('are the same only when every character is', () => {
    expect(sameProof(HEX, HEX)).toBe(true);
    expect(sameProof(HEX, `${HEX.slice(0, -1)}0`)).toBe(false);
    expect(sameProof(HEX, HEX.slice(0, -1))).toBe(false);
    expect(sameProof(HEX, `${HEX}f`)).toBe(false);
    expect(sameProof('', HEX)).toBe(false);
  });
});

describe('a pin', () => {
  it('is the SHA-256 of a public key', () => {
    expect(pinOf(Buffer.from('key'))).toBe(`sha256:${createHash('sha256').update('key').digest('hex')}`);
  });

  it.each([
    `sha256:${HEX}`,
    HEX,
    `SHA-256:${HEX.toUpperCase()}`,
    ` sha256: ${HEX.replaceAll(/(..)(?=.)/g, '$1:')}\n`,
    `sha256:${HEX.slice(0, 32)}\r\n  ${HEX.slice(32)}`,
  ])('is read from %j', (text) => {
    expect(readPin(text)).toBe(`sha256:${HEX}`);
  });

  it.each([
    '',
    'sha256:',
    `sha256:${HEX.slice(1)}`,
    `sha256:${HEX}0`,
    `sha1:${HEX}`,
    `x sha256:${HEX}`,
    `sha256:sha256:${HEX}`,
    `sha256:${HEX.slice(1)}g`,
  ])('is not %j', (text) => {
    expect(readPin(text)).toBeUndefined();
  });
});

describe('what crosses in an enrollment', () => {
  const csr = 'c'.repeat(64);

  it('has an id of printable ASCII without blanks, where the agent is new', () => {
    for (const id of ['!', 'pc-1/~', 'x'.repeat(MAX_ID_LENGTH)]) expect(validate(NEW_ID, id), id).toBeUndefined();
    for (const id of ['', 'a b', 'ä', 'a\n', 'x'.repeat(MAX_ID_LENGTH + 1)])
      expect(validate(NEW_ID, id), id).toBeDefined();
  });

  it('has proofs and thumbprints of 64 lower-case hexadecimal digits', () => {
    const request = { csr, name: 'branch', tokenId: '01', proof: HEX };
    expect(validate(ENROLL_WITH_PROOF, request)).toBeUndefined();
    for (const proof of [HEX.toUpperCase(), HEX.slice(1), `${HEX}0`, `${HEX.slice(1)}g`, `${HEX.slice(1)}\n`])
      expect(validate(ENROLL_WITH_PROOF, { ...request, proof }), proof).toContain('/proof');
    expect(
      validate(ENROLLMENT_PENDING, { state: 'pending', keyThumbprint: HEX, retryAfterSeconds: 1 }),
    ).toBeUndefined();
    expect(validate(ENROLLMENT_PENDING, { state: 'accepted', keyThumbprint: HEX, retryAfterSeconds: 1 })).toBeDefined();
  });

  it('names in a recovery the pin that the agent saw, or null', () => {
    const request = { csr, name: 'branch', proof: HEX };
    for (const pin of [null, `sha256:${HEX}`])
      expect(validate(ENROLL_BY_RECOVERY, { ...request, pin }), String(pin)).toBeUndefined();
    for (const pin of ['', HEX, `sha256:${HEX.toUpperCase()}`, `sha256:${HEX}0`])
      expect(validate(ENROLL_BY_RECOVERY, { ...request, pin }), pin).toContain('/pin');
    expect(validate(ENROLL_BY_RECOVERY, request)).toContain('"pin"');
  });

  it('ends with everything that an agent needs to connect', () => {
    const answer = {
      id: 'pc',
      name: 'branch',
      centralName: 'central',
      signingKey: 'A'.repeat(64),
      certificate: 'p'.repeat(64),
      truststore: 'p'.repeat(64),
    };
    expect(validate(ENROLLED, answer)).toBeUndefined();
    for (const member of Object.keys(answer)) {
      const { [member as keyof typeof answer]: _, ...rest } = answer;
      expect(validate(ENROLLED, rest)).toContain(`"${member}"`);
    }
  });
});
