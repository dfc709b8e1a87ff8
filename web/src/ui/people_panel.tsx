/** Who is here, and what the host can do about it. */

import { useState } from "preact/hooks"
import { remarkOf } from "../conference/recognition.ts"
import { Icon } from "./icons.tsx"
import { Avatar, CopyButton, Name, Switch, Tool } from "./parts.tsx"
import type { Hosting, Intents, Person, Scene } from "./scene.ts"
import { beginSentence, healthOf, isGhost, isMerelyNew, listed, lookOf, plainNameOf, standingOf, trustOf } from "./words.ts"

export function PeoplePanel({ scene, intents }: { readonly scene: Scene; readonly intents: Intents }) {
  const { people, unlisted } = listed(scene.people)
  const members = people.filter(({ leaf }) => leaf !== undefined)
  const atTheDoor = new Set(scene.hosting?.waiting.map(({ participantId }) => participantId))
  const others = people.filter(({ leaf, participantId }) => leaf === undefined && !atTheDoor.has(participantId))
  return (
    <div class="people">
      {scene.hosting !== undefined && <Door hosting={scene.hosting} intents={intents} />}
      <section aria-labelledby="people-here">
        <h3 id="people-here">In the meeting, {members.length}</h3>
        {members.some(isMerelyNew) && <p class="quiet">Names behind a ~ are self-chosen.</p>}
        <ul>
          {members.map((person) => (
            <Row key={person.key} person={person} hosting={scene.hosting} intents={intents} />
          ))}
        </ul>
      </section>
      {others.length > 0 && (
        <section aria-labelledby="people-outside">
          <h3 id="people-outside">Connected, but not in the meeting</h3>
          <ul>
            {others.map((person) => (
              <Row key={person.key} person={person} hosting={undefined} intents={intents} />
            ))}
          </ul>
          {unlisted > 0 && <p class="quiet">And {unlisted} more.</p>}
        </section>
      )}
      <section class="invite" aria-labelledby="people-invite">
        <h3 id="people-invite">Invite</h3>
        <p class="quiet">{whatTheLinkOpens(scene.hosting)} Send it on a way that you trust.</p>
        <CopyButton text={scene.link} label="Copy link" />
      </section>
      {scene.hosting !== undefined && <Rules hosting={scene.hosting} intents={intents} />}
    </div>
  )
}

function Row({
  person,
  hosting,
  intents,
}: {
  readonly person: Person
  readonly hosting: Hosting | undefined
  readonly intents: Intents
}) {
  const [isOpen, open] = useState(false)
  const name = plainNameOf(person)
  const isAlarming = isGhost(person) || lookOf(person.recognition) === "alarm"
  return (
    <li class={isAlarming ? "row ghost" : "row"}>
      <Avatar name={name} />
      <div class="row-words">
        <span class="row-name">
          <Name recognition={person.recognition} otherwise={name} />
          <em> {[person.isSelf && "you", person.isHost && "host"].filter(Boolean).join(", ")}</em>
        </span>
        {person.recognition !== undefined && !person.isSelf && !isMerelyNew(person) && (
          <small class={`trust ${lookOf(person.recognition)}`}>{trustOf(person)}</small>
        )}
        {person.standing !== "aligned" && <small>{standingOf(person).text}</small>}
        {healthOf(person).map((sentence) => (
          <small key={sentence} class="health">
            {sentence}
          </small>
        ))}
      </div>
      <span class="row-flags">
        {person.hasHandUp && (
          <span role="img" aria-label="hand raised" class="flag hand">
            <Icon name="hand" />
          </span>
        )}
        {person.isMuted && (
          <span role="img" aria-label="muted" class="flag">
            <Icon name="microphone off" />
          </span>
        )}
      </span>
      {hosting !== undefined && !person.isSelf && (
        <Tool icon="more" label={`What to do about ${name}`} isExpanded={isOpen} onClick={() => open(!isOpen)} />
      )}
      {hosting !== undefined && isOpen && (
        <div class="row-actions" role="group" aria-label={`About ${name}`}>
          <button type="button" class="button" onClick={() => intents.askToMute(person.participantId)}>
            Ask to mute
          </button>
          {hosting.canNameHosts && (
            <button type="button" class="button" onClick={() => intents.nameHost(person.participantId, !person.isHost)}>
              {person.isHost ? "No host any more" : "Make host"}
            </button>
          )}
          <button type="button" class="button danger" onClick={() => intents.remove(person.participantId)}>
            Remove
          </button>
          <small class="quiet">Removing turns the lobby on: who was removed still has the link.</small>
        </div>
      )}
    </li>
  )
}

function whatTheLinkOpens(hosting: Hosting | undefined): string {
  if (hosting?.isLocked) return "The meeting is locked: the link lets nobody in."
  return hosting?.hasLobby ? "Whoever has the link can knock." : "Whoever has the link can come in."
}

/** Who waits to be let in. */
function Door({ hosting, intents }: { readonly hosting: Hosting; readonly intents: Intents }) {
  if (hosting.waiting.length === 0) return null
  return (
    <section class="door" aria-labelledby="people-door">
      <h3 id="people-door">At the door</h3>
      <ul>
        {hosting.waiting.map(({ participantId, recognition }) => (
          <li key={participantId} class={lookOf(recognition) === "alarm" ? "row ghost" : "row"}>
            <Avatar name={recognition.name} />
            <div class="row-words">
              <span class="row-name">
                <Name recognition={recognition} otherwise="" />
              </span>
              <small class={`trust ${lookOf(recognition)}`}>{beginSentence(remarkOf(recognition))}</small>
            </div>
            <button
              type="button"
              class="button primary"
              aria-label={`Let in ${recognition.name}`}
              onClick={() => intents.admit(participantId, true)}
            >
              Let in
            </button>
            <button
              type="button"
              class="button"
              aria-label={`No, not ${recognition.name}`}
              onClick={() => intents.admit(participantId, false)}
            >
              No
            </button>
          </li>
        ))}
      </ul>
    </section>
  )
}

function Rules({ hosting, intents }: { readonly hosting: Hosting; readonly intents: Intents }) {
  const [isSure, setSure] = useState(false)
  return (
    <section class="rules" aria-labelledby="people-rules">
      <h3 id="people-rules">You are the host</h3>
      <Switch label="Lobby" hint="You let everybody in yourself" isOn={hosting.hasLobby} onChange={intents.setLobby} />
      <Switch label="Lock" hint="Nobody else comes in" isOn={hosting.isLocked} onChange={intents.setLocked} />
      <div class="buttons">
        <button type="button" class="button" onClick={() => intents.askToMute(null)}>
          Ask all to mute
        </button>
        <button
          type="button"
          class="button"
          title="The old link opens nothing any more"
          onClick={() => intents.changeLink()}
        >
          Change the link
        </button>
        {!isSure && (
          <button type="button" class="button danger" onClick={() => setSure(true)}>
            End for all
          </button>
        )}
        {isSure && (
          <button type="button" class="button danger" onClick={() => intents.end()}>
            Really end it
          </button>
        )}
        {isSure && (
          <button type="button" class="button" onClick={() => setSure(false)}>
            No
          </button>
        )}
      </div>
    </section>
  )
}
