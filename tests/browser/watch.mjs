// What the drivers put into each page to see whose pictures its tiles show.

/** Reads conference/mark.py's mark from a video's present picture; null if there is none. */
export function installMarkReader() {
  const COLUMNS = 40
  const ROWS = 3
  const canvas = document.createElement("canvas")
  const crcTable = Array.from({ length: 256 }, (_, n) => {
    for (let bit = 0; bit < 8; bit++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1
    return n >>> 0
  })
  const crc32 = (bytes) => ~bytes.reduce((crc, byte) => crcTable[(crc ^ byte) & 0xff] ^ (crc >>> 8), -1) >>> 0
  globalThis.readMark = (video) => {
    const width = video.videoWidth
    const cell = Math.floor(width / COLUMNS / 4) * 4
    if (cell === 0) return null
    canvas.width = width
    canvas.height = ROWS * cell
    const context = canvas.getContext("2d", { willReadFrequently: true })
    context.drawImage(video, 0, 0)
    const { data } = context.getImageData(0, 0, width, ROWS * cell)
    const cells = Array.from({ length: ROWS * COLUMNS }, (_, index) => {
      const x = (index % COLUMNS) * cell + cell / 2
      const y = Math.floor(index / COLUMNS) * cell + cell / 2
      return data[4 * (Math.floor(y) * width + Math.floor(x)) + 1]
    })
    const middle = (Math.min(...cells) + Math.max(...cells)) / 2
    if (cells.some((value) => Math.abs(value - middle) < 40)) return null
    const bits = cells.map((value) => (value > middle ? 1 : 0))
    const bytes = Array.from({ length: 15 }, (_, at) => parseInt(bits.slice(8 * at, 8 * at + 8).join(""), 2))
    const body = bytes.slice(2, 11)
    const crc = bytes.slice(11).reduce((value, byte) => value * 256 + byte, 0)
    if (bytes[0] !== 0xb3 || bytes[1] !== 0x8d || crc32(body) !== crc) return null
    return { tag: body[0] * 256 + body[1], number: body[2] * 65536 + body[3] * 256 + body[4] }
  }
}

/** Counts the pictures in a participant's tile that carry its mark, and those that carry another. */
export function installWatch() {
  const watched = (globalThis.watched = {})
  globalThis.watchTile = (owner, tag) => (watched[owner] = { tag, right: new Set(), wrong: 0 })
  setInterval(() => {
    for (const video of document.querySelectorAll("video[data-owner]")) {
      const counts = watched[video.dataset.owner]
      const mark = counts && video.style.visibility !== "hidden" && readMark(video)
      if (!mark) continue
      if (mark.tag === counts.tag) counts.right.add(mark.number)
      else counts.wrong++
    }
  }, 30)
}
