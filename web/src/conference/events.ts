/** What a session tells whoever drives it. */

import type { Octets } from "../bytes.ts"
import type { Claim } from "./claim_news.ts"
import type { EpochSecret } from "./epoch_keys.ts"
import type { Message, Told, Trouble } from "./messages.ts"
import type { PolicyDocument } from "./policy.ts"
import { isReturned, isSamePerson, type Person } from "./roster.ts"

/** The group is at a new epoch; receive keys are in place. */
export interface EpochChanged {
  readonly type: "epoch changed"
  readonly epoch: number
  readonly members: readonly Person[]
  readonly joined: readonly Person[]
  readonly left: readonly Person[]
  /** Those who had a leaf and have another now, as who they are then. Neither joined nor left. */
  readonly returned: readonly Person[]
  /** undefined for the epoch in which we founded or joined the group. */
  readonly committer: Person | undefined
  /** Another policy came into force with it, which may be what it was begun for. */
  readonly hasNewRules: boolean
}

export type Event =
  | EpochChanged
  /** The server's list of participants changed. */
  | { readonly type: "room changed" }
  | { readonly type: "chat received"; readonly sender: Person; readonly text: string }
  /** A member says whom it cannot decrypt; empty when it is well again. */
  | { readonly type: "trouble reported"; readonly sender: Person; readonly troubles: readonly Trouble[] }
  | { readonly type: "recording changed"; readonly sender: Person; readonly on: boolean }
  /**
   * Our leaf should have been refreshed 15 minutes ago and was not; `on` false when it is. Whoever copied our keys
   * before reads on as long as that is so; the security code does not tell.
   */
  | { readonly type: "code stale"; readonly on: boolean }
  /** What stands between us and the meeting, as a sentence. */
  | { readonly type: "waiting for"; readonly text: string }
  /** Who waits to be let in, for a host to decide. */
  | { readonly type: "lobby changed"; readonly waiting: readonly Person[] }
  | { readonly type: "turned away"; readonly person: Person }
  /** A policy came into force. */
  | { readonly type: "policy changed"; readonly document: PolicyDocument }
  /** The meeting has a new link, spelt here; the old one opens nothing any more. */
  | { readonly type: "link changed"; readonly link: string }
  /** A host asks us to fall silent. */
  | { readonly type: "mute requested"; readonly sender: Person }
  | { readonly type: "reacted"; readonly sender: Person; readonly emoji: string }
  | { readonly type: "hand changed"; readonly sender: Person; readonly raised: boolean }
  /** A member says what it sends; also to us who have just come, and again to others who come. */
  | { readonly type: "claim changed"; readonly sender: Person; readonly claim: Claim }
  /** No majority of the members confirms our epoch, so nothing is sent; `on` false when it is again. */
  | { readonly type: "sending paused"; readonly on: boolean }
  /** Something that the user should know: the server or a member did what it must not. */
  | { readonly type: "warned"; readonly text: string }
  /** The server stops, and may come again. */
  | { readonly type: "going down" }
  /** The meeting is over for us. */
  | { readonly type: "ended"; readonly reason: string }

/** Who came and went; who changed its leaf is the same person by its signature key. */
export function epochChanged(
  epoch: number,
  before: readonly Person[],
  members: readonly Person[],
  committer: Person | undefined,
  hasNewRules: boolean,
): EpochChanged {
  const came = members.filter((person) => !before.some((each) => isSamePerson(each, person)))
  const gone = before.filter((person) => !members.some((each) => isSamePerson(each, person)))
  const isBack = (person: Person) => gone.some((was) => isReturned(person, was))
  return {
    type: "epoch changed",
    epoch,
    members,
    joined: came.filter((person) => !isBack(person)),
    left: gone.filter((was) => !came.some((person) => isReturned(person, was))),
    returned: came.filter(isBack),
    committer,
    hasNewRules,
  }
}

/** What members tell each other that is for people, and for nothing else. */
export type Said = Told<"chat"> | Told<"recording"> | Told<"reaction"> | Told<"hand"> | Told<"claim">

export function isForPeople(message: Message): message is Said {
  return ["chat", "recording", "reaction", "hand", "claim"].includes(message.type)
}

/** What to tell the driver of it. */
export function eventOf(sender: Person, said: Said): Event {
  switch (said.type) {
    case "chat":
      return { type: "chat received", sender, text: said.text }
    case "recording":
      return { type: "recording changed", sender, on: said.on }
    case "reaction":
      return { type: "reacted", sender, emoji: said.emoji }
    case "hand":
      return { type: "hand changed", sender, raised: said.raised }
    case "claim": {
      const { type: _, ...claim } = said
      return { type: "claim changed", sender, claim }
    }
  }
}

/** What is to become of the media keys, which another worker holds (`epoch_keys`). */
export type KeyOrder =
  | {
      readonly type: "adopt"
      readonly groupId: Octets
      /** SFrame's. */
      readonly suite: number
      readonly secret: EpochSecret
      readonly removes: boolean
      /** Participant id by leaf. */
      readonly owners: ReadonlyMap<number, string>
    }
  | { readonly type: "acknowledged"; readonly epoch: number }
  | { readonly type: "erase" }
