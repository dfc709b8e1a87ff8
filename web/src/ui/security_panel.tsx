/**
 * How it can be known that nobody else is in the meeting: the code that people compare, who holds keys beside whom
 * the server claims, who can decrypt whom, and how the keys went from epoch to epoch.
 */

import { useState } from "preact/hooks"
import { CodeCard } from "./code_card.tsx"
import { Icon, type IconName } from "./icons.tsx"
import { MemoryDialog } from "./memory.tsx"
import { Name } from "./parts.tsx"
import type { Comparison, EpochLine, Intents, Person, Scene } from "./scene.ts"
import { claimOf, eventOf, healthOf, howManyAreKnown, listed, lookOf, pace, plainNameOf, spellNames, spellTime, standingOf, trustOf } from "./words.ts"

export function SecurityPanel({ scene, intents }: { readonly scene: Scene; readonly intents: Intents }) {
  const { security } = scene
  const [isMemoryOpen, openMemory] = useState(false)
  return (
    <div class="security">
      <Verdict scene={scene} />
      <CodeCard security={security} memory={scene.memory} intents={intents} />
      <section aria-labelledby="security-people">
        <div class="section-head">
          <h3 id="security-people">Who holds the keys</h3>
          <button type="button" id="memory" class="button" onClick={() => openMemory(true)}>
            <Icon name="lock" />
            Kept here
          </button>
        </div>
        <Holders people={scene.people} hasLastingKey={security.hasLastingKey} />
        {isMemoryOpen && <MemoryDialog memory={scene.memory} intents={intents} onClose={() => openMemory(false)} />}
      </section>
      <section aria-labelledby="security-keys">
        <div class="section-head">
          <h3 id="security-keys">Keys</h3>
          <button
            type="button"
            id="rotate"
            class="button"
            disabled={security.isRotating}
            onClick={() => intents.rotate()}
          >
            <Icon name="rotate" />
            {security.isRotating ? "Rotating…" : "Rotate keys now"}
          </button>
        </div>
        <p class="quiet">They change by themselves whenever somebody comes or goes, and every few minutes.</p>
        <Timeline lines={security.timeline} />
      </section>
      <section aria-labelledby="security-suites">
        <h3 id="security-suites">Encryption in use</h3>
        <p class="quiet" id="levels">
          {security.isServerToldWhoSpeaks
            ? "The server is told who speaks, and how loudly, but not what: this meeting was made so."
            : "The server is not told who speaks."}
        </p>
        <dl class="suites">
          {security.suites.map(({ layer, name, note }) => (
            <div key={layer}>
              <dt>{layer}</dt>
              <dd>
                <code>{name}</code>
                <small>{note}</small>
              </dd>
            </div>
          ))}
        </dl>
      </section>
    </div>
  )
}

/** In a few sentences, how things stand; also what the notices say, which a phone's panel covers. */
function Verdict({ scene }: { readonly scene: Scene }) {
  const dangers = scene.notices.filter(({ level }) => level === "danger")
  const warnings = scene.notices.filter(({ level }) => level === "warning")
  return (
    <div class="verdicts">
      {[...dangers, ...warnings].map(({ key, level, text }) => (
        <Sentence key={key} look={level === "danger" ? "danger" : "news"} icon="warning" text={text} />
      ))}
      {dangers.length === 0 && <Compared comparison={scene.security.comparison} known={howManyAreKnown(scene.people)} />}
    </div>
  )
}

function Compared({
  comparison,
  known,
}: {
  readonly comparison: Comparison | undefined
  readonly known: string | undefined
}) {
  if (comparison === undefined && known !== undefined) {
    const text = `${known} to you by certificate or comparison; names behind a ~ are self-chosen.`
    return <Sentence look={known.startsWith("All") ? "good" : "news"} icon="people" text={text} />
  }
  if (comparison === undefined) {
    const text = "Encrypted from end to end. Compare the code once to know that nobody sits in between."
    return <Sentence look="" icon="lock" text={text} />
  }
  const { epoch, at, joinedSince } = comparison
  const when = `You compared the code of epoch ${epoch} at ${spellTime(at)}.`
  if (joinedSince.length === 0) return <Sentence look="good" icon="check" text={`${when} Nobody has joined since.`} />
  return <Sentence look="news" icon="info" text={`${when} Joined since: ${spellNames(joinedSince)}.`} />
}

interface SentenceProps {
  readonly look: "" | "good" | "news" | "danger"
  readonly icon: IconName
  readonly text: string
}

