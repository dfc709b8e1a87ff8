/** What the browser itself knows of the connections: how loud who is, and how the transport is encrypted. */

import type { Meeting } from "../conference/meeting.ts"
import { X_WING_SUITE } from "../conference/link.ts"
import type { Tile } from "../conference/tiles.ts"
import type { Suite } from "./scene.ts"

interface Report {
  readonly type: string
  readonly kind?: string
  readonly trackIdentifier?: string
  readonly audioLevel?: number
  readonly srtpCipher?: string
  readonly dtlsCipher?: string
  readonly tlsVersion?: string
}

/** Loudness of decoded sound, 0 to 1, by the id of its track. */
export async function levelsOf(meeting: Meeting): Promise<ReadonlyMap<string, number>> {
  const reports = await reportsOf(meeting.connections.receiving)
  const sounds = reports.filter(({ type, kind }) => type === "inbound-rtp" && kind === "audio")
  return new Map(sounds.map(({ trackIdentifier, audioLevel }) => [trackIdentifier ?? "", audioLevel ?? 0]))
}

export function levelOf(tile: Tile | undefined, levels: ReadonlyMap<string, number>): number | undefined {
  const track = tile?.isLive ? tile.stream.getAudioTracks()[0] : undefined
  return track && levels.get(track.id)
}

const DTLS: Readonly<Record<string, string>> = { FEFF: "DTLS 1.0", FEFD: "DTLS 1.2", FEFC: "DTLS 1.3" }

/** How the transport is encrypted, as far as the browser says. */
export async function transportOf(meeting: Meeting): Promise<string | undefined> {
  const { sending, receiving } = meeting.connections
  const reports = [...(await reportsOf(receiving)), ...(await reportsOf(sending))]
  const found = reports.find(({ type, srtpCipher }) => type === "transport" && srtpCipher)
  return found && [found.srtpCipher, DTLS[found.tlsVersion ?? ""] ?? "DTLS"].join(", ")
}

async function reportsOf(connection: RTCPeerConnection | undefined): Promise<Report[]> {
  if (connection === undefined || connection.connectionState === "closed") return []
  const reports: Report[] = []
  for (const report of (await connection.getStats()).values()) reports.push(report as Report)
  return reports
}

/** All layers, the innermost first. */
export function suitesOf(mlsSuite: number, transport: string | undefined): Suite[] {
  const isHybrid = mlsSuite === X_WING_SUITE
  return [
    isHybrid
      ? {
          layer: "MLS",
          name: "MLS_256_XWING_AES256GCM_SHA512_Ed25519",
          note: "Who holds which key. Hybrid: X25519 and ML-KEM-768.",
        }
      : {
          layer: "MLS",
          name: "MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519",
          note: "Who holds which key. Classical: X25519.",
        },
    {
      layer: "SFrame",
      name: isHybrid ? "AES_256_GCM_SHA512_128" : "AES_128_GCM_SHA256_128",
      note: "Every frame of picture and sound, between the people in the meeting.",
    },
    { layer: "SRTP", name: transport ?? "not connected", note: "Around it once more, between you and the server." },
    {
      layer: "TLS",
      name: location.protocol === "https:" ? "https" : "none",
      note:
        location.protocol === "https:"
          ? "Of the page and its signaling. The browser shows the version beside the address, and not to pages."
          : "The server is on this same machine.",
    },
  ]
}
