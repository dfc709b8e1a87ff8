/** Whether we come with this browser's identity, and what there is of it. One for each page. */

import { StorageError } from "../conference/errors.ts"
import { findIdentity, forgetIdentity, makeIdentity, type OwnIdentity } from "../conference/own_identity.ts"

export class IdentityChoice {
  onChange: () => void = () => undefined
  identity: OwnIdentity | undefined
  /** Who has one comes with it, as from a terminal, unless it is turned off for this time. */
  isUsed = false
  /** Why there is none, or why it cannot be used. */
  problem: string | undefined

  async open(): Promise<void> {
    await this.#attempt(async () => {
      this.identity = await findIdentity()
      this.isUsed = this.identity !== undefined
    })
  }

  /** Come with it from now on, or not this time. It is made when it is first wanted. */
  async use(on: boolean): Promise<void> {
    await this.#attempt(async () => {
      if (on) this.identity ??= await makeIdentity()
      this.isUsed = on
    })
  }

  /** There is none from now on. */
  async forget(): Promise<void> {
    await this.#attempt(async () => {
      await forgetIdentity()
      this.identity = undefined
      this.isUsed = false
    })
  }

  async #attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work()
      this.problem = undefined
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      this.problem = error.message
      this.isUsed = false
    }
    this.onChange()
  }
}
