/** A member of a group, or who wants to be one, as its leaf (RFC 9420 §7.2) shows it. */

import { decodeVarLenData, varLenDataEncoder } from "ts-mls/codec/variableLength.js"
import { encode } from "ts-mls/codec/tlsEncoder.js"
import type { LeafNode } from "ts-mls/leafNode.js"
import { type Octets, own } from "../bytes.ts"

export type Leaf = LeafNode

export interface Member {
  readonly leafIndex: number
  /** Of a BasicCredential; undefined for any other. */
  readonly identity: Octets | undefined
  /** Of an X509Credential, DER; undefined for any other. */
  readonly certificates: readonly Octets[] | undefined
  readonly applicationId: Octets | undefined
  readonly signatureKey: Octets
  readonly encryptionKey: Octets
}

/** The body of an `application_id` extension (§5.3.3): a struct of one vector. */
export function encodeApplicationId(applicationId: Octets): Octets {
  return own(encode(varLenDataEncoder)(applicationId))
}

function decodeApplicationId(body: Uint8Array): Octets | undefined {
  try {
    const decoded = decodeVarLenData(body, 0)
    return decoded?.[1] === body.length ? own(decoded[0]) : undefined
  } catch {
    return undefined
  }
}

export function memberOf(leaf: Leaf, leafIndex: number): Member {
  const ids = leaf.extensions.filter((each) => each.extensionType === "application_id")
  return {
    leafIndex,
    identity: leaf.credential.credentialType === "basic" ? own(leaf.credential.identity) : undefined,
    certificates: leaf.credential.credentialType === "x509" ? leaf.credential.certificates.map(own) : undefined,
    applicationId: ids.length === 1 ? decodeApplicationId(ids[0]!.extensionData) : undefined,
    signatureKey: own(leaf.signaturePublicKey),
    encryptionKey: own(leaf.hpkePublicKey),
  }
}
