"""A WhatsApp bridge for Linkdesk: runs the linked devices and tells the portal what happens to them.

It imports nothing of the portal and could live in a repository of its own.
"""

VERSION = "0.1.0"
