/**
 * What a host wants of the meeting, until a policy that says so is in force (docs/protocol.md, "Policy").
 *
 * Two hosts may announce policies at the same time, of which only one comes into force; and some changes have to wait
 * for others. So a host's wishes are kept as changes, and put into the next policy again and again until the policy in
 * force has them all.
 */

import { encodeBase64url, equal, type Octets } from "../bytes.ts"
import { type FurtherHost, MAX_BARRED, MAX_HOSTS, MAX_REMOVED, Policy, type PolicyDocument } from "./policy.ts"

/** Something that a host wants. */
export type Change =
  /** Lobby, lock, or the end. */
  | { readonly type: "flag"; readonly name: "lobby" | "locked" | "ended"; readonly on: boolean }
  /** Somebody is to go; it may knock again, so the lobby is on from then on. */
  | { readonly type: "remove"; readonly key: Octets }
  /** A signature key is to go, and not to come back. */
  | { readonly type: "bar"; readonly key: Octets }
  /** A signature key may knock again. */
  | { readonly type: "unbar"; readonly key: Octets }
  /** A new secret; not before everybody is gone who is to go, for who is there reads it. */
  | { readonly type: "change link"; readonly secret: Octets }
  /** The holder of a signature key is to be a host too. Only the link's host can grant that. */
  | { readonly type: "name host"; readonly host: FurtherHost }
  /** The holder of a signature key is to be no host any more. */
  | { readonly type: "strike host"; readonly key: Octets }

/** Signature keys in the group, as base64url. */
type Present = ReadonlySet<string>

const has = (keys: readonly Octets[], key: Octets) => keys.some((each) => equal(each, key))
const without = (keys: readonly Octets[], key: Octets) => keys.filter((each) => !equal(each, key))
const isIn = (present: Present, key: Octets) => present.has(encodeBase64url(key))
const sorted = (keys: readonly Octets[]) =>
  [...keys].sort((one, other) => {
    const at = one.findIndex((octet, index) => octet !== other[index])
    return at < 0 ? 0 : one[at]! - other[at]!
  })

/** The document with the change in it, as far as it can be yet. */
function apply(change: Change, document: PolicyDocument, present: Present): PolicyDocument {
  switch (change.type) {
    case "flag":
      return { ...document, [change.name]: change.on }
    case "remove": {
      if (!isIn(present, change.key)) return document
      const removed = sorted([...without(document.removed, change.key), change.key])
      return { ...document, lobby: true, removed: removed.slice(0, MAX_REMOVED) }
    }
    case "bar": {
      const barred = has(document.barred, change.key) ? document.barred : [...document.barred, change.key]
      return { ...document, barred: barred.slice(0, MAX_BARRED), lobby: true }
    }
    case "unbar":
      return { ...document, barred: without(document.barred, change.key) }
    case "change link": {
      const isToGo = [...document.removed, ...document.barred].some((key) => isIn(present, key))
      if (isToGo || isLink(document, change.secret)) return document
      return { ...document, link_secret: change.secret, link_generation: document.link_generation + 1 }
    }
    case "name host": {
      // Whoever has gone makes room; where there is none, this one has to wait.
      const others = document.hosts.filter(({ key }) => isIn(present, key) && !equal(key, change.host.key))
      return others.length >= MAX_HOSTS ? document : { ...document, hosts: [...others, change.host] }
    }
    case "strike host":
      return { ...document, hosts: document.hosts.filter(({ key }) => !equal(key, change.key)) }
  }
}

/** Whether there is nothing left to do. */
function isDone(change: Change, { document }: Policy, present: Present): boolean {
  switch (change.type) {
    case "flag":
      return document[change.name] === change.on
    case "remove":
      return !isIn(present, change.key)
    case "bar":
      return has(document.barred, change.key)
    case "unbar":
      return !has(document.barred, change.key)
    case "change link":
      return isLink(document, change.secret)
    case "name host":
      return (
        !isIn(present, change.host.key) ||
        document.hosts.some(({ grant, key }) => equal(grant, change.host.grant) && equal(key, change.host.key))
      )
    case "strike host":
      return !document.hosts.some(({ key }) => equal(key, change.key))
  }
}

function isLink(document: PolicyDocument, secret: Octets): boolean {
  return document.link_secret !== null && equal(document.link_secret, secret)
}

/** Whether the later of two changes makes the earlier one pointless. */
function isOvertaken(change: Change, by: Change): boolean {
  if (change.type === "flag" && by.type === "flag") return change.name === by.name
  if (change.type === "change link" && by.type === "change link") return true
  const barring = ["bar", "unbar"]
  if (barring.includes(change.type) && barring.includes(by.type) && change.type !== by.type) {
    return equal((change as { key: Octets }).key, (by as { key: Octets }).key)
  }
  if (change.type === "name host" && by.type === "strike host") return equal(change.host.key, by.key)
  if (change.type === "strike host" && by.type === "name host") return equal(change.key, by.host.key)
  return false
}

/** The changes that are not in force yet. */
export class Hosting {
  #changes: Change[] = []

  /** A change, after those that are wanted already. */
  want(change: Change): void {
    this.#changes = [...this.#changes.filter((each) => !isOvertaken(each, change)), change]
  }

  /** Want nothing any more. */
  forget(): void {
    this.#changes = []
  }

  /** The policy to announce now; undefined if what is in force, or was announced, has all that can be yet. */
  nextPolicy(inForce: Policy, newest: Policy, present: Present): Policy | undefined {
    this.#changes = this.#changes.filter((each) => !isDone(each, inForce, present))
    if (this.#changes.length === 0) return undefined
    // Whom the policy in force removed has gone, and who of them is present was let in again.
    const pending = newest.equals(inForce) ? [] : newest.document.removed
    const removed = pending.filter((key) => isIn(present, key))
    const base = { ...newest.document, removed }
    const wanted = this.#changes.reduce((document, change) => apply(change, document, present), base as PolicyDocument)
    if (new Policy({ ...wanted, version: 1 }).equals(new Policy({ ...base, version: 1 }))) return undefined
    return new Policy({ ...wanted, version: newest.version + 1 })
  }
}
