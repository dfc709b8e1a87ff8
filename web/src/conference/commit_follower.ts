/**
 * What a member does with the commits of the log (docs/protocol.md, "Follow"): each is processed beside the group, and
 * held to the meeting's rules before its epoch is adopted.
 */

import type { Octets } from "../bytes.ts"
import type { Group } from "../mls/group.ts"
import type { Policies } from "./policies.ts"
import type { Policy } from "./policy.ts"
import { checkCommit } from "./rules.ts"

/** What a commit leads to. */
export interface Step {
  /** undefined if it removes us. */
  readonly group: Group | undefined
  /** Of the leaf whose commit it is. */
  readonly committer: number
  readonly policy: Policy
  readonly removes: boolean
  /** References of those that it adds. */
  readonly keyPackages: readonly string[]
}

export class CommitFollower {
  readonly #policies: Policies
  readonly #usedKeyPackages = new Set<string>()

  constructor(policies: Policies) {
    this.#policies = policies
  }

  /** References of the KeyPackages that this meeting has seen added. */
  get usedKeyPackages(): ReadonlySet<string> {
    return this.#usedKeyPackages
  }

  /** What another member's commit leads to. MLSError or PolicyError if it is none that a meeting accepts. */
  async process(group: Group, commit: Octets, wallTimeS: number): Promise<Step> {
    const policies = this.#policies.lawful()
    const psks = policies.map((policy) => ({ id: policy.pskId, secret: this.#policies.keysOf(policy).linkPsk }))
    const received = await group.process(commit, psks, wallTimeS)
    const rules = { policies, usedKeyPackages: this.#usedKeyPackages, linkHost: this.#policies.link.host }
    return {
      group: received.group,
      committer: received.sender,
      policy: await checkCommit(rules, group, received),
      removes: received.removes.length > 0,
      keyPackages: received.adds.map(({ reference }) => reference),
    }
  }

  /** The step is made: its policy is in force, and nobody comes in by these KeyPackages again. */
  async follow({ policy, keyPackages }: Step): Promise<void> {
    for (const each of keyPackages) this.#usedKeyPackages.add(each)
    await this.#policies.enforce(policy)
  }
}
