"""Sessions in virtual time, told by the product's own session, stages and executor."""
