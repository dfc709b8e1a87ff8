/** STUN and TURN servers that the server tells of (docs/protocol.md, `ice_servers`), as this browser takes them. */

import type { Server } from "../signaling/messages.ts"

/** Those with which a connection can be made: one that the browser refuses would cost the others, and all media. */
export function usableOf({ servers }: Server<"ice_servers">): RTCIceServer[] {
  return servers
    .map(({ url, username, credential }) => ({
      urls: url,
      ...(username === null ? {} : { username }),
      ...(credential === null ? {} : { credential }),
    }))
    .filter(isUsable)
}

function isUsable(server: RTCIceServer): boolean {
  try {
    new RTCPeerConnection({ iceServers: [server] }).close()
    return true
  } catch {
    return false
  }
}
