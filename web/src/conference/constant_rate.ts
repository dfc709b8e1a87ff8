/**
 * Sound at a constant bitrate and without gaps, or the sizes of packets tell the server what is spoken (RFC 6562). A
 * browser encodes as the answer asks, and the answer is the server's: so what is asked for stands here instead.
 */

const WANTED = "minptime=10;useinbandfec=1;cbr=1"
/** All that Firefox reads as one: capitals too, blanks before, and a blank for the colon. */
const OF_CODECS = /^a=[: \t]*(?:rtpmap|fmtp).*\r?\n?/gim
const OPUS = /^a=rtpmap:(\d+) opus\/48000\/2\r?\n$/

/** An answer that asks for no sound but Opus, and for that as said above. */
export function atConstantRate(answer: string): string {
  const section = (text: string) => (text.startsWith("m=video ") ? text : text.replace(OF_CODECS, asked))
  return answer.split(/^(?=m=)/m).map(section).join("")
}

function asked(line: string): string {
  const payloadType = OPUS.exec(line)?.[1]
  return payloadType === undefined ? "" : `${line}a=fmtp:${payloadType} ${WANTED}\r\n`
}
