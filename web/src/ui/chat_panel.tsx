/** What was said in writing. */

import { useLayoutEffect, useRef, useState } from "preact/hooks"
import { Icon } from "./icons.tsx"
import type { ChatLine, Intents } from "./scene.ts"
import { piecesOf } from "./words.ts"

const MAX_TEXT = 4000
const FEW_LEFT = 200
const NEAR_END_PX = 80
const SAME_BREATH_MS = 300_000

export function ChatPanel({ lines, intents }: { readonly lines: readonly ChatLine[]; readonly intents: Intents }) {
  return (
    <div class="chat">
      <Lines lines={lines} />
      <Form onSend={intents.chat} />
    </div>
  )
}

/** What comes is scrolled to, but not from under who reads further up. */
function Lines({ lines }: { readonly lines: readonly ChatLine[] }) {
  const list = useRef<HTMLDivElement>(null)
  const isAtEnd = useRef(true)
  const onScroll = () => {
    const { scrollHeight, scrollTop, clientHeight } = list.current!
    isAtEnd.current = scrollHeight - scrollTop - clientHeight < NEAR_END_PX
  }
  useLayoutEffect(() => {
    if (isAtEnd.current || lines.at(-1)?.isSelf) list.current!.scrollTo(0, list.current!.scrollHeight)
  }, [lines.at(-1)?.key])
  return (
    <div ref={list} class="chat-lines" role="log" aria-label="Messages" tabIndex={0} onScroll={onScroll}>
      {lines.length === 0 && (
        <p class="quiet">Messages go to everybody here, encrypted. Who joins later cannot read them.</p>
      )}
      <ol>
        {lines.map((line, at) => (
          <li key={line.key}>
            {!isOfOneBreath(lines[at - 1], line) && (
              <span class="chat-head">
                <b>
                  <bdi>{line.isSelf ? "You" : line.name}</bdi>
                </b>
                <time>{new Date(line.at).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })}</time>
              </span>
            )}
            <Text text={line.text} />
          </li>
        ))}
      </ol>
    </div>
  )
}

function isOfOneBreath(before: ChatLine | undefined, line: ChatLine): boolean {
  return before?.name === line.name && before.isSelf === line.isSelf && line.at - before.at < SAME_BREATH_MS
}

function Text({ text }: { readonly text: string }) {
  return (
    <p dir="auto">
      {piecesOf(text).map((piece, at) =>
        piece.isLink ? (
          <a key={at} href={piece.text} target="_blank" rel="noopener noreferrer">
            {piece.text}
          </a>
        ) : (
          piece.text
        ),
      )}
    </p>
  )
}

function Form({ onSend }: { readonly onSend: (text: string) => void }) {
  const [text, setText] = useState("")
  const box = useRef<HTMLTextAreaElement>(null)
  const send = (event: Event) => {
    event.preventDefault()
    if (text.trim() === "") return
    onSend(text.trim())
    setText("")
    box.current?.focus()
  }
  const onKeyDown = (event: KeyboardEvent) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) send(event)
  }
  return (
    <form class="chat-form" onSubmit={send}>
      <textarea
        ref={box}
        id="text"
        rows={1}
        value={text}
        maxLength={MAX_TEXT}
        autocomplete="off"
        dir="auto"
        placeholder="Message to all"
        aria-label="Message to all"
        onInput={(event) => setText(event.currentTarget.value)}
        onKeyDown={onKeyDown}
      />
      <button type="submit" class="tool tool-plain" aria-label="Send" title="Send (Enter; Shift+Enter begins a line)">
        <Icon name="send" />
      </button>
      {text.length > MAX_TEXT - FEW_LEFT && (
        <small class="quiet">{MAX_TEXT - text.length} characters left</small>
      )}
    </form>
  )
}
