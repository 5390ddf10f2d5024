// The errors of key and trust stores: one code per cause, with what was found and a hint. No text holds a password or
// the content of a private key.
import { defineErrors, type CodedError, type ErrorTable } from '../errors.ts';
import { FORMAT_NAMES, type StoreFormat, type StoreSource } from './material.ts';

export const KEYSTORE_ERRORS = {
  keystore_file_empty: {
    text: '{file} is empty: it holds 0 bytes.',
    hint: 'Copy the store again; allowed are JKS, PKCS#12 and PEM.',
  },
  keystore_is_text: {
    text: '{file} is not a key or trust store but {found}.',
    hint: 'Whatever its name says, it is a text file: get the store itself (JKS, PKCS#12), or a PEM file with "-----BEGIN CERTIFICATE-----".',
  },
  keystore_format_unknown: {
    text: '{file} is not a key or trust store: it begins with {found}, which is neither JKS (feedfeed), PKCS#12 and DER (30) nor PEM.',
    hint: 'Get the store again, in binary mode; allowed are JKS, PKCS#12, PEM and a single certificate in DER.',
  },
  keystore_other_kind: {
    text: '{file} is not a key or trust store but {found}.',
    hint: '{hint}',
  },
  keystore_jceks: {
    text: '{file} is a JCEKS store (it begins with cececece); allowed are JKS, PKCS#12 and PEM.',
    hint: 'Convert it: keytool -importkeystore -srckeystore "{file}" -srcstoretype JCEKS -destkeystore "{file}.p12" -deststoretype PKCS12',
  },
  keystore_bks: {
    text: '{file} is a BouncyCastle store (BKS); allowed are JKS, PKCS#12 and PEM.',
    hint: 'Convert it where BouncyCastle is installed: keytool -importkeystore -srckeystore "{file}" -srcstoretype BKS -destkeystore "{file}.p12" -deststoretype PKCS12 -providerclass org.bouncycastle.jce.provider.BouncyCastleProvider -providerpath bcprov.jar',
  },
  keystore_pkcs7: {
    text: '{file} is a PKCS#7 bundle (.p7b, as Windows exports them); allowed are JKS, PKCS#12 and PEM.',
    hint: 'Import its certificates into a store: queue-agent truststore import truststore.p12 --certificate "{file}"; or make it PEM: openssl pkcs7 -inform {form} -in "{file}" -print_certs -out "{file}.pem"',
  },
  keystore_too_large: {
    text: '{file} holds {found}; allowed is at most {allowed}.',
    hint: 'The path names another kind of file, or a store for another purpose: create one with the certificates that are needed here.',
  },
  keystore_password_missing: {
    text: '{file} ({format}) does not open with the default password "changeit", nor with an empty one.',
    hint: 'Set the password of the store: {where}. The right one lists its entries: keytool -list -keystore "{file}"',
  },
  keystore_password_wrong: {
    text: '{file} ({format}) does not open with this password.',
    hint: 'Set another one: {where}. If it is right, the file was changed: one digest covers password and contents. The right one lists the entries: keytool -list -keystore "{file}"',
  },
  keystore_truncated: {
    text: '{file} ({format}) is truncated: {found}.',
    hint: 'Copy it again, in binary mode, and compare the sizes.',
  },
  keystore_tampered: {
    text: '{file} ({format}) was changed after it was written: {found}.',
    hint: 'Do not use it. Get it again from its source, and find out what changed it: a person, a disk or a transfer.',
  },
  keystore_damaged: {
    text: '{file} ({format}) cannot be read: {found}.',
    hint: 'Create it again with keytool or openssl, and compare the sizes after copying.',
  },
  keystore_unsupported: {
    text: '{file} ({format}) uses {found}, which is not supported.',
    hint: '{hint}',
  },
  keystore_no_entries: {
    text: '{file} ({format}) opens, but holds no entry.',
    hint: 'Import the root certificate of Central: queue-agent truststore import "{file}" --certificate central-root.cer',
  },
  keystore_only_private_keys: {
    text: '{file} ({format}) holds {found} and no trusted certificate: it is a key store, not a trust store.',
    hint: 'Name the trust store, or create one: queue-agent truststore import truststore.p12 --certificate central-root.cer',
  },
  keystore_no_certificate: {
    text: '{file} ({format}) holds no trusted certificate, only {found}.',
    hint: 'Name a file with the root certificate of Central ("-----BEGIN CERTIFICATE-----").',
  },
  keystore_key_password_wrong: {
    text: 'The private key does not open with this password.',
    hint: 'The key of an entry may have a password other than that of the store: use that one.',
  },
  keystore_key_unsupported: {
    text: 'The private key is protected by {found}; allowed is {allowed}.',
    hint: 'Export the key again, with the defaults of the program that made the store.',
  },
  keystore_cannot_hold: {
    text: 'A {format} store cannot hold {found}.',
    hint: 'Use a store of another format.',
  },
} as const satisfies ErrorTable;

export const keystoreFault = defineErrors(KEYSTORE_ERRORS);

/** What is asked of a command; programs that read a configuration name its keys instead. */
const PASSWORD_FLAG = '--password-file FILE';

/** The password does not fit, or none is configured. */
export function faultOfPassword(
  { file, password, passwordHint: where = PASSWORD_FLAG }: StoreSource,
  format: StoreFormat,
  cause?: unknown,
): CodedError {
  const code = password === undefined ? 'keystore_password_missing' : 'keystore_password_wrong';
  return keystoreFault(code, { file, format: FORMAT_NAMES[format], where }, cause);
}
