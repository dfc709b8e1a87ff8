/**
 * Name constraints (RFC 5280 §4.2.1.10), applied as Python's library applies them: to alternative names, of mail
 * addresses, hosts and IP addresses. What cannot be applied refuses.
 */

import { AsnConvert } from "@peculiar/asn1-schema"
import { GeneralName, type GeneralSubtree, NameConstraints, SubjectAlternativeName } from "@peculiar/asn1-x509"
import { CertificateError } from "./errors.ts"
import type { Certificate } from "./x509.ts"
import { equal } from "../bytes.ts"

export const ALTERNATIVE_NAMES = "2.5.29.17"
export const NAME_CONSTRAINTS = "2.5.29.30"
const LABEL = /^(?!-)[A-Za-z0-9-]{1,63}(?<!-)$/
const ATOM = /^[A-Za-z0-9!#$%&'*+\-/=?^_`{|}~]+$/
const MAX_HOST = 253

type Kind = keyof GeneralName

/** The names, as they stand there. CertificateError if they cannot be read. */
export function alternativeNames({ extensions }: Certificate): readonly GeneralName[] {
  return extensions.get(ALTERNATIVE_NAMES, SubjectAlternativeName) ?? []
}

/** The constraints of an authority; undefined if it has none. CertificateError if they cannot be applied at all. */
export function constraintsOf({ extensions }: Certificate): NameConstraints | undefined {
  const constraints = extensions.get(NAME_CONSTRAINTS, NameConstraints)
  if (constraints === undefined) return undefined
  const subtrees = subtreesOf(constraints)
  if (!subtrees.length) throw new CertificateError("An authority's constraints are empty.")
  if (subtrees.some(({ minimum, maximum }) => minimum !== 0 || maximum !== undefined)) {
    throw new CertificateError("An authority's constraints have bounds, which nobody uses.")
  }
  return constraints
}

/** CertificateError unless all names of a path, whose last is the authority that sets the constraints, keep to them. */
export function checkNames(path: readonly Certificate[], constraints: NameConstraints): void {
  for (const [at, certificate] of path.entries()) {
    if (at > 0 && equal(certificate.subject.der, certificate.issuer.der)) continue
    for (const name of alternativeNames(certificate)) checkName(name, constraints)
  }
}

/**
 * CertificateError for an end entity that escapes the constraints of the authorities above it: constraints bind
 * alternative names only, and it may have none that they bind. Those on directory names are not applied.
 */
export function checkBound(path: readonly Certificate[]): void {
  const [leaf, ...authorities] = path
  const named = new Set(alternativeNames(leaf!).map(kindOf))
  for (const authority of authorities) {
    const constraints = constraintsOf(authority)
    if (constraints === undefined) continue
    const bound = subtreesOf(constraints).map(({ base }) => kindOf(base))
    if (bound.includes("directoryName")) {
      throw new CertificateError("Its authority is constrained in a way that is not checked here.")
    }
    if (!bound.some((kind) => named.has(kind))) {
      throw new CertificateError("Its authority may give certain names only, and it has none of that form.")
    }
  }
}

function subtreesOf({ permittedSubtrees, excludedSubtrees }: NameConstraints): readonly GeneralSubtree[] {
  return [...(permittedSubtrees ?? []), ...(excludedSubtrees ?? [])]
}

function kindOf(name: GeneralName): Kind {
  return (Object.keys(name) as Kind[]).find((kind) => name[kind] !== undefined)!
}

function checkName(name: GeneralName, { permittedSubtrees, excludedSubtrees }: NameConstraints): void {
  const kind = kindOf(name)
  const [permitted, excluded] = [permittedSubtrees ?? [], excludedSubtrees ?? []].map((subtrees) =>
    subtrees.map(({ base }) => base).filter((base) => kindOf(base) === kind),
  )
  if (permitted!.length && !permitted!.some((base) => matches(kind, name, base, "permitted"))) {
    throw new CertificateError("Its authority may not give a name that it has.")
  }
  if (excluded!.some((base) => matches(kind, name, base, "excluded"))) {
    throw new CertificateError("Its authority may not give a name that it has.")
  }
}

function matches(kind: Kind, name: GeneralName, base: GeneralName, list: "permitted" | "excluded"): boolean {
  switch (kind) {
    case "rfc822Name":
      return matchesMail(name.rfc822Name!, base.rfc822Name!)
    case "dNSName":
      return matchesHost(name.dNSName!, base.dNSName!, list)
    case "iPAddress":
      return matchesAddress(addressOctets(name), addressOctets(base))
    default:
      throw new CertificateError("Its authority is constrained in a way that is not checked here.")
  }
}

// --- Mail addresses ---------------------------------------------------------------------------------

/** Of `alice@example.org` that address, of `example.org` all there, of `.example.org` all below it. */
function matchesMail(address: string, constraint: string): boolean {
  const { mailbox, host } = mailOf(address) ?? malformed()
  if (constraint.startsWith(".")) {
    const domain = hostOf(constraint.slice(1)) ?? malformed()
    return host.length > domain.length && isWithin(host, domain)
  }
  const exact = mailOf(constraint)
  const domain = exact?.host ?? hostOf(constraint) ?? malformed()
  return (exact === undefined || exact.mailbox === mailbox) && host.join(".") === domain.join(".")
}

function mailOf(text: string): { readonly mailbox: string; readonly host: readonly string[] } | undefined {
  const at = text.indexOf("@")
  const mailbox = text.slice(0, Math.max(at, 0))
  const host = hostOf(text.slice(at + 1))
  return host === undefined || !mailbox.split(".").every((atom) => ATOM.test(atom)) ? undefined : { mailbox, host }
}

// --- Hosts ------------------------------------------------------------------------------------------

/** The domain and all below it. A pattern is permitted if all that it stands for are, excluded if one is. */
function matchesHost(name: string, constraint: string, list: "permitted" | "excluded"): boolean {
  const isPattern = name.startsWith("*.")
  const host = hostOf(isPattern ? name.slice(2) : name) ?? malformed()
  const domain = hostOf(constraint) ?? malformed()
  return isWithin(host, domain) || (isPattern && list === "excluded" && isWithin(domain, host))
}

/** Its labels, in lower case; undefined if it is none. */
function hostOf(text: string): readonly string[] | undefined {
  const labels = text.toLowerCase().split(".")
  return text.length > MAX_HOST || !labels.every((label) => LABEL.test(label)) ? undefined : labels
}

function isWithin(host: readonly string[], domain: readonly string[]): boolean {
  const above = host.slice(-domain.length)
  return host.length >= domain.length && above.every((label, at) => label === domain[at])
}

// --- IP addresses -----------------------------------------------------------------------------------

/** The library shows addresses as text; they are compared as they are encoded, behind a tag and a length. */
function addressOctets(name: GeneralName): Uint8Array {
  return new Uint8Array(AsnConvert.serialize(name)).subarray(2)
}

/** An address, and one with its mask behind it. That the mask is one, has been seen when it was read. */
function matchesAddress(address: Uint8Array, constraint: Uint8Array): boolean {
  if (![4, 16].includes(address.length) || ![8, 32].includes(constraint.length)) malformed()
  const [base, mask] = [constraint.subarray(0, constraint.length / 2), constraint.subarray(constraint.length / 2)]
  return address.length === base.length && address.every((octet, at) => ((octet ^ base[at]!) & mask[at]!) === 0)
}

function malformed(): never {
  throw new CertificateError("A name in it, or one that its authority may give, is malformed.")
}
