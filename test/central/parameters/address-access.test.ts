import { describe, expect, it } from 'vitest';
import { ACCESS_DEFINITIONS, AddressAccess } from '../../../central/parameters/address-access.ts';
import { defaultValues, type ParameterValues } from '../../../central/parameters/definitions.ts';

const access = (values: Partial<ParameterValues> = {}): AddressAccess =>
  new AddressAccess(() => ({ ...defaultValues(), ...values }));
const SUBJECTS = ['ws', 'wss', 'https', 'viewer', 'operator', 'administrator'] as const;

describe('address rules', () => {
  it('are two lists for each listener that other hosts reach, and for each role', () => {
    const names = SUBJECTS.flatMap((subject) => [`access.${subject}.allow`, `access.${subject}.deny`]);
    expect(Object.keys(ACCESS_DEFINITIONS)).toEqual(names);
  });

  it.each(SUBJECTS)('of %s: without one, every address is admitted, also one that is unknown', (subject) => {
    for (const address of ['192.0.2.1', '2001:db8::1', '127.0.0.1', 'unknown (behind 10.0.0.1)'])
      expect(access().admits(subject, address)).toBe(true);
  });

  it.each(SUBJECTS)(
    'of %s: an allow list admits its addresses only, a deny list all others, and both together what is left',
    (subject) => {
      const allowed = access({ [`access.${subject}.allow`]: ['10.0.0.0/8', '2001:db8::/32'] });
      const denied = access({ [`access.${subject}.deny`]: ['10.9.0.0/16'] });
      const both = access({ [`access.${subject}.allow`]: ['10.0.0.0/8'], [`access.${subject}.deny`]: ['10.9.0.0/16'] });
      const admitted = (rules: AddressAccess): string[] =>
        ['10.1.1.1', '::ffff:10.1.1.1', '10.9.1.1', '192.0.2.1', '2001:db8::1', '2001:db9::1'].filter((address) =>
          rules.admits(subject, address),
        );
      expect(admitted(allowed)).toEqual(['10.1.1.1', '::ffff:10.1.1.1', '10.9.1.1', '2001:db8::1']);
      expect(admitted(denied)).toEqual(['10.1.1.1', '::ffff:10.1.1.1', '192.0.2.1', '2001:db8::1', '2001:db9::1']);
      expect(admitted(both)).toEqual(['10.1.1.1', '::ffff:10.1.1.1']);
      // Of this subject only.
      expect(SUBJECTS.filter((other) => !allowed.admits(other, '192.0.2.1'))).toEqual([subject]);
    },
  );

  it('refuse an origin that is unknown where there is a rule', () => {
    for (const list of ['allow', 'deny'])
      expect(access({ [`access.wss.${list}`]: ['0.0.0.0/0'] }).admits('wss', 'unknown (behind 10.0.0.1)')).toBe(false);
    expect(access({ 'access.wss.deny': ['10.0.0.0/8'] }).admits('wss', 'unknown (behind 192.0.2.1)')).toBe(false);
  });

  it('follow a change at once', () => {
    let values = defaultValues();
    const rules = new AddressAccess(() => values);
    expect(rules.admits('https', '192.0.2.1')).toBe(true);
    values = { ...values, 'access.https.deny': ['192.0.2.0/24'] };
    expect(rules.admits('https', '192.0.2.1')).toBe(false);
    values = { ...values, 'access.https.deny': ['192.0.3.0/24'] };
    expect(rules.admits('https', '192.0.2.1')).toBe(true);
  });
});
