/** The cipher suites of a meeting (RFC 9420 §5.1), as ts-mls implements them. */

import {
  type CiphersuiteId,
  type CiphersuiteImpl,
  getCiphersuiteFromName,
  getCiphersuiteNameFromId,
} from "ts-mls/crypto/ciphersuite.js"
import { defaultCryptoProvider } from "ts-mls/crypto/implementation/default/provider.js"

export type { CiphersuiteImpl }

/** The suite of that number. Its primitives are WebCrypto's, but for X-Wing. */
export function loadSuite(id: number): Promise<CiphersuiteImpl> {
  const name = getCiphersuiteNameFromId(id as CiphersuiteId)
  return defaultCryptoProvider.getCiphersuiteImpl(getCiphersuiteFromName(name))
}
