"""The embedded stack: whatever the settings do not name runs on this machine, below `.state/`."""

from services.stack.control import down, endpoints, running_settings, start_for, status, up

__all__ = ["down", "endpoints", "running_settings", "start_for", "status", "up"]
