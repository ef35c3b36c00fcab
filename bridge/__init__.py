"""A WhatsApp bridge for Linkdesk: runs the linked devices and tells the portal what happens to them.

It imports nothing of the portal and could live in a repository of its own. A contract with a number is a
section of docs/bridge-contract.md.
"""

VERSION = "0.1.0"
