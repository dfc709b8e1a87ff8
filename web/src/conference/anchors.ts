/**
 * Whether a certificate vouches for a member: the authorities that this browser's user trusts (RFC 5280 §6). The twin
 * of conference/anchors.py, with the same verdicts; `tests/vectors/conference/anchors.json` has cases.
 *
 * The path is searched and checked here, because of the engines that there are for browsers one lets a single good name
 * excuse the others and passes over what the root may not do, and the other does not look at constraints at all.
 */

import {
  AuthorityInfoAccessSyntax,
  AuthorityKeyIdentifier,
  BasicConstraints,
  CRLNumber,
  ExtendedKeyUsage,
  KeyUsage,
  KeyUsageFlags,
  SubjectKeyIdentifier,
} from "@peculiar/asn1-x509"
import { equal, type Octets } from "../bytes.ts"
import { CertificateError } from "./errors.ts"
import {
  ALTERNATIVE_NAMES,
  alternativeNames,
  checkBound,
  checkNames,
  constraintsOf,
  NAME_CONSTRAINTS,
} from "./name_constraints.ts"
import type { CertificateStanding, Verdict } from "./recognition.ts"
import { Certificate, isPrintable, RevocationList, verifySigned } from "./x509.ts"

const SUBJECT_KEY = "2.5.29.14"
const KEY_USAGE = "2.5.29.15"
const BASIC_CONSTRAINTS = "2.5.29.19"
const LIST_NUMBER = "2.5.29.20"
/** issuingDistributionPoint, deltaCRLIndicator. */
const PARTIAL = ["2.5.29.28", "2.5.29.27"]
const AUTHORITY_KEY = "2.5.29.35"
const EXTENDED_USAGE = "2.5.29.37"
const INFORMATION_ACCESS = "1.3.6.1.5.5.7.1.1"
/** clientAuth, emailProtection, anyExtendedKeyUsage. */
const PEOPLE = ["1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.4", "2.5.29.37.0"]
const MAX_SERIAL = 21

/** Whether a known extension has to be critical, must not be, or may. */
type Criticality = "critical" | "not critical" | "either"

const COMMON: readonly (readonly [string, Criticality])[] = [
  [INFORMATION_ACCESS, "not critical"],
  [AUTHORITY_KEY, "not critical"],
  [KEY_USAGE, "either"],
  [ALTERNATIVE_NAMES, "either"],
  [EXTENDED_USAGE, "either"],
]
const OF_PEOPLE: ReadonlyMap<string, Criticality> = new Map([
  ...COMMON,
  [SUBJECT_KEY, "either"],
  [BASIC_CONSTRAINTS, "either"],
])
const OF_AUTHORITIES: ReadonlyMap<string, Criticality> = new Map([
  ...COMMON,
  [SUBJECT_KEY, "not critical"],
  [BASIC_CONSTRAINTS, "critical"],
  [NAME_CONSTRAINTS, "either"],
])

class Refused extends Error {
  readonly standing: CertificateStanding

  constructor(standing: CertificateStanding, why: string) {
    super(why)
    this.standing = standing
  }
}

/** Roots that are trusted, and the revocation lists that came with them. */
export class Anchors {
  readonly roots: readonly Certificate[]
  readonly lists: readonly RevocationList[]
  /** Chains that are judged again are not read again. */
  readonly #read = new WeakMap<readonly Octets[], readonly Certificate[]>()

  constructor(roots: readonly Certificate[], lists: readonly RevocationList[]) {
    this.roots = roots
    this.lists = lists
  }

  /** What to make of a chain (DER, the end entity's first) at `now`, in seconds since 1970. */
  async judge(chain: readonly Octets[], now: number): Promise<Verdict> {
    try {
      return await this.#judge(chain, now)
    } catch (error) {
      if (error instanceof Refused) return refusal(error.standing, error.message)
      if (error instanceof CertificateError) return refusal("invalid", error.message)
      throw error
    }
  }

