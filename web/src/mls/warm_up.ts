/**
 * What a participant does when it joins and when it lets somebody in, done once for nobody: engines compile what runs
 * often, and X-Wing in JavaScript takes five times as long before. No key that is made here is used for anything.
 */

import { random, utf8 } from "../bytes.ts"
import { Group } from "./group.ts"
import { checkedKeyPackage, createKeyPackage, encodePackage, type KeyPackageBundle } from "./key_package.ts"
import { type CiphersuiteImpl, loadSuite } from "./suite.ts"

const LIFETIME_S = 60

/** Lets messages in between two steps, and returns early once `isDone` says so. */
export async function warmUp(suiteNumber: number, nowS: number, isDone: () => boolean): Promise<void> {
  const mayGoOn = async () => {
    await new Promise((resolve) => setTimeout(resolve))
    return !isDone()
  }
  const suite = await loadSuite(suiteNumber)
  const joiner = await makeBundle(suite, nowS)
  if (!(await mayGoOn())) return
  const group = await Group.create(suite, random(16), await makeBundle(suite, nowS))
  if (!(await mayGoOn())) return
  const { keyPackage } = await checkedKeyPackage(suite, encodePackage(joiner), nowS)
  if (!(await mayGoOn())) return
  const psk = { id: utf8("nobody"), secret: random(32) }
  const made = await group.commit({ add: [keyPackage], remove: [], psk, authenticatedData: random(32) }, nowS)
  if (!(await mayGoOn())) return
  const joined = await Group.join(suite, made.welcome!, joiner, psk, () => undefined)
  await joined.encrypt(utf8("nothing"))
}

async function makeBundle(suite: CiphersuiteImpl, nowS: number): Promise<KeyPackageBundle> {
  const lifetime = { nowS, lastsS: LIFETIME_S }
  return createKeyPackage(suite, utf8("nobody"), random(16), await suite.signature.keygen(), lifetime)
}
