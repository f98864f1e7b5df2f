"""Passkeys in a real browser: Chromium with its virtual authenticator, on a plain page, against a real network."""
