"""The tool: composes the local store and its sharing, and meets the person."""

__version__ = "0.1.0"
