"""Quality: whether an avatar looks like who it shows and does what the caller does, measured with instruments that ship in packages."""
