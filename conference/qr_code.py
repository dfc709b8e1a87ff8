"""QR codes in a terminal."""

import io

import segno


def qr_code(text: str) -> str:
    """Lines of half blocks, light on dark, with the quiet zone that scanners need."""
    out = io.StringIO()
    segno.make(text, micro=False, error="m").terminal(out, border=2, compact=True)
    return out.getvalue().rstrip("\n")
