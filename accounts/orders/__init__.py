"""An order to a bridge is written down in the transaction that wants it (`outbox`), and waits for its turn in one of
the bridge's two slots (`turns`). Then `accounts/delivery` posts it, and `closing` ends it in any case.
"""
