/** What this browser keeps: the identity by which others know us again, and the people whom it knows again. */

import { encodeBase64url } from "../bytes.ts"
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
    <Dialog title="Who is known again" look="memory" onClose={onClose}>
      <People memory={memory} intents={intents} />
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

function Ourselves({ memory: { identity, identityProblem }, intents }: Omit<Props, "onClose">) {
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