  async #judge(chain: readonly Octets[], now: number): Promise<Verdict> {
    const read = this.#read.get(chain) ?? chain.map((der) => new Certificate(der))
    this.#read.set(chain, read)
    const [leaf, ...others] = read
    if (leaf === undefined) throw new CertificateError("It cannot be read.")
    this.#checkAuthority([leaf, ...others])
    for (const each of [leaf, ...others]) checkTime(each, now)
    checkPerson(leaf)
    const path = await this.#pathFrom([leaf], others, now)
    checkBound(path)
    for (const [at, issuer] of path.slice(1).entries()) await this.#checkNotRevoked(path[at]!, issuer, now)
    return { standing: "valid", authority: path.at(-1)!.subject.shown, address: mailAddress(leaf), why: "" }
  }

  /** Tells a stranger's authority from a certificate that a trusted one never gave. */
  #checkAuthority(chain: readonly Certificate[]): void {
    const subjects = new Set(this.roots.map((root) => root.subject.content))
    if (chain.some((each) => subjects.has(each.issuer.content))) return
    const { shown } = chain[0]!.issuer
    throw new Refused("of an authority that is not trusted here", `It is of ${shown}, which is not trusted here.`)
  }

  /** The path to a root that holds. No certificate is in it twice, so of four there are few. */
  async #pathFrom(
    path: readonly Certificate[],
    others: readonly Certificate[],
    now: number,
  ): Promise<readonly Certificate[]> {
    const last = path.at(-1)!
    if (this.roots.some((root) => equal(root.der, last.der))) {
      checkConstraints(path)
      return path
    }
    let why = new CertificateError("No authority that is trusted here has given it.")
    for (const issuer of [...this.roots, ...others]) {
      if (!equal(issuer.subject.der, last.issuer.der)) continue
      if (path.some((each) => equal(each.der, issuer.der))) continue
      try {
        checkIssuer(issuer, path.length - 1, now)
        await verifySigned(last, issuer)
        return await this.#pathFrom([...path, issuer], others, now)
      } catch (error) {
        if (!(error instanceof CertificateError)) throw error
        why = error
      }
    }
    throw why
  }

  async #checkNotRevoked(certificate: Certificate, issuer: Certificate, now: number): Promise<void> {
    let newest: RevocationList | undefined
    for (const each of this.lists) {
      if (newest !== undefined && each.updated <= newest.updated) continue
      if (await isListOf(each, issuer)) newest = each
    }
    if (newest === undefined) return // an authority of which no list was ever given has none, as far as anybody knows
    const { shown } = issuer.subject
    if (newest.revokes(certificate)) throw new Refused("revoked", `${shown} has revoked it.`)
    if (newest.ends === undefined || now > newest.ends || now < newest.updated) {
      throw new Refused(
        "without a current revocation list",
        `The revocation list of ${shown} has run out; get a new one, and import it.`,
      )
    }
  }
}

function refusal(standing: CertificateStanding, why: string): Verdict {
  return { standing, authority: "", address: "", why }
}

/** The first mail address in a certificate; empty if there is none. */
function mailAddress(leaf: Certificate): string {
  return alternativeNames(leaf).find(({ rfc822Name }) => rfc822Name && isPrintable(rfc822Name))?.rfc822Name ?? ""
}

/**
 * Whether the issuer of these certificates has made and signed this list, for all that it gave. Of one that is for some
 * certificates only, or refers to another list, it says no: what it leaves out could not be told from what is not
 * revoked.
 */
export async function isListOf(list: RevocationList, issuer: Certificate): Promise<boolean> {
  if (list.issuer.content !== issuer.subject.content) return false
  try {
    if ([...list.extensions.all].some(([id, { isCritical }]) => isInTheWay(id, isCritical))) return false
    list.extensions.get(LIST_NUMBER, CRLNumber)
    list.extensions.get(AUTHORITY_KEY, AuthorityKeyIdentifier)
    if (!(usageOf(issuer)! & KeyUsageFlags.cRLSign)) return false
    await verifySigned(list, issuer)
    return true
  } catch (error) {
    if (error instanceof CertificateError) return false
    throw error
  }
}

/** Whether a list is not whole, or not to be used by who does not know this (RFC 5280 §5.2). */
function isInTheWay(id: string, isCritical: boolean): boolean {
  return PARTIAL.includes(id) || (isCritical && id !== LIST_NUMBER && id !== AUTHORITY_KEY)
}

/** Whether it is an authority's, by its own word, that may be trusted as a root: it has signed itself. */
export async function isRoot(certificate: Certificate): Promise<boolean> {
  return hasIssued(certificate, certificate)
}

