/**
 * Every error that a participant's code raises of its own; the tree is that of conference/errors.py.
 *
 *     ConferenceError
 *       MisuseError     you called us wrongly: a bug of the caller's
 *       LinkError       the meeting link, or what was typed for one, cannot be used
 *       ServerError     the server could not be reached, refused us, or broke the protocol
 *       StorageError    the browser keeps nothing, or what it kept is not of our form
 *       CertificateError  a certificate or a revocation list cannot be read, or does not hold
 *       MemberError     a member sent what the meeting's rules do not allow
 *         PolicyError     the commit or document breaks the meeting's policy
 *         EnvelopeError   an end-to-end message is malformed
 */

import { MLSError } from "../mls/errors.ts"

export class ConferenceError extends Error {
  override readonly name: string = "ConferenceError"
}

export class MisuseError extends ConferenceError {
  override readonly name: string = "MisuseError"
}

export class LinkError extends ConferenceError {
  override readonly name: string = "LinkError"
}

export class ServerError extends ConferenceError {
  override readonly name: string = "ServerError"
}

export class StorageError extends ConferenceError {
  override readonly name: string = "StorageError"
}

export class CertificateError extends ConferenceError {
  override readonly name: string = "CertificateError"
}

export class MemberError extends ConferenceError {
  override readonly name: string = "MemberError"
}

export class PolicyError extends MemberError {
  override readonly name: string = "PolicyError"
}

export class EnvelopeError extends MemberError {
  override readonly name: string = "EnvelopeError"
}

/** The sentence of an error that a peer can cause; what else is thrown is a bug of ours and goes on. */
export function told(error: unknown): string {
  if (error instanceof MLSError || error instanceof MemberError) return error.message
  throw error
}

/** What came of it that a user is to be told; undefined if it succeeded. Anything else is thrown on. */
export async function failureOf(work: () => Promise<void>): Promise<ConferenceError | undefined> {
  try {
    await work()
    return undefined
  } catch (error) {
    if (!(error instanceof ConferenceError)) throw error
    return error
  }
}
