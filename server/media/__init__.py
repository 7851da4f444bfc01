"""Media: codecs, clips and portraits."""
