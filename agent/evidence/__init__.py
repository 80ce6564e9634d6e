"""The gateway's identity: keys, signatures, the chain of digests."""
