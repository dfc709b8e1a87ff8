/** The security code of one epoch, to be read aloud or scanned, and what the user says of it. */

import { generate } from "lean-qr"
import { useEffect, useRef, useState } from "preact/hooks"
import { Icon } from "./icons.tsx"
import { Dialog } from "./parts.tsx"
import type { Code, Intents, Memory, Security, Whom } from "./scene.ts"

/** The code does not change under who reads it: later epochs are a step away. */
export function CodeCard({
  security,
  memory,
  intents,
}: {
  readonly security: Security
  readonly memory: Memory
  readonly intents: Intents
}) {
  const [whom, setWhom] = useState<Whom>("everybody")
  const [chosen, choose] = useState<number>()
  const [isLarge, showLarge] = useState(false)
  const { codes, epoch } = security
  const at = codes.findIndex((code) => code.epoch === chosen)
  const shown = codes[at] ?? codes.at(-1)
  useEffect(() => intents.showCode(), [epoch])
  useEffect(() => {
    if (at < 0 && shown !== undefined) choose(shown.epoch)
  })
  if (shown === undefined)
    return (
      <section class="code-card">
        <p class="quiet" role="status">
          Computing the security code…
        </p>
      </section>
    )
  const step = (by: number) => choose(codes[codes.indexOf(shown) + by]?.epoch)
  const isSomebody = typeof whom !== "string" && shown.people.some(({ key }) => key === whom.key)
  const meant = typeof whom === "string" || isSomebody ? whom : "everybody"
  const { comparison } = security
  const isCompared = comparison?.epoch === shown.epoch && spell(comparison.whom) === spell(meant)
  const isLast = shown === codes.at(-1)
  return (
    <section class="code-card" aria-labelledby="security-code">
      <div class="section-head">
        <h3 id="security-code">Security code</h3>
        <div class="epochs">
          <button
            type="button"
            class="tool tool-plain"
            aria-label="An earlier epoch"
            disabled={shown === codes[0]}
            onClick={() => step(-1)}
          >
            <Icon name="back" />
          </button>
          <span>
            epoch <b id="code-epoch">{shown.epoch}</b>
          </span>
          <button
            type="button"
            class="tool tool-plain"
            aria-label="A later epoch"
            disabled={isLast}
            onClick={() => step(1)}
          >
            <Icon name="next" />
          </button>
        </div>
      </div>
      <CodeText code={shown} />
      {epoch !== undefined && shown.epoch !== epoch && (
        <p class="quiet" role="status">
          The meeting is at epoch {epoch} by now. Any epoch will do, if all read the same one.
        </p>
      )}
      <p class="quiet">Read out the epoch and all twenty characters. Everybody has to see the same.</p>
      {shown.people.length > 0 && <Remembering code={shown} whom={meant} problem={memory.problem} onChoose={setWhom} />}
      <div class="buttons">
        <button
          type="button"
          id="compared"
          class="button primary"
          disabled={isCompared}
          onClick={() => intents.compared(shown.epoch, true, meant)}
        >
          {isCompared ? "Compared" : "We compared it"}
        </button>
        <button type="button" class="button" onClick={() => intents.compared(shown.epoch, false, meant)}>
          It differs
        </button>
        <button type="button" id="show-large" class="button" onClick={() => showLarge(true)}>
          Enlarge
        </button>
      </div>
      {isLarge && (
        <Dialog title={`Security code of epoch ${shown.epoch}`} look="code-dialog" onClose={() => showLarge(false)}>
          <CodeText code={shown} />
          <Qr text={shown.qr} />
        </Dialog>
      )}
    </section>
  )
}

const spell = (whom: Whom) => (typeof whom === "string" ? whom : `key ${whom.key}`)

/** Equal codes say that we are in the same group; who of the others is who, only whoever was spoken with has shown. */
function Remembering({
  code: { people },
  whom,
  problem,
  onChoose,
}: {
  readonly code: Code
  readonly whom: Whom
  readonly problem: string | undefined
  readonly onChoose: (whom: Whom) => void
}) {
  if (problem !== undefined) {
    return <p class="quiet">{problem} Whom you compare is known until you close the page.</p>
  }
  const choose = (value: string) =>
    onChoose(value === "everybody" || value === "nobody" ? value : { key: value.slice("key ".length) })
  return (
    <label class="field remembering">
      <span>Recognise in later meetings</span>
      <select id="whom" value={spell(whom)} onChange={(event) => choose(event.currentTarget.value)}>
        <option value="everybody">{people.length === 1 ? people[0]!.name : `all ${people.length} here`}</option>
        {people.length > 1 &&
          people.map(({ key, name }) => (
            <option key={key} value={`key ${key}`}>
              only {name}
            </option>
          ))}
        <option value="nobody">nobody, just for now</option>
      </select>
      <small>Those who keep an identity: another key by such a name sounds an alarm. The others are known in this meeting only.</small>
    </label>
  )
}

function CodeText({ code }: { readonly code: Code }) {
  const groups = code.code.split("-")
  return (
    <p class="code" data-code={code.code}>
      <span class="unseen">{groups.map((group) => [...group].join(" ")).join(", ")}</span>
      {groups.map((group, at) => (
        <span key={at} aria-hidden="true">
          {group}
        </span>
      ))}
    </p>
  )
}

function Qr({ text }: { readonly text: string }) {
  const canvas = useRef<HTMLCanvasElement>(null)
  useEffect(() => {
    generate(text).toCanvas(canvas.current!, { on: [0, 0, 0], off: [255, 255, 255], pad: 4 })
  }, [text])
  return <canvas ref={canvas} class="qr" role="img" aria-label="The security code as a QR code" />
}
