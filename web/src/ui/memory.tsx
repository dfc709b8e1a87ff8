/**
 * What this browser keeps: the people whom it knows again, the authorities whose certificates it believes, and the
 * identity by which others know us again.
 */

import { useState } from "preact/hooks"
import type { Authority } from "../conference/authorities.ts"
import { encodeBase64url } from "../bytes.ts"
import type { OwnIdentity } from "../conference/own_identity.ts"
import { spellDay } from "../conference/recognition.ts"
import { Dialog } from "./parts.tsx"
import type { Memory, MemoryIntents } from "./scene.ts"

interface Props {
  readonly memory: Memory
  readonly intents: MemoryIntents
  readonly onClose: () => void
}

export function MemoryDialog({ memory, intents, onClose }: Props) {
  return (
    <Dialog title="Kept in this browser" look="memory" onClose={onClose}>
      <People memory={memory} intents={intents} />
      <Authorities memory={memory} intents={intents} />
      <Ourselves memory={memory} intents={intents} />
    </Dialog>
  )
}

function People({ memory: { people, damaged, problem }, intents }: Omit<Props, "onClose">) {
  return (
    <section aria-labelledby="memory-people">
      <h3 id="memory-people">People you compared a code with</h3>
      {problem !== undefined && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
      {damaged > 0 && (
        <p class="problem" role="alert">
          {damaged === 1 ? "One record" : `${damaged} records`} cannot be read, and {damaged === 1 ? "vouches" : "vouch"}{" "}
          for nobody: who was remembered there is shown as new.{" "}
          <button type="button" class="link" onClick={() => intents.forgetDamaged()}>
            Forget what cannot be read
          </button>
        </p>
      )}
      {people.length === 0 && problem === undefined && (
        <p class="quiet">Nobody yet. Compare the security code in a meeting, and say so there.</p>
      )}
      <ul class="memory-list" tabIndex={people.length > 6 ? 0 : undefined}>
        {people.map(({ key, name, comparedAt }) => (
          <li key={encodeBase64url(key)} class="row">
            <div class="row-words">
              <bdi class="row-name">{name}</bdi>
              <small>Compared {spellDay(comparedAt)}</small>
            </div>
            <button type="button" class="button" aria-label={`Forget ${name}`} onClick={() => intents.forget(key)}>
              Forget
            </button>
          </li>
        ))}
      </ul>
    </section>
  )
}

function Authorities({ memory, intents }: Omit<Props, "onClose">) {
  const { authorities, authoritiesTold, authoritiesProblem } = memory
  const take = ({ currentTarget }: preact.TargetedEvent<HTMLInputElement>) => {
    const [file] = currentTarget.files ?? []
    if (file !== undefined) intents.trust(file)
    currentTarget.value = "" // so that the same file can be chosen again
  }
  return (
    <section aria-labelledby="memory-authorities">
      <h3 id="memory-authorities">Authorities you trust</h3>
      {authoritiesProblem !== undefined && (
        <p class="problem" role="alert">
          {authoritiesProblem}
        </p>
      )}
      <p class="quiet" role="status">{authoritiesTold.join(" ")}</p>
      {authorities.length === 0 && (
        <p class="quiet">None: names in certificates count as self-chosen. Your organisation can give you its root.</p>
      )}
      <ul class="memory-list" tabIndex={authorities.length > 3 ? 0 : undefined}>
        {authorities.map((authority) => (
          <li key={authority.id} class="row">
            <div class="row-words">
              <bdi class="row-name">{authority.name}</bdi>
              <small>{spellValidity(authority)}</small>
            </div>
            <button
              type="button"
              class="button"
              aria-label={`Remove ${authority.name}`}
              onClick={() => intents.distrust(authority)}
            >
              Remove
            </button>
            <code class="fingerprint">{pairs(authority.fingerprint)}</code>
          </li>
        ))}
      </ul>
      <label class="field">
        <span>Trust a root, or heed a revocation list (a PEM file)</span>
        <input id="trust" type="file" accept=".pem,.crt,.cer,.crl" onChange={take} />
      </label>
      <p class="quiet">Whoever can give you another root can be anybody: take it on a way that you trust.</p>
    </section>
  )
}

/** Broken between pairs, where a line is too short. */
function pairs(fingerprint: string) {
  return fingerprint.split(/(?<=:)/).flatMap((pair, at) => [pair, <wbr key={at} />])
}

/** Like `conclave ca trusted`. */
function spellValidity({ ends, listEnds }: Authority): string {
  const day = (seconds: number) => new Date(1000 * seconds).toISOString().slice(0, 10)
  const now = Date.now() / 1000
  const own = ends < now ? `Over since ${day(ends)}` : `Until ${day(ends)}`
  if (listEnds === undefined) return `${own}; no revocation list`
  if (listEnds === null || listEnds < now) return `${own}; its revocation list HAS RUN OUT, get a new one`
  return `${own}; revocation list until ${day(listEnds)}`
}

function Ourselves({ memory, intents }: Omit<Props, "onClose">) {
  const { identity, identityProblem } = memory
  const isThere = identity !== undefined || identityProblem !== undefined
  return (
    <section aria-labelledby="memory-own">
      <h3 id="memory-own">Your identity</h3>
      {identityProblem !== undefined && (
        <p class="problem" role="alert">
          {identityProblem}
        </p>
      )}
      {identity === undefined ? (
        <p class="quiet">None: you come with a fresh key each time. You can change that before you join.</p>
      ) : (
        <>
          <p class="quiet">
            By this key, made {spellDay(identity.createdAt)}, those who compared it know you again. It cannot be copied
            out of this browser.
          </p>
          <code class="fingerprint">{identity.fingerprint}</code>
          <OwnCertificate memory={memory} identity={identity} intents={intents} />
        </>
      )}
      {isThere && (
        <p>
          <button type="button" id="forget-identity" class="button danger" onClick={() => intents.forgetIdentity()}>
            Forget this identity
          </button>
        </p>
      )}
    </section>
  )
}

/** How an authority can vouch for the identity's name. */
function OwnCertificate({
  memory,
  identity,
  intents,
}: Omit<Props, "onClose"> & { readonly identity: OwnIdentity }) {
  const [name, setName] = useState("")
  const [address, setAddress] = useState("")
  const { identityRequest: request } = memory
  const take = ({ currentTarget }: preact.TargetedEvent<HTMLInputElement>) => {
    const [file] = currentTarget.files ?? []
    if (file !== undefined) intents.certify(file)
    currentTarget.value = ""
  }
  if (identity.name !== undefined) {
    return (
      <p>
        You come by your certificate, as <bdi class="certified">{identity.name}</bdi>. From the next meeting that you join.{" "}
        <button type="button" id="uncertify" class="link" onClick={() => intents.uncertify()}>
          Go by a name of your own again
        </button>
      </p>
    )
  }
  return (
    <details>
      <summary>Have an authority certify your name</summary>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          intents.askForCertificate(name, address.trim())
        }}
      >
        <label class="field">
          Your name, as it is to stand in the certificate
          <input id="request-name" required maxLength={64} value={name} onInput={(event) => setName(event.currentTarget.value)} />
        </label>
        <label class="field">
          Your mail address, if the authority wants one
          <input id="request-address" type="email" value={address} onInput={(event) => setAddress(event.currentTarget.value)} />
        </label>
        <button type="submit" id="ask" class="button">
          Make a request
        </button>
      </form>
      {request !== undefined && (
        <p role="status">
          Send this to your authority:{" "}
          <a id="request" href={`data:application/pkcs10,${encodeURIComponent(request)}`} download="request.csr">
            request.csr
          </a>
        </p>
      )}
      <label class="field">
        What it sent back (a PEM file: your certificate, and those between it and the root)
        <input id="certify" type="file" accept=".pem,.crt,.cer" onChange={take} />
      </label>
    </details>
  )
}
