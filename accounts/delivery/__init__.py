"""`dispatcher` posts an order whose turn has come (`accounts/orders`), and `in_doubt` settles by evidence one that was
cut short or got no clear answer. Both leave failures to `retries`, and end in `orders/closing`; calls go this way only.
"""
