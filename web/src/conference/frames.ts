/** Contexts and clear prefixes of sealed frames (DESIGN §6). Nothing here knows how frames are sealed. */

export type MediaKind = "audio" | "video"

export const AUDIO = 0
export const CAMERA = 1
export const SCREEN_AUDIO = 2
export const SCREEN = 3

/** `kid_context` is the index: the contexts of a meeting, and there are no others. */
export const KINDS: readonly MediaKind[] = ["audio", "video", "audio", "video"]

/**
 * The bytes at the head of a frame that stay in the clear, and are authenticated: of VP8 the one whose lowest bit
 * tells key frames apart, which packetizers and SFUs look at.
 */
export const CLEAR: Readonly<Record<MediaKind, number>> = { audio: 0, video: 1 }

/** How all is encoded, as a browser names it. */
export const CODECS: Readonly<Record<MediaKind, string>> = { audio: "audio/opus", video: "video/vp8" }

/** Whether a VP8 frame, sealed or not, is a key frame (RFC 6386 §9.1: the inverse key frame flag). */
export function isVp8KeyFrame(frame: Uint8Array): boolean {
  return frame.length > 0 && (frame[0]! & 1) === 0
}
