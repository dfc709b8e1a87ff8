/** KeyPackages (RFC 9420 §10): our own, and those of who knocks. */

import { defaultCapabilities } from "ts-mls/defaultCapabilities.js"
import {
  decodeKeyPackage,
  encodeKeyPackage,
  generateKeyPackageWithKey,
  type KeyPackage,
  makeKeyPackageRef,
  type PrivateKeyPackage,
  verifyKeyPackage,
} from "ts-mls/keyPackage.js"
import { encodeBase64url, equal, type Octets, own } from "../bytes.ts"
import { guarded, MLSError } from "./errors.ts"
import { encodeApplicationId, type Leaf, memberOf, type Member } from "./member.ts"
import type { CiphersuiteImpl } from "./suite.ts"

const SKEW_S = 3600 // clocks differ

export interface SignatureKeyPair {
  readonly signKey: Uint8Array
  readonly publicKey: Uint8Array
}

/** A KeyPackage and the keys to it. Used once: `erase` it afterwards. */
export interface KeyPackageBundle {
  readonly keyPackage: KeyPackage
  readonly privateKeys: PrivateKeyPackage
}

/** Whom a KeyPackage presents, its reference (§5.2), and its public keys. */
export interface Presented {
  readonly keyPackage: KeyPackage
  readonly member: Member
  /** As base64url, to be looked up. */
  readonly reference: string
}

/** With `certificates` the leaf goes by those, and not by `identity` (§5.3). */
export async function createKeyPackage(
  suite: CiphersuiteImpl,
  identity: Octets,
  applicationId: Octets,
  signatureKey: SignatureKeyPair,
  lifetime: { readonly nowS: number; readonly lastsS: number },
  certificates: readonly Octets[] = [],
): Promise<KeyPackageBundle> {
  const from = Math.floor(lifetime.nowS)
  const { publicPackage, privatePackage } = await generateKeyPackageWithKey(
    certificates.length
      ? { credentialType: "x509", certificates: [...certificates] }
      : { credentialType: "basic", identity },
    defaultCapabilities(),
    { notBefore: BigInt(from - SKEW_S), notAfter: BigInt(from + lifetime.lastsS) },
    [],
    { signKey: signatureKey.signKey, publicKey: signatureKey.publicKey },
    suite,
    [{ extensionType: "application_id", extensionData: encodeApplicationId(applicationId) }],
  )
  return { keyPackage: publicPackage, privateKeys: privatePackage }
}

export function encodePackage(bundle: KeyPackageBundle): Octets {
  return own(encodeKeyPackage(bundle.keyPackage))
}

/** The init key opens one Welcome: nobody is to find it afterwards. */
export function erase(bundle: KeyPackageBundle): void {
  bundle.privateKeys.initPrivateKey.fill(0)
}

export async function present(suite: CiphersuiteImpl, keyPackage: KeyPackage): Promise<Presented> {
  return {
    keyPackage,
    member: memberOf(keyPackage.leafNode as Leaf, -1),
    reference: encodeBase64url(await makeKeyPackageRef(keyPackage, suite.hash)),
  }
}

/** The KeyPackage that `encoded` is, checked as §10.1 asks. MLSError if it could not be added now. */
export function checkedKeyPackage(suite: CiphersuiteImpl, encoded: Octets, nowS: number): Promise<Presented> {
  return guarded("The KeyPackage was refused", async () => {
    const decoded = decodeKeyPackage(encoded, 0)
    // What encodes back to other octets is not what its sender signed, to somebody who is stricter.
    if (decoded === undefined || decoded[1] !== encoded.length || !equal(encodeKeyPackage(decoded[0]), encoded)) {
      throw new MLSError("This is not one KeyPackage.")
    }
    const [keyPackage] = decoded
    if (keyPackage.version !== "mls10" || keyPackage.cipherSuite !== suite.name) {
      throw new MLSError("The KeyPackage is for another version or cipher suite.")
    }
    if (!(await verifyKeyPackage(keyPackage, suite.signature))) throw new MLSError("The KeyPackage's signature is wrong.")
    const leaf = keyPackage.leafNode
    if (leaf.leafNodeSource !== "key_package") throw new MLSError("The KeyPackage's leaf is not one for joining.")
    if (leaf.lifetime.notBefore > nowS || leaf.lifetime.notAfter < nowS) {
      throw new MLSError("The KeyPackage is not valid now; clocks may differ.")
    }
    await checkPublicKey(suite, keyPackage.initKey)
    await checkPublicKey(suite, leaf.hpkePublicKey)
    return present(suite, keyPackage)
  })
}

/**
 * MLSError unless something can be encrypted to this key: it may be a point of low order (RFC 9180 §7.1.4). One such
 * leaf in the tree, and nobody could make a commit with a path any more.
 */
export function checkPublicKey(suite: CiphersuiteImpl, publicKey: Uint8Array): Promise<void> {
  return guarded("Nothing can be encrypted to this key", async () => {
    await suite.hpke.seal(await suite.hpke.importPublicKey(publicKey), new Uint8Array(), new Uint8Array())
  })
}
