import { expect, test } from 'vitest';
import { splitJvmArgs, truststoreOf } from '../../../shared/settings/jvm-args.ts';

test.each([
  ['white space of any length', '  -a\t-b   -c ', ['-a', '-b', '-c']],
  ['quotes around a value', String.raw`-Da="C:\Program Files\x" -b`, [String.raw`-Da=C:\Program Files\x`, '-b']],
  ['quotes around an argument', `"-Da=x y" '-Db=x y'`, ['-Da=x y', '-Db=x y']],
  ['one kind of quote inside the other', `-Da="it's" -Db='say "x"'`, [`-Da=it's`, '-Db=say "x"']],
  ['a quote that is never closed', `-Da=O'Brien -b`, [`-Da=O'Brien`, '-b']],
  ['backslashes as they are', String.raw`-Da=C:\tmp\\n`, [String.raw`-Da=C:\tmp\\n`]],
  ['nothing', ' ', []],
])('splitJvmArgs takes %s', (_, line, expected) => {
  expect(splitJvmArgs(line)).toEqual(expected);
});

test('truststoreOf takes the last of several options, as a JVM does', () => {
  const args = splitJvmArgs(
    '-Djavax.net.ssl.trustStore=a -Djavax.net.ssl.trustStoreType=PKCS12 -Djavax.net.ssl.trustStore="b c" -Djavax.net.ssl.trustStorePassword=',
  );
  expect(truststoreOf(args)).toEqual({ path: 'b c', password: undefined, type: 'PKCS12', cutAtBlank: false });
});

test('truststoreOf notices a path with a blank and no quotes', () => {
  const line = String.raw`-Djavax.net.ssl.trustStore=C:\Program Files\trust.jks -Xmx64m`;
  expect(truststoreOf(splitJvmArgs(line))).toMatchObject({ path: String.raw`C:\Program`, cutAtBlank: true });
});
