/** Whether the machine slept, or the page was frozen: on some systems a page's own clock stands still meanwhile. */

export const LOOK_EVERY_S = 2
const SLEPT_S = 8 // longer than any timer is late that runs at all

export class SleepWatch {
  #nowS: number
  #wallTimeS: number

  /** `nowS` by the page's clock, `wallTimeS` since 1970. */
  constructor(nowS: number, wallTimeS: number) {
    this.#nowS = nowS
    this.#wallTimeS = wallTimeS
  }

  /** To be asked every LOOK_EVERY_S: whether it slept since it was asked last. */
  hasSlept(nowS: number, wallTimeS: number): boolean {
    const passedS = Math.max(nowS - this.#nowS, wallTimeS - this.#wallTimeS)
    this.#nowS = nowS
    this.#wallTimeS = wallTimeS
    return passedS > LOOK_EVERY_S + SLEPT_S
  }
}
