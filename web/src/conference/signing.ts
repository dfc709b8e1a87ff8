/** Ed25519 signatures of hosts and members, outside of MLS. */

import type { Octets } from "../bytes.ts"

export const KEY_SIZE = 32
export const SIGNATURE_SIZE = 64

export type Sign = (text: Octets) => Promise<Octets>

/** Whether this is the Ed25519 signature of whoever holds `key`. */
export async function isSigned(key: Octets, signature: Octets, text: Octets): Promise<boolean> {
  try {
    const publicKey = await crypto.subtle.importKey("raw", key, "Ed25519", true, ["verify"])
    return await crypto.subtle.verify("Ed25519", publicKey, signature, text)
  } catch {
    return false
  }
}

/** A key of ours, a host's or a leaf's, and how it signs. */
export interface HostKey {
  readonly key: Octets
  readonly sign: Sign
}

/** A fresh pair, of which nobody can take a copy: the private half is a handle of the browser's. */
export function createKeyPair(): Promise<CryptoKeyPair> {
  return crypto.subtle.generateKey("Ed25519", false, ["sign", "verify"]) as Promise<CryptoKeyPair>
}

/** The pair that `createKeyPair` gave, as this browser has kept it; undefined for anything else. */
export function keptKeyPair(kept: unknown): CryptoKeyPair | undefined {
  if (typeof kept !== "object" || kept === null) return undefined
  const { privateKey, publicKey } = kept as Record<string, unknown>
  if (!(privateKey instanceof CryptoKey) || !(publicKey instanceof CryptoKey)) return undefined
  // One that could be copied is not one that this page has made.
  const isPrivate = privateKey.type === "private" && !privateKey.extractable && privateKey.usages.join() === "sign"
  const isPublic = publicKey.type === "public" && publicKey.extractable
  const isEd25519 = [privateKey, publicKey].every(({ algorithm }) => algorithm.name === "Ed25519")
  return isPrivate && isPublic && isEd25519 ? { privateKey, publicKey } : undefined
}

/** The pair as a key that signs, of which the browser shows the public half only. */
export async function hostKeyOf(pair: CryptoKeyPair): Promise<HostKey> {
  return {
    key: new Uint8Array(await crypto.subtle.exportKey("raw", pair.publicKey)),
    sign: async (text) => new Uint8Array(await crypto.subtle.sign("Ed25519", pair.privateKey, text)),
  }
}
