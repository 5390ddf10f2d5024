import { describe, expect, it } from 'vitest';
import { agentFault, refusalOf } from '../../../agent/errors.ts';
import { cliFault } from '../../../central/cli/errors.ts';
import { ERROR_SUBJECTS } from '../../../docs/error-subjects.ts';
import { CodedError } from '../../../shared/errors.ts';
import { EXIT_OF_CODE, exitStatusOf } from '../../../shared/terminal/exit-status.ts';

describe('the exit status of an error', () => {
  it('is listed for codes that exist only', () => {
    const known = new Set(ERROR_SUBJECTS.flatMap(({ errors }) => Object.keys(errors)));
    expect([...EXIT_OF_CODE.keys()].filter((code) => !known.has(code))).toEqual([]);
  });

  it.each([
    ['an address that cannot be one', agentFault('enroll_url_bad', { found: 'x' }), 2],
    ['a Central that does not answer', agentFault('connect_timeout', { target: 'x', seconds: 5 }), 3],
    ['a certificate that is not trusted', agentFault('tls_wrong_name', { target: 'x', host: 'x', names: 'y' }), 3],
    ['a certificate without the pin', agentFault('pin_mismatch', { host: 'x', pin: 'x', found: 'y' }), 3],
    ['no daemon', agentFault('daemon_never_ran', { folder: 'x', profile: 'y' }), 3],
    ['a malformed token', agentFault('token_bad', {}), 4],
    ['a key that does not exist', agentFault('request_missing', { folder: 'x' }), 5],
    ['a file that does not fit', agentFault('certificate_file_unfit', { file: 'x', found: 'y' }), 6],
    ['an agent that is enrolled already', agentFault('already_enrolled', { name: 'x', id: 'y' }), 7],
    ['an enrollment that is not decided', agentFault('enrollment_undecided', { seconds: 1, key: 'x' }), 8],
    ['a damaged identity', agentFault('identity_damaged', { file: 'x', found: 'y' }), 1],
    ['what Central refuses for now', refusalOf('enrollment_refused_by_central', 503, { found: '', hint: '' }), 3],
    ['a token that Central refuses', refusalOf('enrollment_refused_by_central', 403, { found: '', hint: '' }), 4],
    ['a name that Central has already', refusalOf('enrollment_refused_by_central', 409, { found: '', hint: '' }), 7],
    ['a consumer that the daemon does not know', refusalOf('local_call_refused', 404, { found: '', hint: '' }), 5],
    ['a Central that queuegate cannot reach', cliFault('administration_unreachable', { url: 'x', found: 'y' }), 3],
    [
      'what Central refuses as a conflict, whatever its code',
      new CodedError('truststore_x', { text: '', hint: '', status: 409 }, {}),
      7,
    ],
    ['anything else', new Error('x'), 1],
  ])('follows from its cause: %s', (_, error, status) => {
    expect(exitStatusOf(error)).toBe(status);
  });
});
