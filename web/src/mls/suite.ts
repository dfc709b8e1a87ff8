/** The cipher suites of a meeting (RFC 9420 §5.1), as ts-mls implements them. */

import {
  type CiphersuiteId,
  type CiphersuiteImpl,
  getCiphersuiteFromName,
  getCiphersuiteNameFromId,
} from "ts-mls/crypto/ciphersuite.js"
import { defaultCryptoProvider } from "ts-mls/crypto/implementation/default/provider.js"
import { type Octets, own } from "../bytes.ts"

export type { CiphersuiteImpl }

/** The suite of that number. Its primitives are WebCrypto's, but for X-Wing. */
export function loadSuite(id: number): Promise<CiphersuiteImpl> {
  const name = getCiphersuiteNameFromId(id as CiphersuiteId)
  return defaultCryptoProvider.getCiphersuiteImpl(getCiphersuiteFromName(name))
}

/** A signature key whose private half stays where it is. */
export interface Signer {
  /** The public half. */
  readonly key: Octets
  readonly sign: (text: Octets) => Promise<Octets>
}

/**
 * The suite of one member, who signs by `signer`. ts-mls hands octets of a private key along wherever it signs; here
 * they are none, and nobody can take a copy of them.
 */
export function signedBy(suite: CiphersuiteImpl, signer: Signer): CiphersuiteImpl {
  const signature: CiphersuiteImpl["signature"] = {
    ...suite.signature,
    sign: (_octets, text) => signer.sign(own(text)),
    keygen: () => Promise.resolve({ signKey: new Uint8Array(), publicKey: signer.key }),
  }
  return { ...suite, signature }
}
