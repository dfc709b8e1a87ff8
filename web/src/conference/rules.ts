/**
 * What a meeting accepts (docs/protocol.md): the rules that every member holds each commit and KeyPackage to.
 *
 * They look at what a commit does, not at what its sender or the server says that it does.
 */

import { decodeBase64url, encodeBase64url, equal, fromUtf8, type Octets } from "../bytes.ts"
import type { CommitReceived, Group } from "../mls/group.ts"
import type { Presented } from "../mls/key_package.ts"
import type { Member } from "../mls/member.ts"
import { certifiedName } from "./certified_name.ts"
import { MisuseError, PolicyError } from "./errors.ts"
import { decodePasses, type Pass, verifyAdmission, verifyReturn } from "./passes.ts"
import { BINDING_SIZE, type Policy } from "./policy.ts"
import { isReturned, isSamePerson, type Person } from "./roster.ts"

export const MAX_NAME = 64
const PARTICIPANT_ID_SIZE = 16

// The ranges of conference/rules.py. Ranges and no character properties: those differ between versions of Unicode,
// and members must not differ about who may be in the group.
const UNFIT =
  /^ | $|[\x00-\x1f\x7f-\xa0\xad\u061c\u115f\u1160\u180b-\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\uffff\u{e0000}-\u{e0fff}]/u

/** `name` in its normal form (NFC), for oneself. MisuseError unless it may be a name. */
export function checkedName(name: string): string {
  const normal = name.trim().normalize("NFC")
  if (!mayBeName(normal)) throw new MisuseError(`A name has 1 to ${MAX_NAME} printable characters.`)
  return normal
}

function mayBeName(name: string): boolean {
  const length = Array.from(name).length
  return length > 0 && length <= MAX_NAME && !UNFIT.test(name)
}

/** The member as people see it. PolicyError if its leaf is not one that a meeting has. */
export function personOf(member: Member): Person {
  if (member.applicationId?.length !== PARTICIPANT_ID_SIZE) {
    throw new PolicyError("A member's leaf does not carry its participant id.")
  }
  const name = nameOf(member)
  if (!mayBeName(name)) throw new PolicyError("A member's name is not printable text of 1 to 64 characters.")
  const participantId = encodeBase64url(member.applicationId)
  const { leafIndex: leaf, signatureKey, certificates = [] } = member
  return { leaf, name, participantId, signatureKey, certificates }
}

function nameOf(member: Member): string {
  if (member.certificates !== undefined) return certifiedName(member.certificates, member.signatureKey)
  if (member.identity === undefined) throw new PolicyError("A member's credential is neither a name nor a certificate.")
  const name = fromUtf8(member.identity)
  if (name === undefined) throw new PolicyError("A member's name is not UTF-8.")
  return name
}

/** The members by leaf. PolicyError if one is not of a meeting's form, or two are one participant. */
export function peopleOf(group: Group): readonly Person[] {
  const people = group.members.map(personOf)
  if (new Set(people.map(({ participantId }) => participantId)).size !== people.length) {
    throw new PolicyError("Two leaves of the group carry the same participant id.")
  }
  return people
}

/** The meeting is locked. */
export class LockedError extends PolicyError {}

/** No host has let somebody in whom one has to let in. */
export class NotAdmittedError extends PolicyError {}

/** Somebody who is to be added: as whom, and by which KeyPackage. */
export interface Newcomer {
  readonly person: Person
  readonly reference: Octets
}

export function newcomerOf(presented: Presented, policy: Policy): Newcomer {
  return { person: checkPresented(presented, policy), reference: decodeBase64url(presented.reference)! }
}

/** Who comes by this KeyPackage. PolicyError unless it may be added; its keys have been checked. */
export function checkPresented(presented: Presented, policy: Policy): Person {
  const person = personOf(presented.member)
  if (policy.bars(person.signatureKey)) throw new PolicyError("This signature key is barred from the meeting.")
  return person
}

