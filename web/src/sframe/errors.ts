/** Why a frame cannot be opened; it is then discarded and has left no trace. None of it may reach its sender. */
export type Refusal = "malformed" | "unknown key" | "no such sender" | "own frame" | "replayed" | "bad tag"

export class SFrameProtocolError extends Error {
  override readonly name = "SFrameProtocolError"
  readonly refusal: Refusal
  /** Of an unknown key: whether it can still come, so that keeping the frame for a moment makes sense. */
  readonly mayCome: boolean
  /** Of an unknown key. */
  readonly kid: bigint | undefined

  constructor(refusal: Refusal, explanation: string, mayCome = false, kid?: bigint) {
    super(explanation)
    this.refusal = refusal
    this.mayCome = mayCome
    this.kid = kid
  }
}

/** The calling code asked for what cannot be: no key to seal with, an epoch that came before, a bug of ours. */
export class SFrameMisuseError extends Error {
  override readonly name = "SFrameMisuseError"
}
