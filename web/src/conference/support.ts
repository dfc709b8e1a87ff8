/** What a browser must have to take part. */

/** A sentence that says what to use instead; undefined if this browser can. */
export async function whyUnsupported(): Promise<string | undefined> {
  if (!isSecureContext) {
    return "A browser encrypts only on pages that come over https, or from this same machine. Open the link with https."
  }
  if (!("RTCRtpScriptTransform" in globalThis)) {
    return "This browser cannot encrypt media by itself. Use Firefox 128, Chromium 141, Safari 17 or newer, or a terminal: conclave join."
  }
  for (const name of ["Ed25519", "X25519"]) {
    try {
      await crypto.subtle.generateKey(name, false, name === "Ed25519" ? ["sign", "verify"] : ["deriveBits"])
    } catch {
      return "This browser is too old for the encryption of meetings. Update it, or use a terminal: conclave join."
    }
  }
  return undefined
}
