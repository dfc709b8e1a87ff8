/**
 * What is made of the certificates that members have, by the authorities that this browser's user trusts. One for each
 * page; it follows what other tabs do. The part that reads certificates is loaded when there is something to trust.
 */

import { equal, encodeBase64url, type Octets } from "../bytes.ts"
import type { Anchors } from "./anchors.ts"
import type { Authority } from "./authorities.ts"
import { dropAuthorities, keepAuthorities, readAuthorities } from "./authorities_store.ts"
import { CertificateError, failureOf, StorageError } from "./errors.ts"
import type { Verdict } from "./recognition.ts"
import type { Person } from "./roster.ts"

const CHANNEL = "conclave authorities"
/** For so long a verdict is not asked for again. */
const VERDICT_S = 10
const MAX_VERDICTS = 4096
const MAX_FILE = 2 ** 22

/** On what one key's bearer showed. */
interface Judged {
  readonly chain: readonly Octets[]
  verdict: Verdict | undefined
  /** When it was asked for, in seconds since 1970. */
  at: number
}

export class CertificateJudge {
  /** A verdict is another now, or what is trusted. */
  onChange: () => void = () => undefined
  /** Why nobody is vouched for, or why the last import came to nothing, as a sentence. */
  problem: string | undefined
  /** What the last import did, as sentences. */
  told: readonly string[] = []
  authorities: readonly Authority[] = []
  #anchors: Anchors | undefined
  /** By signature key. */
  #judged = new Map<string, Judged>()
  readonly #others = new BroadcastChannel(CHANNEL)

  constructor() {
    this.#others.onmessage = () => void this.refresh()
  }

  /** Look at what is trusted. */
  async refresh(): Promise<void> {
    await this.#attempt(async () => {
      this.#take(undefined, []) // whatever fails below, nothing old is believed
      const records = await readAuthorities()
      if (!records.length) return
      const { anchorsOf, authoritiesOf } = await loadAuthorities()
      const anchors = anchorsOf(records)
      this.#take(anchors, await authoritiesOf(anchors))
    })
  }

  /** On this person's certificates; undefined if it has none, if nobody is trusted, or before they were looked at. */
  verdictOn({ signatureKey, certificates }: Pick<Person, "signatureKey" | "certificates">): Verdict | undefined {
    if (!certificates.length || this.#anchors === undefined) return undefined
    const key = encodeBase64url(signatureKey)
    const now = Date.now() / 1000
    let judged = this.#judged.get(key)
    if (judged === undefined || !isSameChain(judged.chain, certificates)) {
      if (this.#judged.size >= MAX_VERDICTS) this.#judged.clear()
      this.#judged.set(key, (judged = { chain: certificates, verdict: undefined, at: -Infinity }))
    }
    if (now < judged.at || now >= judged.at + VERDICT_S) void this.#judge(judged, this.#anchors, now)
    return judged.verdict
  }

  /** Trust the roots in a PEM file, and heed its revocation lists. */
  async trust(file: File): Promise<void> {
    await this.#change(async () => {
      if (file.size > MAX_FILE) throw new CertificateError(`${file.name} is too large.`)
      const { anchorsOf, older, trust } = await loadAuthorities()
      const imported = await trust(file.name, await file.text(), anchorsOf(await readAuthorities()))
      await keepAuthorities(imported.records, older(file.name))
      return imported.told
    })
  }

  /** Trust an authority no longer, and heed its list no longer. */
  async distrust(authority: Authority): Promise<void> {
    await this.#change(async () => {
      const { idsOf } = await loadAuthorities()
      await dropAuthorities(idsOf(authority))
      return [`Certificates of ${authority.name} are trusted no longer.`]
    })
  }

  async #judge(judged: Judged, anchors: Anchors, now: number): Promise<void> {
    judged.at = now
    const verdict = await anchors.judge(judged.chain, now).catch(unjudged)
    if (anchors !== this.#anchors) return
    const was = judged.verdict
    judged.verdict = verdict
    if (was?.standing !== verdict.standing || was.why !== verdict.why) this.onChange()
  }

  #take(anchors: Anchors | undefined, authorities: readonly Authority[]): void {
    this.#anchors = anchors
    this.authorities = authorities
    this.#judged = new Map()
  }

  async #change(work: () => Promise<readonly string[]>): Promise<void> {
    this.told = []
    let told: readonly string[] = []
    await this.#attempt(async () => {
      told = await work()
    })
    if (this.problem !== undefined) return
    this.#others.postMessage("changed")
    await this.refresh()
    this.told = told
    this.onChange()
  }

  async #attempt(work: () => Promise<void>): Promise<void> {
    this.problem = (await failureOf(work))?.message
    this.onChange()
  }
}

/** A fault of ours vouches for nobody. */
function unjudged(): Verdict {
  return { standing: "invalid", authority: "", address: "", why: "It cannot be checked in this browser." }
}

function isSameChain(one: readonly Octets[], other: readonly Octets[]): boolean {
  return one.length === other.length && one.every((each, at) => equal(each, other[at]!))
}

/** StorageError if the server does not give it. */
async function loadAuthorities(): Promise<typeof import("./authorities.ts")> {
  try {
    return await import("./authorities.ts")
  } catch (error) {
    throw new StorageError("The part of this page that checks certificates cannot be loaded. Load the page again.", {
      cause: error,
    })
  }
}
