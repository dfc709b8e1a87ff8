/** Whether the machine slept, or the page was frozen: on some systems a page's own clock stands still meanwhile. */

export const LOOK_EVERY_S = 2
const SLEPT_S = 8 // longer than any timer is late that runs at all

export class SleepWatch {
  #wallTimeS: number

  /** Seconds since 1970: that clock goes on. If somebody sets it ahead, that costs a connection. */
  constructor(wallTimeS: number) {
    this.#wallTimeS = wallTimeS
  }

  /** To be asked every LOOK_EVERY_S: whether it slept since it was asked last. */
  hasSlept(wallTimeS: number): boolean {
    const passedS = wallTimeS - this.#wallTimeS
    this.#wallTimeS = wallTimeS
    return passedS > LOOK_EVERY_S + SLEPT_S
  }
}
