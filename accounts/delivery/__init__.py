"""`dispatcher` posts an order whose turn has come (`accounts/orders`), and `in_doubt` settles by evidence what was cut
short or got no clear answer. Both leave what failed to `retries`, and end in `orders/closing`; calls go this way only.
"""
