/**
 * What the page of a meeting shows, and what its user can want: plain data in, intents out. The page knows nothing of
 * keys, connections or workers; `live_meeting` makes a scene of the real thing, the tests make others.
 */

import type { Authority } from "../conference/authorities.ts"
import type { KnownKey } from "../conference/known_keys.ts"
import type { OwnIdentity } from "../conference/own_identity.ts"
import type { Recognition } from "../conference/recognition.ts"
import type { Standing } from "../conference/roster.ts"

/** Where the user is on the way through a meeting. */
export type Stage = "connecting" | "waiting" | "meeting" | "ended"

export type TroubleReason = "no key" | "bad tag" | "replayed" | "wrong sender" | "nothing received"

/** Somebody cannot decrypt somebody. */
export interface Trouble {
  readonly reason: TroubleReason
  /** Of which epoch the key is missing, where that is known. */
  readonly epoch: number | undefined
  readonly sinceS: number
}

export interface Person {
  /** Unlike in every row, also where two leaves bear one participant id. */
  readonly key: string
  readonly participantId: string
  readonly leaf: number | undefined
  /** How well this person is known; undefined for who is only in the server's list, which knows no names. */
  readonly recognition: Recognition | undefined
  readonly isSelf: boolean
  readonly isHost: boolean
  /** Whether this key came after a code was compared. */
  readonly cameSince: boolean
  /** The name is a certificate's. What it is worth, is in `recognition`. */
  readonly hasCertificate: boolean
  readonly standing: Standing
  /** What the server claims: "member", "away", "waiting"; undefined if it does not show this participant. */
  readonly presence: string | undefined
  readonly hasHandUp: boolean
  readonly isRecording: boolean
  /** Loudness of the decrypted sound, 0 to 1; undefined: no sound comes. */
  readonly level: number | undefined
  readonly isMuted: boolean
  /** It says that no picture of its camera is sent; what comes all the same is shown. */
  readonly hasCameraOff: boolean
  /** Why we cannot decrypt this person. */
  readonly unreadable: Trouble | undefined
  /** Why this person cannot decrypt us. */
  readonly cannotReadUs: Trouble | undefined
}

export interface Picture {
  readonly key: string
  readonly participantId: string
  readonly isScreen: boolean
  readonly isSelf: boolean
  /** Whether pictures have come of late. */
  readonly isLive: boolean
  /** Have `video` show it. */
  attach(video: HTMLVideoElement): void
}

export interface ChatLine {
  readonly key: number
  readonly name: string
  readonly isSelf: boolean
  /** Milliseconds since 1970. */
  readonly at: number
  readonly text: string
}

export interface Reaction {
  readonly key: number
  readonly participantId: string
  readonly emoji: string
}

/** An epoch of the group, as it was seen from here. */
export interface EpochLine {
  readonly generation: number
  readonly epoch: number
  readonly at: number
  readonly joined: readonly string[]
  readonly left: readonly string[]
  /** Who lost its state and was let in again in its own place. */
  readonly returned: readonly string[]
  /** Whose commit began it; undefined for the epoch in which we came. */
  readonly committer: string | undefined
  readonly isOwn: boolean
  /** Another policy came into force with it. */
  readonly hasNewRules: boolean
  /** From the epoch's coming until what we send was sealed with its keys; undefined while it is not. */
  readonly switchedAfterMs: number | undefined
  /** From our wish to rotate, or to come in, until the epoch was there. */
  readonly tookMs: number | undefined
}

export interface Code {
  readonly code: string
  /** What its QR code says. */
  readonly qr: string
  readonly epoch: number
  /** The others for whom it stands. */
  readonly people: readonly Compared[]
}

export interface Compared {
  /** The signature key, as base64url. */
  readonly key: string
  readonly name: string
}

/** Whose keys are remembered when a code was the same: "nobody" is for this page only, else one key. */
export type Whom = "everybody" | "nobody" | { readonly key: string }

export interface Comparison {
  readonly epoch: number
  readonly at: number
  /** With whom, last. */
  readonly whom: Whom
  readonly joinedSince: readonly string[]
  readonly leftSince: readonly string[]
}

/** One layer of the encryption, as it was agreed on. */
export interface Suite {
  readonly layer: string
  readonly name: string
  readonly note: string
}

export interface Security {
  readonly epoch: number | undefined
  /** Of the last ten minutes, the newest last; undefined while the first is computed. */
  readonly codes: readonly Code[]
  readonly comparison: Comparison | undefined
  /** The user said that the codes differ. */
  readonly hasDiffered: boolean
  /** Whether we come with an identity by which others may know us. */
  readonly hasLastingKey: boolean
  /** By audio levels, which who made the meeting may have chosen. */
  readonly isServerToldWhoSpeaks: boolean
  readonly suites: readonly Suite[]
  /** The newest first. */
  readonly timeline: readonly EpochLine[]
  readonly isRotating: boolean
}