/** Whether an authority has signed this certificate, which is an authority's too. */
export async function hasIssued(issuer: Certificate, certificate: Certificate): Promise<boolean> {
  if (!equal(issuer.subject.der, certificate.issuer.der)) return false
  try {
    await verifySigned(certificate, issuer)
    return [issuer, certificate].every((each) => each.extensions.get(BASIC_CONSTRAINTS, BasicConstraints)?.cA)
  } catch (error) {
    if (error instanceof CertificateError) return false
    throw error
  }
}

// --- One certificate --------------------------------------------------------------------------------

function checkTime({ begins, ends }: Certificate, now: number): void {
  if (now >= begins && now <= ends) return
  const [first, last] = [begins, ends].map((each) => new Date(1000 * each).toISOString().slice(0, 10))
  throw new Refused("not valid at this time", `It is valid from ${first} to ${last}.`)
}

/** §4.1.2. */
function checkForm({ isVersion3, serial, issuer }: Certificate): void {
  if (!isVersion3) throw new CertificateError("It is not of version 3.")
  if (serial.length > MAX_SERIAL || serial[0]! >= 0x80) throw new CertificateError("Its number is none.")
  if (issuer.isEmpty) throw new CertificateError("It has no issuer.")
}

function checkExtensions({ extensions }: Certificate, known: ReadonlyMap<string, Criticality>): void {
  for (const [id, { isCritical }] of extensions.all) {
    const wanted = known.get(id)
    if (wanted === undefined ? isCritical : wanted !== "either" && isCritical !== (wanted === "critical")) {
      throw new CertificateError(`An extension in it (${id}) is not as it should be, or not known here.`)
    }
  }
  extensions.get(INFORMATION_ACCESS, AuthorityInfoAccessSyntax)
  extensions.get(SUBJECT_KEY, SubjectKeyIdentifier)
  const usages = extensions.get(EXTENDED_USAGE, ExtendedKeyUsage)
  if (usages !== undefined && !usages.some((each) => PEOPLE.includes(each))) {
    throw new CertificateError("It is not for people.")
  }
}

function checkPerson(leaf: Certificate): void {
  checkForm(leaf)
  checkExtensions(leaf, OF_PEOPLE)
  const { extensions } = leaf
  if (extensions.has(NAME_CONSTRAINTS)) throw new CertificateError("It has constraints, which are for authorities.")
  if (extensions.get(BASIC_CONSTRAINTS, BasicConstraints)?.cA) throw new CertificateError("It is an authority's.")
  const usage = usageOf(leaf)
  if (usage !== undefined && (usage & KeyUsageFlags.keyCertSign || !(usage & KeyUsageFlags.digitalSignature))) {
    throw new CertificateError("It is not for a person's signatures.")
  }
  if (extensions.get(AUTHORITY_KEY, AuthorityKeyIdentifier) === undefined) {
    throw new CertificateError("It does not say by which key it was signed.")
  }
  alternativeNames(leaf)
}

/** `between` is how many authorities stand between it and the end entity. */
function checkIssuer(issuer: Certificate, between: number, now: number): void {
  checkForm(issuer)
  if (now < issuer.begins || now > issuer.ends) throw new CertificateError("An authority's certificate has run out.")
  checkExtensions(issuer, OF_AUTHORITIES)
  const { extensions } = issuer
  const basic = extensions.get(BASIC_CONSTRAINTS, BasicConstraints)
  if (!basic?.cA) throw new CertificateError("Its issuer is no authority.")
  if (basic.pathLenConstraint !== undefined && between > basic.pathLenConstraint) {
    throw new CertificateError("An authority may not have so many below it.")
  }
  if (!((usageOf(issuer) ?? 0) & KeyUsageFlags.keyCertSign)) {
    throw new CertificateError("Its issuer may not sign certificates.")
  }
  const identifier = extensions.get(AUTHORITY_KEY, AuthorityKeyIdentifier)
  if (identifier !== undefined && identifier.keyIdentifier === undefined) {
    throw new CertificateError("An authority's certificate does not say by which key it was signed.")
  }
  constraintsOf(issuer)
}

/** Only when all have signed: of a stranger's making, names and constraints could be so many as to freeze the page. */
function checkConstraints(path: readonly Certificate[]): void {
  for (const [at, authority] of path.entries()) {
    const constraints = at > 0 ? constraintsOf(authority) : undefined
    if (constraints !== undefined) checkNames(path.slice(0, at + 1), constraints)
  }
}

function usageOf({ extensions }: Certificate): number | undefined {
  return extensions.get(KEY_USAGE, KeyUsage)?.toNumber()
}