function Sentence({ look, icon, text }: SentenceProps) {
  return (
    <p class={`verdict ${look}`}>
      <Icon name={icon} />
      <span>{text}</span>
    </p>
  )
}

/** The members of the group, and beside each what the server claims. */
function Holders({ people: all, hasLastingKey }: { readonly people: readonly Person[]; readonly hasLastingKey: boolean }) {
  const { people, unlisted } = listed(all)
  return (
    <table class="holders">
      <thead>
        <tr>
          <th scope="col">By the keys</th>
          <th scope="col">By the server</th>
        </tr>
      </thead>
      <tbody>
        {people.map((person) => (
          <Holder key={person.key} person={person} hasLastingKey={hasLastingKey} />
        ))}
        {unlisted > 0 && (
          <tr>
            <th scope="row">Nobody</th>
            <td>{unlisted} more</td>
          </tr>
        )}
      </tbody>
    </table>
  )
}

function Holder({ person, hasLastingKey }: { readonly person: Person; readonly hasLastingKey: boolean }) {
  const standing = standingOf(person)
  const health = healthOf(person)
  const isHolder = person.leaf !== undefined
  const look = lookOf(person.recognition)
  const own = hasLastingKey ? "You, by the key that is the same in each meeting" : "You, by a key for this meeting only"
  return (
    <tr class={standing.level === "danger" || look === "alarm" ? "danger" : ""}>
      <th scope="row">
        <span class="holder-name">
          <Name recognition={person.recognition} otherwise={isHolder ? plainNameOf(person) : "Nobody"} />
          {person.leaf !== undefined && <small>leaf {person.leaf}</small>}
        </span>
        <small class={`trust ${look} ${person.cameSince ? "new" : ""}`}>{person.isSelf ? own : trustOf(person)}</small>
        {health.map((sentence) => (
          <small key={sentence} class="health">
            {sentence}
          </small>
        ))}
        {person.standing !== "aligned" && <small class={`standing ${standing.level}`}>{standing.text}</small>}
      </th>
      <td>
        {claimOf(person)}
        <small class="mono">{person.participantId.slice(0, 6)}</small>
      </td>
    </tr>
  )
}

const SHOWN_AT_FIRST = 6

function Timeline({ lines }: { readonly lines: readonly EpochLine[] }) {
  const [isWhole, showWhole] = useState(false)
  const shown = isWhole ? lines : lines.slice(0, SHOWN_AT_FIRST)
  return (
    <>
      <ol class="timeline" id="timeline" reversed>
        {shown.map((line) => (
          <li
            key={`${line.generation}/${line.epoch}`}
            class={line.joined.length ? "joined" : line.left.length ? "left" : "rotated"}
          >
            <span class="timeline-epoch">{line.epoch}</span>
            <div>
              <span>{eventOf(line)}</span>
              <small>
                <time>{spellTime(line.at)}</time>
                {pace(line) && ` · ${pace(line)}`}
              </small>
            </div>
          </li>
        ))}
      </ol>
      {lines.length > SHOWN_AT_FIRST && (
        <button type="button" class="link" onClick={() => showWhole(!isWhole)}>
          {isWhole ? "Show fewer" : `Show all ${lines.length}`}
        </button>
      )}
    </>
  )
}

/** In the bar: whether there is anything to look at. */
export function SecurityButton({
  scene,
  isOpen,
  onClick,
}: {
  readonly scene: Scene
  readonly isOpen: boolean
  readonly onClick: () => void
}) {
  const { comparison, epoch } = scene.security
  const known = howManyAreKnown(scene.people)
  const isInDanger = scene.notices.some(({ level }) => level === "danger")
  const text = isInDanger
    ? "Look here"
    : comparison === undefined
      ? (known ?? "Not compared")
      : comparison.joinedSince.length
        ? "New people"
        : "Compared"
  const isGood = comparison === undefined ? known?.startsWith("All") : comparison.joinedSince.length === 0
  const look = isInDanger ? "danger" : isGood ? "good" : comparison === undefined ? "" : "news"
  return (
    <button
      type="button"
      id="security"
      class={`shield ${look}`}
      aria-pressed={isOpen}
      aria-keyshortcuts="K"
      title="Security (K)"
      onClick={onClick}
    >
      <Icon name={isInDanger ? "warning" : "lock"} />
      <span>{text}</span>
      {epoch !== undefined && <small>epoch {epoch}</small>}
    </button>
  )
}
