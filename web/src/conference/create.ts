/** Make a meeting: the server gives it an id, this browser its secret and its host's key. */

import { identifier, struct } from "../signaling/kinds.ts"
import { LinkError, ServerError } from "./errors.ts"
import { keepHostKey } from "./host_key.ts"
import { MeetingLink } from "./link.ts"
import { createKeyPair } from "./signing.ts"

const answer = struct({ meeting_id: identifier })

export interface CreateOptions {
  readonly suite?: number
  readonly hasPassphrase?: boolean
  /** Microphones tell the server how loud they are, and so who speaks. */
  readonly hasAudioLevels?: boolean
  /** For a server that lets only some make meetings. */
  readonly token?: string
}

/** A link to a new meeting on the page's own server. ServerError with what the user can do. */
export async function createMeeting(options: CreateOptions = {}): Promise<MeetingLink> {
  const meetingId = await askForMeeting(options.token)
  const hostKey = await createKeyPair()
  const publicKey = new Uint8Array(await crypto.subtle.exportKey("raw", hostKey.publicKey))
  let link: MeetingLink
  try {
    link = MeetingLink.create(location.origin, meetingId, publicKey, options)
  } catch (error) {
    throw error instanceof LinkError ? notConclave() : error
  }
  await keepHostKey(meetingId, hostKey)
  return link
}

async function askForMeeting(token: string | undefined): Promise<string> {
  let response: Response
  try {
    const headers: HeadersInit = token === undefined ? {} : { Authorization: `Bearer ${token}` }
    response = await fetch("/api/meetings", { method: "POST", headers })
  } catch {
    throw new ServerError("The server cannot be reached.")
  }
  if (response.status === 401) throw new ServerError("This server lets only those make meetings who have its token.")
  if (response.status === 429) throw new ServerError("That was a lot of meetings from here; try again in a while.")
  if (response.status === 503) throw new ServerError("The server makes no more meetings for now; try again in a while.")
  try {
    return answer.decode(await response.json()).meeting_id
  } catch {
    throw notConclave()
  }
}

function notConclave(): ServerError {
  return new ServerError("The server answers, but not as a Conclave server does.")
}
