// Arguments of openssl and keytool that many tests need.

/** For `openssl req`: a new key on P-256, without a password. */
export const NEW_EC_KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'] as const;

/** Of `keytool -importcert`: adds the certificate to a store, which it makes if it is not there. */
export function importCertificate({
  file,
  store,
  type,
  alias,
  password = 'changeit',
}: {
  readonly file: string;
  readonly store: string;
  readonly type?: string;
  readonly alias: string;
  readonly password?: string;
}): string[] {
  const ofType = type === undefined ? [] : ['-storetype', type];
  return [
    '-importcert',
    '-noprompt',
    '-keystore',
    store,
    ...ofType,
    '-storepass',
    password,
    '-alias',
    alias,
    '-file',
    file,
  ];
}