export type NoticeIntent = "show security" | "show people" | "show settings" | "leave"

/** Something that the user should know, most of all when nobody looks at the security panel. */
export interface Notice {
  readonly key: string
  readonly level: "danger" | "warning" | "news"
  readonly text: string
  readonly action?: { readonly label: string; readonly intent: NoticeIntent } | undefined
  readonly canBeDismissed: boolean
}

/** What this browser keeps of people. */
export interface Memory {
  /** Whom it remembers. */
  readonly people: readonly KnownKey[]
  /** How many records cannot be read. */
  readonly damaged: number
  /** Why nothing outlives this page. */
  readonly problem: string | undefined
  /** Whose certificates it believes. */
  readonly authorities: readonly Authority[]
  /** What the last import did, as sentences. */
  readonly authoritiesTold: readonly string[]
  /** Why the last import came to nothing, or no certificate is believed. */
  readonly authoritiesProblem: string | undefined
  readonly identity: OwnIdentity | undefined
  /** What an authority needs to certify it, in PEM, once that was asked for. */
  readonly identityRequest: string | undefined
  /** Why there is no identity, why it cannot be used, or what was wrong with the last wish. */
  readonly identityProblem: string | undefined
}

export interface MemoryIntents {
  /** This key counts as never compared. */
  forget(key: KnownKey["key"]): void
  forgetDamaged(): void
  /** Take the roots and revocation lists in a PEM file. */
  trust(file: File): void
  distrust(authority: Authority): void
  /** Make what an authority needs to certify the identity; an empty address is left out. */
  askForCertificate(name: string, address: string): void
  /** Go by the certificate in a PEM file from now on. */
  certify(file: File): void
  uncertify(): void
  forgetIdentity(): void
}

export interface Guest {
  readonly participantId: string
  readonly recognition: Recognition
}

/** What the host sees besides. */
export interface Hosting {
  readonly isLocked: boolean
  readonly hasLobby: boolean
  readonly waiting: readonly Guest[]
  /** Only the host that the link names makes others hosts. */
  readonly canNameHosts: boolean
}

export interface DeviceChoice {
  readonly id: string
  readonly label: string
}

export interface Devices {
  readonly microphones: readonly DeviceChoice[]
  readonly cameras: readonly DeviceChoice[]
  readonly speakers: readonly DeviceChoice[]
  readonly microphone: string | undefined
  readonly camera: string | undefined
  readonly speaker: string | undefined
}

export interface Scene {
  readonly stage: Stage
  /** What stands between us and the meeting. */
  readonly waitingFor: string | undefined
  /** Why there is no connection to the server. */
  readonly away: string | undefined
  readonly link: string
  /** Of the server, as it stands in the link. */
  readonly server: string
  readonly people: readonly Person[]
  readonly pictures: readonly Picture[]
  readonly chat: readonly ChatLine[]
  readonly reactions: readonly Reaction[]
  readonly security: Security
  readonly memory: Memory
  readonly notices: readonly Notice[]
  readonly hosting: Hosting | undefined
  readonly devices: Devices
  readonly isMicrophoneOn: boolean
  readonly isCameraOn: boolean
  readonly isScreenShared: boolean
  readonly isHandUp: boolean
  /** Nothing is sent, because no majority of the members confirms our epoch. */
  readonly isPaused: boolean
  /** Whether we ever were in the meeting. */
  readonly wasIn: boolean
  /** Why it is over. */
  readonly ended: string | undefined
}

export interface Intents extends MemoryIntents {
  setMicrophone(on: boolean): void
  setCamera(on: boolean): void
  shareScreen(on: boolean): void
  chooseDevice(kind: "microphone" | "camera" | "speaker", id: string): void
  chat(text: string): void
  react(emoji: string): void
  raiseHand(up: boolean): void
  rotate(): void
  /** The security panel is looked at: have the present epoch's code computed. */
  showCode(): void
  /** The user says that the code of this epoch was the same, and whom to know again by that; or that it was not. */
  compared(epoch: number, isSame: boolean, whom: Whom): void
  dismiss(notice: string): void
  leave(): void
  again(): void
  // --- the host's ---
  admit(participantId: string, isAdmitted: boolean): void
  remove(participantId: string): void
  askToMute(participantId: string | null): void
  nameHost(participantId: string, on: boolean): void
  changeLink(): void
  setLocked(on: boolean): void
  setLobby(on: boolean): void
  end(): void
}
