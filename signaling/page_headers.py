"""DESIGN §1, §8: what a browser lets the page do, in HTTP headers: nothing beyond what a meeting needs."""

_OWN = (
    "autoplay",
    "camera",
    "clipboard-write",  # the meeting's link
    "cross-origin-isolated",  # no other site in this process, and clocks that are fine enough for the figures
    "display-capture",
    "fullscreen",
    "local-network",  # a server on a LAN, or on this machine
    "local-network-access",
    "loopback-network",
    "media-playback-while-not-visible",
    "microphone",
    "picture-in-picture",
    "screen-wake-lock",
    "speaker-selection",
)
# All else that Chromium knows, as a test has it; it warns of names that it does not know.
_NOBODYS = (
    *("accelerometer", "aria-notify", "browsing-topics", "captured-surface-control", "clipboard-read"),
    *("compute-pressure", "deferred-fetch", "deferred-fetch-minimal", "digital-credentials-create"),
    *("digital-credentials-get", "encrypted-media", "gamepad", "geolocation", "gyroscope", "hid"),
    *("identity-credentials-get", "idle-detection", "interest-cohort", "keyboard-map", "language-detector"),
    *("language-model", "local-fonts", "magnetometer", "midi", "on-device-speech-recognition"),
    *("otp-credentials", "payment", "private-state-token-issuance", "private-state-token-redemption"),
    *("publickey-credentials-create", "publickey-credentials-get", "serial", "storage-access", "summarizer"),
    *("sync-xhr", "translator", "unload", "usb", "window-management", "xr-spatial-tracking"),
)

PAGE_HEADERS = {
    # Nothing but what this server serves; no script or style in the document. Workers have their own copy.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; "
    "img-src 'self' data: blob:; media-src 'self' blob: mediastream:; connect-src 'self'; font-src 'self'; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": ", ".join(
        [f"{name}=(self)" for name in _OWN] + [f"{name}=()" for name in _NOBODYS]
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",
}
# The page names its files by their hash.
ASSET_HEADERS = {**PAGE_HEADERS, "Cache-Control": "public, max-age=31536000, immutable"}
