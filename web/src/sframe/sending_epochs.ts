/**
 * The sending side under MLS (RFC 9605 §5.2): one epoch at a time, and only ever a later one.
 *
 * The counter belongs to (group, epoch, context), beside the key. Because an epoch can be switched to only once, and
 * none that lies before it afterwards, no counter ever starts again; tracks and connections may come and go as they
 * like. There is one SendingEpochs for a group, for as long as its keys are used.
 */

import type { Octets } from "../bytes.ts"
import type { CipherSuite } from "./ciphersuite.ts"
import { checkSecret, CONTEXTS, type EpochSecret, kidOf } from "./epochs.ts"
import { SFrameMisuseError } from "./errors.ts"
import { SendingKey } from "./keys.ts"

export class SendingEpochs {
  readonly #suite: CipherSuite
  #current: { readonly epoch: number; readonly keys: readonly SendingKey[] } | undefined
  #lastEpoch = -1 // survives `stop`, so that stopping makes no epoch usable again

  constructor(suite: CipherSuite) {
    this.#suite = suite
  }

  /** The epoch that is sent under; undefined if nothing may be sent. */
  get epoch(): number | undefined {
    return this.#current?.epoch
  }

  /** Seals under this epoch from now on and erases the keys of the one before. */
  switch(secret: EpochSecret): void {
    checkSecret(secret, this.#suite)
    if (secret.epoch <= this.#lastEpoch) {
      throw new SFrameMisuseError(`epoch ${secret.epoch} was sent under, or came before ${this.#lastEpoch}`)
    }
    const keys = Array.from({ length: CONTEXTS }, (_, context) => {
      const kid = kidOf(secret.leafCount, context, secret.ownLeaf, secret.epoch)
      return new SendingKey(this.#suite, kid, secret.baseKey)
    })
    this.#lastEpoch = secret.epoch
    this.#current = { epoch: secret.epoch, keys }
  }

  /** Erases the sending keys; a later epoch can still be switched to. */
  stop(): void {
    this.#current = undefined
  }

  /** The first `clear` bytes of `frame`, then the SFrame ciphertext of the others. */
  seal(kidContext: number, frame: Uint8Array, clear: number): Promise<Octets> {
    const key = this.#current?.keys[kidContext]
    if (key === undefined) throw new SFrameMisuseError("no epoch to send under has been switched to")
    return key.seal(frame, clear)
  }
}
