/**
 * The authorities that this browser's user trusts: roots and revocation lists, as they are imported and as they are
 * kept (docs/identity.md, "The files"). The twin of conference/authorities.py.
 */

import { hex } from "../bytes.ts"
import { Anchors, hasIssued, isListOf, isRoot } from "./anchors.ts"
import type { AuthorityRecord } from "./authorities_store.ts"
import { CertificateError } from "./errors.ts"
import { CERTIFICATE, LIST, partsOf, readable } from "./pem.ts"
import { Certificate, RevocationList } from "./x509.ts"

/** A root that is trusted, as its user sees it. */
export interface Authority {
  /** Under which it is kept. */
  readonly id: string
  readonly name: string
  /** SHA-256 of its certificate, in hexadecimal pairs. */
  readonly fingerprint: string
  /** In seconds since 1970. */
  readonly ends: number
  /** Until when its revocation list holds; null if it does not say; undefined if there is no list. */
  readonly listEnds: number | null | undefined
}

/** What an import comes to. */
export interface Imported {
  readonly records: readonly AuthorityRecord[]
  /** What was done, as sentences. */
  readonly told: readonly string[]
}

/** By what is kept. CertificateError if a record is damaged: a list that is lost could hide a revocation. */
export function anchorsOf(records: readonly AuthorityRecord[]): Anchors {
  const [roots, lists] = (["root", "list"] as const).map((kind) => records.filter((each) => each.kind === kind))
  return new Anchors(
    roots!.map(({ der }) => new Certificate(der)),
    lists!.map(({ der }) => new RevocationList(der)),
  )
}

/** By name. */
export async function authoritiesOf({ roots, lists }: Anchors): Promise<readonly Authority[]> {
  const found = await Promise.all(
    roots.map(async (root) => {
      const list = await newestOf(root, lists)
      const fingerprint = await fingerprintOf(root)
      return {
        id: idOf(fingerprint),
        name: root.subject.shown,
        fingerprint: fingerprint.match(/../g)!.join(":").toUpperCase(),
        ends: root.ends,
        listEnds: list && (list.ends ?? null),
      }
    }),
  )
  return found.sort((one, other) => one.name.localeCompare(other.name) || one.id.localeCompare(other.id))
}

/**
 * What a PEM file adds to what is trusted: its roots, and its revocation lists. A list of an authority below a root
 * needs that one's certificate beside it in the file.
 *
 * CertificateError, and nothing is added: if the file has neither roots nor lists, if a root is none, if a list is of
 * nobody who is trusted, or older than the one that is heeded.
 */
export async function trust(file: string, text: string, anchors: Anchors): Promise<Imported> {
  const certificates = partsOf(file, text, CERTIFICATE).map((der) => readable(file, () => new Certificate(der)))
  const lists = partsOf(file, text, LIST).map((der) => readable(file, () => new RevocationList(der)))
  if (!certificates.length && !lists.length) {
    throw new CertificateError(`${file} holds neither a certificate nor a revocation list in PEM.`)
  }
  const roots = certificates.filter(({ subject, issuer }) => subject.content === issuer.content)
  const trusted = [...roots, ...anchors.roots]
  const records: AuthorityRecord[] = []
  const told: string[] = []
  for (const root of roots) {
    if (!(await isRoot(root))) {
      throw new CertificateError(`${file} does not hold the certificate of a root authority that can be trusted here.`)
    }
    records.push({ id: idOf(await fingerprintOf(root)), kind: "root", der: root.der, updated: 0 })
    told.push(`Certificates of ${root.subject.shown} are trusted from now on.`)
  }
  for (const list of lists) {
    const issuer = await issuerOf(file, list, trusted, certificates)
    const kept = await newestOf(issuer, anchors.lists)
    if (kept !== undefined && list.updated < kept.updated) throw new CertificateError(older(file))
    records.push({ id: listIdOf(idOf(await fingerprintOf(issuer))), kind: "list", der: list.der, updated: list.updated })
    told.push(`The revocation list of ${issuer.subject.shown}, with ${spellSize(list.size)}, is heeded.`)
  }
  if (!records.length) throw new CertificateError(`${file} holds no root's certificate and no revocation list.`)
  return { records, told }
}

/** Under what a root and its list are kept. */
export function idsOf(authority: Authority): readonly string[] {
  return [authority.id, listIdOf(authority.id)]
}

export function older(file: string): string {
  return `${file} has an older revocation list than the one that is heeded already.`
}

async function issuerOf(
  file: string,
  list: RevocationList,
  trusted: readonly Certificate[],
  certificates: readonly Certificate[],
): Promise<Certificate> {
  for (const each of trusted) if (await isListOf(list, each)) return each
  for (const each of certificates) {
    if (!(await isListOf(list, each))) continue
    for (const root of trusted) if (await hasIssued(root, each)) return each
  }
  throw new CertificateError(
    `${file} has a revocation list that is of no authority that is trusted here, or is not a whole one.`,
  )
}

/** The list of an authority that counts: the newest. */
async function newestOf(issuer: Certificate, lists: readonly RevocationList[]): Promise<RevocationList | undefined> {
  let newest: RevocationList | undefined
  for (const each of lists) {
    if (newest !== undefined && each.updated <= newest.updated) continue
    if (await isListOf(each, issuer)) newest = each
  }
  return newest
}

async function fingerprintOf({ der }: Certificate): Promise<string> {
  return hex(new Uint8Array(await crypto.subtle.digest("SHA-256", der)))
}

function idOf(fingerprint: string): string {
  return fingerprint.slice(0, 32)
}

function listIdOf(id: string): string {
  return `${id} revoked`
}

function spellSize(entries: number): string {
  return entries === 1 ? "1 entry" : `${entries} entries`
}
