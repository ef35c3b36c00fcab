"""What the product is compared with: the same webhook as one would write it in an afternoon, and bare hellos."""
