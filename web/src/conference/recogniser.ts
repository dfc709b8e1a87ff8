/**
 * What this browser's user knows of people, put to use on who is in the group. One for each page; it follows what
 * other tabs remember and forget.
 */

import type { Octets } from "../bytes.ts"
import { CertificateJudge } from "./certificate_judge.ts"
import { StorageError } from "./errors.ts"
import { type KnownKey, KnownKeys } from "./known_keys.ts"
import { forgetDamagedKeys, forgetKeys, readKnownKeys, rememberKeys } from "./known_keys_store.ts"
import { type Recognition, recognise } from "./recognition.ts"
import type { Person } from "./roster.ts"

const CHANNEL = "conclave known keys"

export class Recogniser {
  /** What is known is another now. */
  onChange: () => void = () => undefined
  /** By which certificates are judged. */
  readonly judge = new CertificateJudge()
  /** Why nothing outlives this page, as a sentence; undefined while it does. */
  problem: string | undefined
  /** How many records cannot be read; they vouch for nobody. */
  damaged = 0
  #kept = KnownKeys.none
  /** What is known in this page only. */
  #here = KnownKeys.none
  /** What is known in this meeting only: the next time those people come with other keys. */
  #fleeting = KnownKeys.none
  #known = KnownKeys.none
  readonly #others = new BroadcastChannel(CHANNEL)

  constructor() {
    this.#others.onmessage = () => void this.#look()
    this.judge.onChange = () => this.onChange()
  }

  /** A meeting begins. */
  enterMeeting(): void {
    this.#fleeting = KnownKeys.none
    this.#changed()
  }

  /** Look at what is kept. */
  async refresh(): Promise<void> {
    await Promise.all([this.#look(), this.judge.refresh()])
  }

  async #look(): Promise<void> {
    await this.#attempt(async () => {
      const { known, damaged } = await readKnownKeys()
      this.#kept = known
      this.damaged = damaged
    })
  }

  recognise(person: Pick<Person, "name" | "signatureKey" | "certificates">, isUs = false): Recognition {
    return recognise(person, this.#known, { isUs, verdict: this.judge.verdictOn(person) })
  }

  /** Whom this browser remembers, by name. */
  get remembered(): readonly KnownKey[] {
    return this.#kept.all
  }

  /** They were compared now. What cannot be kept, or is not to be, is known for as long as the page is open. */
  async remember(people: readonly Person[], isForLater: boolean): Promise<void> {
    const compared = comparedNow(people)
    this.#here = this.#here.with(compared)
    if (isForLater) await this.#change(() => rememberKeys(compared))
    else this.#changed()
  }

  /** They were compared now, and come with other keys next time. */
  knowForNow(people: readonly Person[]): void {
    this.#fleeting = this.#fleeting.with(comparedNow(people))
    this.#changed()
  }

  /** They count as never compared. */
  async forget(keys: readonly Octets[]): Promise<void> {
    this.#here = this.#here.without(keys)
    this.#fleeting = this.#fleeting.without(keys)
    await this.#change(() => forgetKeys(keys))
  }

  /** What cannot be read is given up. */
  async forgetDamaged(): Promise<void> {
    await this.#change(forgetDamagedKeys)
  }

  async #change(work: () => Promise<void>): Promise<void> {
    await this.#attempt(work)
    if (this.problem !== undefined) return
    this.#others.postMessage("changed")
    await this.#look()
  }

  async #attempt(work: () => Promise<void>): Promise<void> {
    try {
      await work()
      this.problem = undefined
    } catch (error) {
      if (!(error instanceof StorageError)) throw error
      this.problem = error.message
    }
    this.#changed()
  }

  #changed(): void {
    this.#known = this.#kept.with(this.#here.all).with(this.#fleeting.all)
    this.onChange()
  }
}

function comparedNow(people: readonly Person[]): KnownKey[] {
  const comparedAt = Math.floor(Date.now() / 1000)
  return people.map(({ signatureKey, name }) => ({ key: signatureKey, name, comparedAt }))
}
