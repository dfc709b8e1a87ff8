/** Whether we come with this browser's identity, and what there is of it. One for each page. */

import { failureOf, StorageError } from "../conference/errors.ts"
import {
  certify,
  findIdentity,
  forgetIdentity,
  makeIdentity,
  type OwnIdentity,
  requestCertificate,
  uncertify,
} from "../conference/own_identity.ts"

const MAX_FILE = 2 ** 16

export class IdentityChoice {
  onChange: () => void = () => undefined
  identity: OwnIdentity | undefined
  /** Who has one comes with it, as from a terminal, unless it is turned off for this time. */
  isUsed = false
  /** Why there is none, why it cannot be used, or what was wrong with the last wish. */
  problem: string | undefined
  /** What an authority needs to certify it, in PEM, once that was asked for. */
  request: string | undefined
  /** Done when what was wanted last is so, or cannot be. */
  settled: Promise<void> = Promise.resolve()

  open(): Promise<void> {
    return this.#attempt(async () => {
      this.identity = await findIdentity()
      this.isUsed = this.identity !== undefined
    })
  }

  /** Come with it from now on, or not this time. It is made when it is first wanted. */
  use(on: boolean): Promise<void> {
    return this.#attempt(async () => {
      if (on) this.identity ??= await makeIdentity()
      this.isUsed = on
    })
  }

  /** The name by which we come. */
  nameOr(name: string): string {
    return (this.isUsed ? this.identity?.name : undefined) ?? name
  }

  /** Make what an authority needs to certify it. */
  async ask(name: string, address: string): Promise<void> {
    await this.#attempt(async () => {
      this.request = await requestCertificate(name, address)
    })
  }

  /** Go by the certificate in a PEM file from now on. */
  async certify(file: File): Promise<void> {
    await this.#attempt(async () => {
      this.identity = await certify(file.name, await file.slice(0, MAX_FILE).text())
      this.request = undefined
    })
  }

  /** Go by a name of one's own again. */
  async uncertify(): Promise<void> {
    await this.#attempt(async () => {
      this.identity = await uncertify()
    })
  }

  /** There is none from now on. */
  forget(): Promise<void> {
    return this.#attempt(async () => {
      await forgetIdentity()
      this.request = undefined
      this.identity = undefined
      this.isUsed = false
    })
  }

  /** One after the other. */
  #attempt(work: () => Promise<void>): Promise<void> {
    const attempt = this.settled.then(() => this.#carryOut(work))
    this.settled = attempt.catch(() => undefined)
    return attempt
  }

  async #carryOut(work: () => Promise<void>): Promise<void> {
    const failure = await failureOf(work)
    this.problem = failure?.message
    if (failure instanceof StorageError) this.isUsed = false
    this.onChange()
  }
}
