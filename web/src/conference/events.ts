/** What a session tells whoever drives it. */

import type { Octets } from "../bytes.ts"
import type { EpochSecret } from "./epoch_keys.ts"
import type { Trouble } from "./messages.ts"
import type { PolicyDocument } from "./policy.ts"
import type { Person } from "./roster.ts"
import type { Sending } from "./sending_news.ts"

export type Event =
  | {
      /** The group is at a new epoch. */
      readonly type: "epoch changed"
      readonly epoch: number
      readonly members: readonly Person[]
      readonly joined: readonly Person[]
      readonly left: readonly Person[]
      /** Those who had a leaf and have another now, as who they are then. Neither joined nor left. */
      readonly returned: readonly Person[]
      /** undefined for the epoch in which we founded or joined the group. */
      readonly committer: Person | undefined
    }
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
  /** A policy came into force. */
  | { readonly type: "policy changed"; readonly document: PolicyDocument }
  /** The meeting has a new link, spelt here; the old one opens nothing any more. */
  | { readonly type: "link changed"; readonly link: string }
  /** A host asks us to fall silent. */
  | { readonly type: "mute requested"; readonly sender: Person }
  | { readonly type: "reacted"; readonly sender: Person; readonly emoji: string }
  | { readonly type: "hand changed"; readonly sender: Person; readonly raised: boolean }
  /** A member says what it sends; also to us who have just come, and again to others who come. */
  | { readonly type: "sending changed"; readonly sender: Person; readonly sending: Sending }
  /** No majority of the members confirms our epoch, so nothing is sent; `on` false when it is again. */
  | { readonly type: "sending paused"; readonly on: boolean }
  /** Something that the user should know: the server or a member did what it must not. */
  | { readonly type: "warned"; readonly text: string }
  /** The meeting is over for us. */
  | { readonly type: "ended"; readonly reason: string }

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
