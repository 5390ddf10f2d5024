// The errors of the truststore commands of both programs. {program} is the one that runs: queue-agent or queuegate.
import { defineErrors, type ErrorTable } from '../errors.ts';

export const TRUSTSTORE_ERRORS = {
  truststore_type_unknown: {
    text: 'The format of the new store {file} is unknown; allowed are the endings .jks, .p12, .pfx, .pem and .crt, or --type jks|pkcs12|pem.',
    hint: 'Add --type, or give the file one of these endings.',
  },
  truststore_type_differs: {
    text: '{file} is {found}, but --type asks for {allowed}: an existing store keeps its format.',
    hint: 'Leave --type out, or create a new file with "truststore convert".',
  },
  truststore_exists: {
    text: '{file} already exists.',
    hint: 'Name a new file; other stores are never overwritten.',
  },
  truststore_alias_taken: {
    text: 'The alias "{alias}" is already used in {file}.',
    hint: 'Choose another with --alias; "truststore list" shows the existing ones. Java ignores the case of aliases.',
  },
  truststore_alias_unknown: {
    text: 'No entry of {file} has the alias "{alias}"; there are {found}.',
    hint: 'Use one of these with --alias; case does not matter.',
  },
  truststore_fingerprint_unknown: {
    text: 'No entry of {file} has this fingerprint; there are {found}.',
    hint: 'Copy the line "SHA-256" of the entry from "truststore list".',
  },
  truststore_alias_ambiguous: {
    text: '{count} entries of {file} have the alias "{alias}".',
    hint: 'Add --fingerprint sha256:... of the right one; "truststore list" shows it.',
  },
  truststore_already_trusted: {
    text: '{subject} is already trusted in {file}, as "{alias}".',
    hint: 'No action needed.',
  },
  truststore_purpose: {
    text: '{subject} in {certificate} is neither the certificate of an authority nor that of a server, but {found}.',
    hint: 'Import the root that signed the certificate of Central ("queuegate ca trust-bundle" writes it). To trust exactly this one certificate anyway, add --allow-leaf.',
  },
  truststore_fingerprint_bad: {
    text: '"{found}" is not a SHA-256 fingerprint; allowed: 64 hexadecimal digits, with or without colons.',
    hint: 'Copy the line "SHA-256" of keytool -printcert, KeyStore Explorer or "truststore list". SHA-1 is only shown for comparison with old lists: it can be forged.',
  },
  truststore_fingerprint_differs: {
    text: '{subject} in {certificate} has the fingerprint {found}, not the expected one.',
    hint: 'Nothing was written. Get the certificate again from the source of the fingerprint, or compare with its issuer: it may have been replaced on the way.',
  },
  truststore_not_certificates: {
    text: '{certificate} is {found}; allowed is a file with certificates alone (PEM, DER or PKCS#7).',
    hint: 'Export the certificate: keytool -exportcert -rfc -keystore "{certificate}" -alias NAME -file certificate.cer',
  },
  truststore_would_lose: {
    text: '{file} holds {found}, which would be lost by writing it.',
    hint: 'Change it with keytool or openssl, or create a new file for the trusted certificates.',
  },
  truststore_cannot_convert: {
    text: '{file} holds {found}, which {format} cannot hold.',
    hint: 'Add --leave-out to convert the rest without it, or choose another format.',
  },
  truststore_would_be_empty: {
    text: '{file} would hold no certificate, and an empty {format} store is invalid.',
    hint: 'Import the other certificates first, or delete the file.',
  },
  truststore_is_private_key: {
    text: '"{alias}" in {file} is a private key with its chain, perhaps its only copy.',
    hint: 'To delete it anyway, add --private-key.',
  },
  truststore_no_password: {
    text: '{file} is {format}, which has no password.',
    hint: 'Convert it to JKS or PKCS#12 to use one. The password of a trust store protects against accidental changes; it keeps nothing secret.',
  },
  truststore_password_unfit: {
    text: 'The new password is {found}.',
    hint: 'Use 6 to 128 printable ASCII characters: Java and OpenSSL disagree on others.',
  },
  truststore_key_password_other: {
    text: 'The private key "{alias}" in {file} has its own password or an unknown protection, so it cannot be converted. Nothing was written.',
    hint: '{hint}',
  },
  truststore_too_much_work: {
    text: 'The {count} private keys of {file} take too long to encrypt again: more than {allowed} iterations of PBKDF2 in all. Nothing was written.',
    hint: 'Let keytool do it, which has no such bound: keytool -importkeystore -srckeystore "{file}" -destkeystore "{file}.new" -deststoretype {type}',
  },
  truststore_chain_invalid: {
    text: 'The certificate chain of the private key "{alias}" in {file} is not valid: {found}. PKCS#12 cannot hold such a chain. Nothing was written.',
    hint: 'Add --leave-out to convert the rest without this key. The chain begins with the certificate of the key, and each next certificate is its issuer: give the key such a chain with keytool -importcert -keystore "{file}" -alias "{alias}" -file chain.p7b',
  },
  truststore_not_read_back: {
    text: '{file} does not read back as it was to be written: {found}. Nothing was written.',
    hint: 'This is a defect of this program: please report it, with the kind of store and how it was created.',
  },
} as const satisfies ErrorTable;

export const truststoreFault = defineErrors(TRUSTSTORE_ERRORS);
