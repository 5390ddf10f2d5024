import { expect, test } from 'vitest';
import { pathHints, systemStore } from '../../../shared/settings/path-hints.ts';
import { profileTruststore } from '../../../shared/settings/profile-truststore.ts';
import { splitJvmArgs } from '../../../shared/settings/jvm-args.ts';

function truststoreIn(jvmArgs: string, own = '') {
  return profileTruststore({ folder: '/p', truststore: own, password: '', jvmArgs: splitJvmArgs(jvmArgs) });
}

test.each([
  ['C:qsystem', 'a backslash is written twice'],
  ['${QUEUE_HOME}/conf/truststore.jks', '${QUEUE_HOME} is not expanded here'],
  ['$QUEUE_HOME/truststore.jks', '$QUEUE_HOME is not expanded here'],
  ['%PROGRAMDATA%/queue/truststore.jks', '%PROGRAMDATA% is not expanded here'],
  ['~/truststore.jks', '~ is not expanded here'],
  ['"conf/truststore.jks"', 'quotation mark'],
  ['conf/truststore.jks ', 'a blank'],
  ['file:///etc/truststore.jks', 'not a URL'],
])('the path %s shows what is wrong with it', (path, expected) => {
  expect(pathHints(path).join(' ')).toContain(expected);
});

test('an ordinary path shows nothing', () => {
  for (const path of ['conf/security/truststore.jks', '/etc/ssl/100%/cacerts', 'conf\\security\\truststore.jks', 'a$'])
    expect(pathHints(path)).toEqual([]);
});

test('a path that ends at a blank asks for quotes', () => {
  expect(truststoreIn('-Djavax.net.ssl.trustStore=/opt/my store.jks -Xmx1g').hints.join()).toContain(
    'put it into quotes',
  );
  expect(truststoreIn('-Djavax.net.ssl.trustStore="/opt/my store.jks" -Xmx1g').hints).toEqual([]);
});

test.each([
  ['-Djavax.net.ssl.trustStore=NONE -Djavax.net.ssl.trustStoreType=Windows-ROOT', 'trustStoreType=Windows-ROOT'],
  ['-Djavax.net.ssl.trustStoreType=Windows-ROOT', 'trustStoreType=Windows-ROOT'],
  ['-Djavax.net.ssl.trustStoreType=Windows-MY-LOCALMACHINE', 'trustStoreType=Windows-MY-LOCALMACHINE'],
  ['-Djavax.net.ssl.trustStoreType=KeychainStore', 'trustStoreType=KeychainStore'],
  ['-Djavax.net.ssl.trustStore=NONE', 'trustStore=NONE'],
  ['-Djavax.net.ssl.trustStore=NONE -Djavax.net.ssl.trustStoreType=PKCS11', 'trustStoreType=PKCS11'],
])('%s names the store of the system: the default of the profile is used', (args, system) => {
  expect(truststoreIn(`${args} -Djavax.net.ssl.trustStorePassword=secret`)).toMatchObject({
    system,
    path: '/p/conf/security/truststore.jks',
    from: 'default',
    declaredType: undefined,
    password: undefined,
  });
  expect(truststoreIn(args, 'own.jks')).toMatchObject({ system: undefined, path: '/p/own.jks' });
});

test('types of files name no store of the system', () => {
  for (const type of ['JKS', 'PKCS12', 'pkcs12', undefined]) expect(systemStore('t.jks', type)).toBeUndefined();
});
