"""The signaling server: rooms, commit order, leader, admission. Carries MLS as opaque bytes; holds no key."""
