/**
 * What a meeting accepts (docs/protocol.md): the rules that every member holds each commit and KeyPackage to.
 *
 * They look at what a commit does, not at what its sender or the server says that it does.
 */

import { encodeBase64url, equal, fromUtf8 } from "../bytes.ts"
import type { CommitReceived, Group } from "../mls/group.ts"
import type { Presented } from "../mls/key_package.ts"
import type { Member } from "../mls/member.ts"
import { MisuseError, PolicyError } from "./errors.ts"
import type { Policy } from "./policy.ts"
import { isSamePerson, type Person } from "./roster.ts"

const MAX_NAME = 64
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
  if (member.identity === undefined) throw new PolicyError("A member's credential is not a BasicCredential.")
  if (member.applicationId?.length !== PARTICIPANT_ID_SIZE) {
    throw new PolicyError("A member's leaf does not carry its participant id.")
  }
  const name = fromUtf8(member.identity)
  if (name === undefined) throw new PolicyError("A member's name is not UTF-8.")
  if (!mayBeName(name)) throw new PolicyError("A member's name is not printable text of 1 to 64 characters.")
  const participantId = encodeBase64url(member.applicationId)
  return { leaf: member.leafIndex, name, participantId, signatureKey: member.signatureKey }
}

/** The members by leaf. PolicyError if one is not of a meeting's form, or two are one participant. */
export function peopleOf(group: Group): readonly Person[] {
  const people = group.members.map(personOf)
  if (new Set(people.map(({ participantId }) => participantId)).size !== people.length) {
    throw new PolicyError("Two leaves of the group carry the same participant id.")
  }
  return people
}

/** Who comes by this KeyPackage. PolicyError unless it may be added; its keys have been checked. */
export function checkPresented(presented: Presented, policy: Policy): Person {
  const person = personOf(presented.member)
  if (policy.isLocked) throw new PolicyError("The meeting is locked: nobody is added.")
  if (policy.bars(person.signatureKey)) throw new PolicyError("This signature key is barred from the meeting.")
  return person
}

/**
 * The policy that a commit was made under, one of `lawful`; PolicyError if it breaks a rule. `used` has the
 * references of the KeyPackages that this meeting has seen added.
 */
export function checkCommit(
  before: Group,
  commit: CommitReceived,
  lawful: readonly Policy[],
  used: ReadonlySet<string>,
): Policy {
  const policy = lawful.find((each) => each.isBoundBy(commit.authenticatedData))
  if (policy === undefined) throw new PolicyError("The commit was made under another policy than the meeting's.")
  if (commit.hasOthers) throw new PolicyError("A meeting knows only Add, Remove and PreSharedKey proposals, by value.")
  if ((commit.removes.length || !commit.adds.length) && !commit.hasPath) {
    throw new PolicyError("A commit that removes, or adds nobody, must have a path.")
  }
  checkAdds(commit, policy, used)
  if (commit.group !== undefined) checkUnchangedLeaves(before, commit.group, commit.removes)
  return policy
}

function checkAdds(commit: CommitReceived, policy: Policy, used: ReadonlySet<string>): void {
  // The link's PSK is what proves that whoever committed an Add knew the link, and not only the server.
  const [pskId, ...more] = commit.pskIds
  const isLinks = pskId !== undefined && equal(pskId, policy.pskId)
  if (more.length || (commit.adds.length ? !isLinks : pskId !== undefined)) {
    throw new PolicyError("A commit carries the PSK of the meeting link if it adds somebody, and no other.")
  }
  for (const each of commit.adds) {
    checkPresented(each, policy)
    if (used.has(each.reference)) throw new PolicyError("The commit adds a KeyPackage that was used before.")
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
