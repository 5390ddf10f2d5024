// The errors of the truststore commands of both programs. {program} is the one that runs: queue-agent or queuegate.
import { defineErrors, type ErrorTable } from '../errors.ts';

export const TRUSTSTORE_ERRORS = {
  truststore_usage: { text: '{found}', hint: 'See: {program} truststore --help' },
  truststore_type_unknown: {
    text: 'Nothing tells which format the new store {file} is to have; allowed are .jks, .p12, .pfx, .pem and .crt, or --type jks|pkcs12|pem.',
    hint: 'Add --type, or give the file one of these endings.',
  },
  truststore_type_differs: {
    text: '{file} is {found}, but --type asks for {allowed}: an existing store keeps its format.',
    hint: 'Leave --type out, or make a new file with "truststore convert".',
  },
  truststore_exists: {
    text: '{file} exists already.',
    hint: 'Name a new file; nothing here writes over a store that is another one.',
  },
  truststore_alias_taken: {
    text: 'The alias "{alias}" is taken in {file}.',
    hint: 'Choose another with --alias; "truststore list" shows those that are there. Java does not tell capital letters from small ones.',
  },
  truststore_alias_unknown: {
    text: 'No entry of {file} is called "{alias}"; there are {found}.',
    hint: 'Give one of these names with --alias, in capital or small letters.',
  },
  truststore_alias_ambiguous: {
    text: '{count} entries of {file} are called "{alias}".',
    hint: 'Add --fingerprint sha256:... of the one that is meant; "truststore list" shows it.',
  },
  truststore_already_trusted: { text: '{subject} is already trusted in {file}, as "{alias}".', hint: 'Nothing to do.' },
  truststore_purpose: {
    text: '{subject} in {certificate} is neither the certificate of an authority nor that of a server, but {found}.',
    hint: 'Import the root that signed the certificate of Central ("queuegate ca trust-bundle" writes the one of Central). To trust exactly this one certificate all the same, add --allow-leaf.',
  },
  truststore_fingerprint_bad: {
    text: '"{found}" is no SHA-256 fingerprint; it has 64 hexadecimal digits, with or without colons.',
    hint: 'Take the line "SHA-256" of keytool -printcert, KeyStore Explorer or "truststore list". SHA-1 is shown to compare with old lists only: it can be forged.',
  },
  truststore_fingerprint_differs: {
    text: '{subject} in {certificate} has the fingerprint {found}, which is not the one that was given.',
    hint: 'Nothing was written. Get the certificate again from where the fingerprint comes from, or compare with whoever made it: it may have been exchanged on the way.',
  },
  truststore_not_certificates: {
    text: '{certificate} is {found}; allowed is a file with certificates alone (PEM, DER or PKCS#7).',
    hint: 'Export the certificate: keytool -exportcert -rfc -keystore "{certificate}" -alias NAME -file certificate.cer',
  },
  truststore_would_lose: {
    text: '{file} holds {found}, which would be lost if it were written again.',
    hint: 'Change it with keytool or openssl, or make a new file for what is to be trusted.',
  },
  truststore_cannot_convert: {
    text: '{file} holds {found}, which {format} cannot hold.',
    hint: 'Add --leave-out to convert the rest without it, or choose another format.',
  },
  truststore_would_be_empty: {
    text: '{file} would hold no certificate, and {format} without one is no store.',
    hint: 'Import what is to be trusted instead first (that makes the file, too); or delete the file.',
  },
  truststore_is_private_key: {
    text: '"{alias}" in {file} is a private key with its chain, and there may be no other copy of it.',
    hint: 'To delete it all the same, add --private-key.',
  },
  truststore_no_password: {
    text: '{file} is {format}, which has no password.',
    hint: 'Convert it to JKS or PKCS#12, if a password is wanted; one of a trust store guards against changes by mistake, and keeps nothing secret.',
  },
  truststore_password_unfit: {
    text: 'The new password is {found}.',
    hint: 'Take 6 to 128 printable characters of ASCII: Java and OpenSSL do not agree on others.',
  },
  truststore_key_password_other: {
    text: 'The private key "{alias}" in {file} has a password of its own, or its protection is not known here: it could not be taken along. Nothing was written.',
    hint: 'Give the key the password of the store first: keytool -keypasswd -keystore "{file}" -alias "{alias}"',
  },
  truststore_not_read_back: {
    text: 'What was to be written as {file} does not read back as it should: {found}. Nothing was written.',
    hint: 'This is a defect of this program: please report it, with the kind of store and the way it was made.',
  },
} as const satisfies ErrorTable;

export const truststoreFault = defineErrors(TRUSTSTORE_ERRORS);
