/**
 * Which RTP header extensions (RFC 8285) a publisher lets the server have: they are not sealed. A browser offers many,
 * and sends what the answer takes, whether it was offered or not. So both pass through here. The twin of
 * conference/header_extensions.py.
 */

const MID = "urn:ietf:params:rtp-hdrext:sdes:mid"
const SEND_TIME = "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time"
/** RFC 6464: how loud it is, and so who speaks. */
const AUDIO_LEVEL = "urn:ietf:params:rtp-hdrext:ssrc-audio-level"

/** Firefox reads capitals too, blanks before, and a blank for the colon: what is not of its form goes as well. */
const LINES = /^a=[: \t]*extmap(?!-allow-mixed\r?$).*\r?\n?/gim
const FORM = /^a=extmap:\S+ (\S+)/

/** A description with the extensions of a meeting alone; audio levels only on the m-lines `telling`. */
export function limited(description: string, telling: ReadonlySet<string>): string {
  return description
    .split(/^(?=m=)/m)
    .map((section) => {
      const mid = /^a=mid:(\S+)/m.exec(section)?.[1]
      const allowed = [MID, SEND_TIME, ...(mid !== undefined && telling.has(mid) ? [AUDIO_LEVEL] : [])]
      return section.replace(LINES, (line) => (allowed.includes(FORM.exec(line)?.[1] ?? "") ? line : ""))
    })
    .join("")
}
