"""Preprocess: from a picture to a FaceObservation, the same road for a portrait and for a live frame."""
