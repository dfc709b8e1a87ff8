/**
 * What the page and its two workers tell each other. The participant's worker holds the link and MLS, the media
 * worker the keys of media; they speak over a channel of their own, so that no key passes through the page's thread.
 */

import type { Octets } from "../bytes.ts"
import type { ClientMessage, Server, Slot } from "../signaling/messages.ts"
import type { Sending } from "./claim_news.ts"
import type { Failing } from "./decrypt_health.ts"
import type { Event, KeyOrder } from "./events.ts"
import type { Misnamed, TileKey } from "./receive_path.ts"
import type { Person, Row } from "./roster.ts"
import type { Phase } from "./session.ts"
import type { SecurityCode } from "./verification.ts"

// --- the participant's worker and the page ---

/** A meeting of this cipher suite may begin soon. */
export interface Prepare {
  readonly type: "prepare"
  readonly suite: number
}

export interface Start {
  readonly type: "start"
  readonly link: string
  readonly passphrase: string | null
  readonly name: string
  /** Come with this browser's identity. */
  readonly isLasting: boolean
  /** To the media worker. */
  readonly port: MessagePort
}

export type MediaAnswer = Extract<ClientMessage, { type: "publish" | "subscribed" | "resubscribe" }>
export type MediaNews = Server<"published"> | Server<"subscribe"> | Server<"slots"> | Server<"ice_servers">

/** What a host may do. */
export type HostAction =
  | { readonly type: "decide"; readonly participantId: string; readonly admitted: boolean }
  | { readonly type: "lobby" | "locked"; readonly on: boolean }
  | { readonly type: "remove" | "bar" | "name host" | "strike host"; readonly participantId: string }
  /** null asks everybody. */
  | { readonly type: "mute"; readonly participantId: string | null }
  | { readonly type: "change link" }
  | { readonly type: "end" }

export type ToParticipant =
  | Prepare
  | Start
  | { readonly type: "chat"; readonly text: string }
  | { readonly type: "rotate" }
  | { readonly type: "leave" }
  | { readonly type: "code"; readonly request: number }
  | { readonly type: "react"; readonly emoji: string }
  | { readonly type: "hand"; readonly raised: boolean }
  | { readonly type: "sending"; readonly sending: Sending }
  | { readonly type: "moderate"; readonly action: HostAction }
  | { readonly type: "media"; readonly message: MediaAnswer }
  /** The last view was taken up: there may be another. */
  | { readonly type: "shown" }

/** A security code, and the epoch that it stands for. */
export interface CodeShown extends SecurityCode {
  readonly epoch: number
}

/** How things stand, whole. */
export interface ParticipantView {
  readonly phase: Phase
  readonly isConnected: boolean
  readonly participantId: string | undefined
  readonly ownLeaf: number | undefined
  readonly epoch: number | undefined
  readonly generation: number
  readonly leader: string | null
  readonly rows: readonly Row[]
  readonly isIsolated: boolean
  readonly isCodeStale: boolean
  /** Whether others may know us from other meetings. */
  readonly hasLastingKey: boolean
  /** The signature key by which the others know us; undefined before the session has begun. */
  readonly ownKey: Octets | undefined
  readonly policyVersion: number
  readonly isLocked: boolean
  readonly hasLobby: boolean
  /** Whether we may decide; whether we are the host that the link names. */
  readonly isHost: boolean
  readonly isLinksHost: boolean
  /** Participant ids of the members who are known as hosts. */
  readonly hosts: readonly string[]
  /** Who waits for a host to decide, if we are one. */
  readonly waiting: readonly Person[]
}

export type FromParticipant =
  | { readonly type: "view"; readonly view: ParticipantView }
  | { readonly type: "event"; readonly event: Event }
  | { readonly type: "media"; readonly message: MediaNews }
  | { readonly type: "code"; readonly request: number; readonly shown: CodeShown | undefined }
  /** We are who we were, upon a new connection. */
  | { readonly type: "resumed" }
  /** Signaling has a new connection. */
  | { readonly type: "connected" }
  | { readonly type: "disconnected"; readonly why: string }
  /** The command could not be carried out. */
  | { readonly type: "refused"; readonly why: string }

// --- the participant's worker and the media worker ---

export type ToKeys =
  | { readonly type: "order"; readonly order: KeyOrder; readonly number: number }
  | { readonly type: "may send"; readonly on: boolean }
  | { readonly type: "slots"; readonly slots: readonly Slot[] }

export type FromKeys =
  | { readonly type: "done"; readonly number: number }
  | { readonly type: "troubles"; readonly troubles: readonly Failing[] }
  | { readonly type: "misnamed"; readonly misnamed: readonly Misnamed[] }

// --- the media worker and the page ---

export type TransformOptions =
  | { readonly direction: "send"; readonly kidContext: number }
  | { readonly direction: "receive"; readonly mid: string; readonly kind: "audio" | "video"; readonly connection: number }

export type ToMedia =
  | { readonly type: "keys"; readonly port: MessagePort }
  | { readonly type: "bound"; readonly request: number }
  /** The slots are those of another connection now. */
  | { readonly type: "connection"; readonly connection: number }

/** One slot, by the keys: whose stream it carries, and how long ago (ms) its last frame opened. */
export interface SlotCounts {
  readonly mid: string
  readonly tile: TileKey
  readonly opened: number
  readonly quietMs: number
}

/** What became of frames, since the beginning. */
export interface MediaCounts {
  readonly sealed: number
  readonly unsealed: number
  readonly opened: number
  readonly dropped: Readonly<Record<string, number>>
  readonly slots: readonly SlotCounts[]
  readonly sendingEpoch: number | undefined
  /** Milliseconds of the worker's time for a frame, on average. */
  readonly sealMs: number
  readonly openMs: number
}

export type FromMedia =
  | {
      readonly type: "bind"
      readonly request: number
      readonly mid: string
      readonly tile: TileKey
      readonly rtpTimestamp: number
    }
  /** Have the encoder make a key frame: this browser does not let the worker. */
  | { readonly type: "key frame"; readonly kidContext: number }
  | { readonly type: "switched"; readonly epoch: number }
  | { readonly type: "counts"; readonly counts: MediaCounts; readonly troubles: readonly Failing[] }
