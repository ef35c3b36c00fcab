"""The product is compared with these: the same webhook as one would write it in an afternoon, and bare hellos."""