/** PolicyError unless the pass is right; `gone` are those whom the commit removes, by participant id. */
export async function checkPass(
  { person, reference }: Newcomer,
  given: Pass,
  policy: Policy,
  linkHost: Octets,
  groupId: Octets,
  gone: ReadonlyMap<string, Person>,
): Promise<void> {
  if (given.ground === "return") {
    const was = gone.get(given.participantId)
    if (was === undefined || !isReturned(person, was)) {
      throw new PolicyError("Somebody comes back as a member who is another, or is not removed.")
    }
    return verifyReturn(given, was.signatureKey, groupId, reference)
  }
  if (policy.isLocked) throw new LockedError("The meeting is locked: nobody is added.")
  if (given.ground === "link") {
    if (policy.document.lobby) throw new NotAdmittedError("Nobody is added whom no host has let in.")
    return
  }
  if (!policy.hasHost(given.host, linkHost)) {
    throw new PolicyError("Somebody was let in by one who is not a host of this meeting.")
  }
  await verifyAdmission(given, groupId, reference, true)
}

/** What holds a commit to the meeting's rules. */
export interface Rules {
  /** The policy in force and those that hosts have announced, which may follow it. */
  readonly policies: readonly Policy[]
  /** References of the KeyPackages that this meeting has seen added. */
  readonly usedKeyPackages: ReadonlySet<string>
  /** Whose word counts first: as the link says. */
  readonly linkHost: Octets
}

/** The policy that the commit was made under; PolicyError if it breaks a rule. */
export async function checkCommit(rules: Rules, before: Group, commit: CommitReceived): Promise<Policy> {
  const binding = commit.authenticatedData.subarray(0, BINDING_SIZE)
  const policy = rules.policies.find((each) => each.isBoundBy(binding))
  if (policy === undefined) throw new PolicyError("The commit was made under another policy than the meeting's.")
  if (commit.hasOthers) throw new PolicyError("A meeting knows only Add, Remove and PreSharedKey proposals, by value.")
  if ((commit.removes.length || !commit.adds.length) && !commit.hasPath) {
    throw new PolicyError("A commit that removes, or adds nobody, must have a path.")
  }
  checkPsks(commit, policy)
  await checkAdds(rules, before, commit, policy)
  if (commit.group !== undefined) {
    checkUnchangedLeaves(before, commit.group, commit.removes)
    if (policy !== rules.policies[0]) checkRemovals(commit.group, policy)
  }
  return policy
}

function checkPsks(commit: CommitReceived, policy: Policy): void {
  // The link's PSK is what proves that whoever committed an Add knew the link, and not only the server.
  const [pskId, ...more] = commit.pskIds
  const isLinks = pskId !== undefined && equal(pskId, policy.pskId)
  if (more.length || (commit.adds.length ? !isLinks : pskId !== undefined)) {
    throw new PolicyError("A commit carries the PSK of the meeting link if it adds somebody, and no other.")
  }
}

async function checkAdds(rules: Rules, before: Group, commit: CommitReceived, policy: Policy): Promise<void> {
  const passes = decodePasses(commit.authenticatedData.subarray(BINDING_SIZE), commit.adds.length)
  const people = before.members.map(personOf)
  const gone = new Map(
    people.filter(({ leaf }) => commit.removes.includes(leaf)).map((person) => [person.participantId, person]),
  )
  for (const [at, presented] of commit.adds.entries()) {
    const newcomer = newcomerOf(presented, policy)
    if (rules.usedKeyPackages.has(presented.reference)) {
      throw new PolicyError("The commit adds a KeyPackage that was used before.")
    }
    await checkPass(newcomer, passes[at]!, policy, rules.linkHost, before.groupId, gone)
  }
}

/** Whoever the hosts want gone is gone as soon as their policy is in force. */
function checkRemovals(after: Group, policy: Policy): void {
  if (after.members.some(({ signatureKey }) => policy.excludes(signatureKey))) {
    throw new PolicyError("The commit puts a policy in force, but leaves somebody in whom it removes.")
  }
}

/** A leaf never changes who it is during a meeting. */
function checkUnchangedLeaves(before: Group, after: Group, removed: readonly number[]): void {
  const people = new Map(peopleOf(after).map((person) => [person.leaf, person]))
  for (const was of before.members.map(personOf)) {
    if (!removed.includes(was.leaf) && !isSamePerson(people.get(was.leaf), was)) {
      throw new PolicyError("The commit changes who a member is.")
    }
  }
}
