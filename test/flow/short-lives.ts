// Loaded before Central (NODE_OPTIONS=--import): certificates of agents live for TEST_AGENT_LIFE_SECONDS from now, so
// that a test sees one renewed and one expire. The product knows days only, and nothing of this.
import { ExtendedKeyUsage, ExtendedKeyUsageExtension, X509CertificateGenerator } from '../../shared/x509/library.ts';

const create = X509CertificateGenerator.create.bind(X509CertificateGenerator);
const seconds = Number(process.env['TEST_AGENT_LIFE_SECONDS']);

X509CertificateGenerator.create = async (order, crypto) => {
  const isAgent =
    order.extensions?.some(
      (extension) =>
        extension instanceof ExtendedKeyUsageExtension && extension.usages.includes(ExtendedKeyUsage.clientAuth),
    ) === true;
  // Dates of certificates are whole seconds.
  const now = Math.floor(Date.now() / 1000) * 1000;
  return await create(
    isAgent ? { ...order, notBefore: new Date(now), notAfter: new Date(now + seconds * 1000) } : order,
    crypto,
  );
};
