"""The selective forwarding unit: media of a meeting from each to all, unread. It holds no key of any meeting.

What callers need: `server.Sfu`, `notifications`, `errors`, `tap`, `bandwidth.VideoBitrates`.
"""
