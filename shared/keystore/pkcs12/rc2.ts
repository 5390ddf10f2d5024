// Decrypts RC2 in CBC mode (RFC 2268), which old PKCS#12 files use: OpenSSL 3 has it in its legacy provider only, and
// Node does not load that. Import it lazily: it brings node-forge.
import forge from 'node-forge';

/** `content` in whole blocks of 8 bytes; undefined when its padding is wrong. */
export function decryptRc2(key: Buffer, effectiveBits: number, iv: Buffer, content: Buffer): Buffer | undefined {
  const cipher = forge.rc2.createDecryptionCipher(key.toString('latin1'), effectiveBits);
  cipher.start(iv.toString('latin1'));
  cipher.update(forge.util.createBuffer(content.toString('latin1')));
  return cipher.finish() ? Buffer.from(cipher.output.getBytes(), 'latin1') : undefined;
}
