/** What the server's answers mean to who asked: sentences for people, and which errors are no news. */

import type { ErrorCode } from "../signaling/errors.ts"
import type { DismissReason } from "../signaling/messages.ts"

export const DISMISSED: Readonly<Record<DismissReason, string>> = {
  unreadable:
    "The members cannot open the request to join: the link or the passphrase is another one, or the host has changed the link since.",
  locked: "The meeting is locked: nobody is let in.",
  refused: "The host did not let you in.",
  policy:
    "The members did not let this participant in: by the host's policy, because its clock differs from theirs, or because its identity takes part already, on another device or screen.",
  unneeded: "The members have nothing to let this participant in to.",
}

export const FATAL: readonly ErrorCode[] = ["unsupported_protocol", "room_full", "replaced"]
// What else than `refused` may answer a commit.
export const OF_COMMITS: readonly ErrorCode[] = ["unknown_participant", "contradiction"]
// Two of us spoke at once, or what we said crossed what the server said; what we are told next mends it.
export const RACES: readonly ErrorCode[] = [
  "out_of_state",
  "wrong_generation",
  "wrong_epoch",
  "wrong_term",
  "not_leader",
  "unknown_participant",
]
