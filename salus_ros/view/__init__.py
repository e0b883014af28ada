"""The live page: what it shows, its server, and recorded episodes as it shows them."""
