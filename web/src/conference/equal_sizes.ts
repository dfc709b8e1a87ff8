/**
 * RFC 6716 §3.2.5: packets of sound are padded to one size, for sizes tell the server what is spoken (RFC 6562).
 * Chromium's are of one size by themselves (`constant_rate.ts`); Firefox varies them whatever it is asked.
 */

import { type Octets, octets } from "../bytes.ts"

/** 32 kbit/s in packets of 20 ms; a loud word is not to show as the largest so far. */
const STEP = 80

/** The lowest two bits of an Opus packet's first octet: a count of frames follows. */
const COUNTED = 3
/** What that count is, for the three other values of the two bits; the highest bit says that lengths follow. */
const COUNTS = [0x01, 0x02, 0x82] as const
const HAS_PADDING = 0x40

/** The packets of one track, each as large as the largest was until then, rounded up. */
export class EqualSizes {
  #size = 0

  /** The same sound in more octets. */
  padded(packet: Octets): Octets {
    const [first, second] = packet
    if (first === undefined) return packet
    const code = first & COUNTED
    const count = COUNTS[code] ?? second
    // No encoder pads what it has not been asked to; such a packet stays as it is.
    if (count === undefined || (code === COUNTED && count & HAS_PADDING)) return packet
    this.#size = Math.max(this.#size, STEP * Math.ceil(packet.length / STEP))
    if (packet.length === this.#size) return packet

    const rest = packet.subarray(code === COUNTED ? 2 : 1)
    const larger = octets(this.#size)
    const padding = this.#size - 2 - rest.length
    larger.set([first | COUNTED, padding > 0 ? count | HAS_PADDING : count])
    // The length of the padding: its own octets are part of `padding`; 255 stands for 254 and another octet.
    const lengths = Math.ceil(padding / 255)
    larger.fill(255, 2, 2 + lengths)
    if (padding > 0) larger[1 + lengths] = (padding - 1) % 255
    larger.set(rest, 2 + lengths)
    return larger
  }
}
