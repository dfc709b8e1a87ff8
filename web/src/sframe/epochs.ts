/**
 * What MLS gives to SFrame (RFC 9605 §5.2): a base key for each epoch, and the layout of KIDs.
 *
 *       64-S-E bits   S bits   E bits
 *      <-----------> <------> <------>
 *     +-------------+--------+-------+
 *     | Context ID  | Index  | Epoch |
 *     +-------------+--------+-------+
 */

import type { Octets } from "../bytes.ts"
import type { CipherSuite } from "./ciphersuite.ts"
import { SFrameMisuseError } from "./errors.ts"

const EPOCH_BITS = 8n // E; receivers tell 256 epochs apart, and never hold more than 32
const EPOCH_MASK = (1n << EPOCH_BITS) - 1n
export const CONTEXTS = 4 // contexts 0 to 3; a sender has one key for each

/**
 * One epoch of the group, as far as SFrame goes.
 *
 * `baseKey` is the exporter's output, Nk bytes. `leafCount` counts the leaves of the ratchet tree, blank ones too.
 * `ownLeaf` is our index, whose keys we seal with and never open with. Nobody sends from `blankLeaves`.
 */
export interface EpochSecret {
  readonly epoch: number
  readonly baseKey: Octets
  readonly leafCount: number
  readonly ownLeaf: number
  readonly blankLeaves: ReadonlySet<number>
}

export function checkSecret(secret: EpochSecret, suite: CipherSuite): void {
  const { epoch, baseKey, leafCount, ownLeaf, blankLeaves } = secret
  if (!Number.isSafeInteger(epoch) || epoch < 0) throw new SFrameMisuseError("an epoch is a whole number")
  if (baseKey.length !== suite.nk) throw new SFrameMisuseError(`${suite.name} takes a base key of ${suite.nk} bytes`)
  if (!(leafCount >= 1 && leafCount <= 2 ** 32)) throw new SFrameMisuseError("a tree has 1 to 2^32 leaves")
  if (!(ownLeaf >= 0 && ownLeaf < leafCount) || blankLeaves.has(ownLeaf)) {
    throw new SFrameMisuseError("our leaf is not in the tree, or blank")
  }
}

/** The low-order E bits of an epoch or a KID. */
export function epochBits(value: bigint | number): number {
  return Number(BigInt(value) & EPOCH_MASK)
}

function senderBits(leafCount: number): bigint {
  return BigInt(leafCount - 1 === 0 ? 0 : (leafCount - 1).toString(2).length)
}

/** `(context << (S + E)) + (sender_index << E) + (epoch % (1 << E))`. */
export function kidOf(leafCount: number, context: number, senderIndex: number, epoch: number): bigint {
  const above = (BigInt(context) << senderBits(leafCount)) | BigInt(senderIndex)
  return (above << EPOCH_BITS) | BigInt(epochBits(epoch))
}

/** The inverse of `kidOf`, as far as the epoch stands in it. */
export function kidParts(leafCount: number, kid: bigint): { readonly context: bigint; readonly senderIndex: number } {
  const bits = senderBits(leafCount)
  const above = kid >> EPOCH_BITS
  return { context: above >> bits, senderIndex: Number(above & ((1n << bits) - 1n)) }
}
