"""The network edge: WHIP in, WHEP out, HTTP, pages, codecs and the command line."""
